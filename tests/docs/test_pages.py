"""Every page does what it says: its blocks are run in order, as a reader would run them.

A page is a story in one folder, so a page is one test:

- ``python`` whose first line is ``# name.py`` is that file, and a later block has to use it;
- other ``python`` runs in this process, in one namespace for the page;
- ``sh`` runs in bash; a line that serves runs beside the rest until the page ends, or its port is served anew;
- ``text`` is what the block above it prints, ``...`` standing for anything;
- ``json`` is JSON, and what has an envelope in it is a valid request or answer;
- anything else that is fenced fails: what is shown is run.

Ports that a page names (8000 to 8099) stand for ports held free here, so pages run beside each other.
Sybil and pytest-examples were looked at: both run Python, pass over what they don't know, and leave the rest to us.
"""

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from asap_proto.errors import AsapError
from asap_proto.wire.jsonrpc import check_call
from asap_proto.wire.manifests import load_manifest
from asap_proto.wire.nouns import decode_envelope
from asap_proto.wire.replies import read_answer

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page.relative_to(ROOT).as_posix()
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    if not {"_build", "changes"} & set(page.relative_to(ROOT).parts)
)

#: Blocks that are run elsewhere, each with where.
ELSEWHERE = {"README.md": {"the set-up": re.compile(r"(python3\.11 -m venv .venv && .*\n){2}")}}  # .ci/run

_fence = re.compile(r"^(?P<fence>`{3,}|~{3,})(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=fence)[ ]*$", re.MULTILINE | re.DOTALL)
_file_name = re.compile(r"# ([\w/]+\.py)\n")
_port = re.compile(r"\b80[0-9]{2}\b")
_serves = re.compile(r"\b(asap serve|uvicorn|hypercorn|granian|redis-server)\b")
_listens_at = re.compile(r"--(?:port |bind 127\.0\.0\.1:)(\d+)")
_MATCHING = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Block(NamedTuple):
    """One fenced block, with the line it begins at."""

    page: str
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: str) -> Iterator[Block]:
    """The blocks to run, in order; directives are run by Sphinx."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for found in _fence.finditer(text):
        info, code = found["info"].strip(), found["code"]
        if info.startswith("{") or any(known.fullmatch(code) for known in ELSEWHERE.get(page, {}).values()):
            continue
        yield Block(page, text[: found.start()].count("\n") + 2, info, code)


class Reader:
    """Somebody who does what a page says, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__page__"}
        self.printed: str | None = None
        self.unused: set[str] = set()
        self._held: dict[str, socket.socket] = {}
        self._servers: dict[str, subprocess.Popen[bytes]] = {}

    def follow(self, blocks: Iterable[Block]) -> None:
        for block in blocks:
            self._do(block)
        assert not self.unused, f"nothing uses these files: {self.unused}"

    def _do(self, block: Block) -> None:
        code = _port.sub(lambda port: self._real(port[0]), block.code)
        self.unused -= {name for name in self.unused if re.search(rf"\b{Path(name).stem}\b", code)}
        match block.language:
            case "python" if name := _file_name.match(code):
                self._write(name[1], code)
            case "python":
                self.printed = self._python(block, code)
            case "sh":
                self.printed = "".join(self._line(block, line) for line in _lines(code))
            case "text":
                self._compare(block)
            case "json":
                check_document(json.loads(code))
            case other:
                pytest.fail(f"{block}: {other!r} blocks are not run")

    def leave(self) -> None:
        for port in list(self._servers):
            self._stop(port)
        for held in self._held.values():
            held.close()

    def _real(self, port: str) -> str:
        """The port that one of the page stands for.

        Bound and never listening it is nobody's but ours, while a server that sets SO_REUSEADDR, as all do,
        can still listen.
        """
        if port not in self._held:
            held = socket.socket()
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held.bind(("127.0.0.1", 0))
            self._held[port] = held
        return str(self._held[port].getsockname()[1])

    def _write(self, name: str, code: str) -> None:
        self.printed = None
        self.unused.add(name)
        (self.folder / name).write_text(code, encoding="utf-8")
        sys.modules.pop(Path(name).stem, None)

    def _python(self, block: Block, code: str) -> str:
        # Blank lines before it make tracebacks name the page's own line.
        compiled = compile("\n" * (block.line - 1) + code, str(ROOT / block.page), "exec", dont_inherit=True)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compiled, self.names)
        return out.getvalue()

    def _line(self, block: Block, line: str) -> str:
        if _serves.search(line):
            self._serve(block, line)
            return ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", line],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=60,
            check=False,
        )
        # A page that shows a failure says so: `... || true`.
        assert done.returncode == 0, f"{block}: {line}\n{done.stdout}"
        return done.stdout

    def _serve(self, block: Block, line: str) -> None:
        if line.startswith("redis-server") and shutil.which("redis-server") is None:
            # In CI a skip would hide that the page was not run.
            (pytest.fail if os.environ.get("CI") else pytest.skip)("redis-server is not installed")
        [port] = _listens_at.findall(line)
        self._stop(port)
        log = self.folder / f"server-{port}.log"
        with log.open("wb") as out:
            self._servers[port] = server = subprocess.Popen(
                ["bash", "-c", line],
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        over = time.monotonic() + 30
        while not _listens(port):
            assert server.poll() is None, f"{block}: {line}\n{log.read_text()}"
            assert time.monotonic() < over, f"{block}: nobody listens at {port}\n{log.read_text()}"
            time.sleep(0.02)

    def _shown_port(self, port: str) -> str:
        return str(self._held[port].getsockname()[1])

    def _stop(self, port: str) -> None:
        server = self._servers.pop(port, None)
        if server is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    def _environment(self) -> dict[str, str]:
        bins = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        # Wide, so that what is printed does not depend on this terminal.
        return {**os.environ, "PATH": bins, "COLUMNS": "110", "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def _compare(self, block: Block) -> None:
        assert self.printed is not None, f"{block}: nothing above prints this"
        shown = self.printed
        for port in self._held:
            shown = shown.replace(self._shown_port(port), port)
        checker = doctest.OutputChecker()
        if not checker.check_output(block.code, shown, _MATCHING):
            example = doctest.Example("", block.code)
            pytest.fail(f"{block}\n{checker.output_difference(example, shown, doctest.REPORT_NDIFF)}")


def _lines(code: str) -> list[str]:
    """The commands of a block: a backslash at its end, or an open quote, carries a line on."""
    found: list[str] = []
    whole = ""
    for line in code.splitlines(keepends=True):
        whole += line
        if not whole.endswith("\\\n") and _closed(whole):
            found.append(whole.strip())
            whole = ""
    return [line for line in found if line and not line.startswith("#")]


def _closed(line: str) -> bool:
    try:
        shlex.split(line, comments=True)
    except ValueError:
        return False
    return True


def _listens(port: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", int(port))) == 0


def check_document(document: Any) -> None:
    """Raises for a request, an answer, an envelope or a manifest that is none."""
    if not isinstance(document, dict):
        return
    if "method" in document:
        decode_envelope(check_call(document)[0])
    elif "result" in document:
        read_answer(document, id=document["id"])
    elif "sender" in document:
        decode_envelope(document)
    elif "endpoints" in document:
        load_manifest(json.dumps(document).encode(), depth=100)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)
    somebody = Reader(tmp_path)
    yield somebody
    somebody.leave()
    for name in set(sys.modules) - known:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks_of(page))])
def test_a_page_does_what_it_says(page, reader):
    """Every block of the page runs, and prints what the page shows."""
    reader.follow(blocks_of(page))


@pytest.mark.parametrize(
    "told",
    [
        (("python", "print(1)\n"), ("text", "2\n")),
        (("python", "x = 1\n"), ("text", "1\n")),
        (("sh", "echo one\n"), ("text", "two\n")),
        (("sh", "false\n"),),
        (("sh", "asap serve nothing:agent --port 8000\n"),),
        (("python", "# alone.py\n"),),
        (("ruby", "puts 1\n"),),
        (("", "puts 1\n"),),
        (("json", '{"sender": 1}'),),
    ],
)
def test_a_page_that_is_wrong_is_noticed(told, reader):
    """A block that fails, prints something else, or is in a language that is not run, fails its page."""
    with pytest.raises((AssertionError, AsapError, pytest.fail.Exception)):
        reader.follow(Block("a page", 1, language, code) for language, code in told)


def test_the_readme_opens_with_the_set_up():
    """The first sh block of the README is the set-up, in two lines: `.ci/run` and newcomers run it."""
    first = next(_fence.finditer((ROOT / "README.md").read_text(encoding="utf-8")))
    assert first["info"] == "sh"
    assert ELSEWHERE["README.md"]["the set-up"].fullmatch(first["code"])


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    """What these pages link to within the project is there; Sphinx checks the others."""
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []
