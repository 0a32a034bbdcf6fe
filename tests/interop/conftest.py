"""Live peers: one process per released client or server, started on demand and ended with the tests.

`pytest tests/interop --references DIR` finds one virtual environment per release in DIR,
as `DIR/<version>/bin/python`, and in `DIR/newest` whatever was the newest when it was installed.
Nothing here imports those releases; they run under an interpreter of their own.
"""

import contextlib
import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from interop.matrix import FRONTS, KINDS, PAIRS, RELEASES, Pair
from interop.ours import AGENT, REFERENCE, Ours, play

HERE = Path(__file__).parent
PATIENCE = 60.0
_INSTALLED = "lib/*/site-packages/asap_protocol-*.dist-info"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The folder of environments is an option, and only of runs that name this folder."""
    parser.addoption("--references", metavar="DIR", help="a folder with one environment per release of asap-protocol")


def _python_313() -> str | None:
    """A Python 3.13, which the releases need, if this machine has one."""
    found = shutil.which("python3.13")
    if found:
        return found
    kept = sorted(Path.home().glob(".pyenv/versions/3.13*/bin/python3.13"))
    return str(kept[0]) if kept else None


def _environment(folder: Path, release: str) -> Path | None:
    """The interpreter of one release."""
    python = folder / release / "bin" / "python"
    return python if python.exists() else None


class Peer:
    """A process that answers each line with a line, or answers once and serves."""

    def __init__(self, python: Path, script: str, arguments: list[str], log: Path) -> None:
        self._log = log
        self._lines: queue.Queue[bytes | None] = queue.Queue()
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [python, HERE / script, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=log.parent,
            )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.hello = self._hear()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def _hear(self) -> dict[str, Any]:
        try:
            line = self._lines.get(timeout=PATIENCE)
        except queue.Empty:
            line = None
        if line is None:
            self.close()
            raise AssertionError(f"the peer said nothing; its log:\n{self._log.read_text(errors='replace')[-3000:]}")
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def ask(self, **command: Any) -> dict[str, Any]:
        """Hand over one command and wait for its outcome."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        return self._hear()

    def dismiss(self) -> None:
        """Close its stdin, at which it ends."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def close(self) -> None:
        """See it end, and insist if it does not."""
        assert self._process.stdout is not None
        self.dismiss()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        self._listener.join(5)
        self._process.stdout.close()


class References:
    """The released peers of one run: each is started once, when first asked for."""

    def __init__(self, folder: Path, logs: Path) -> None:
        self.folder = folder
        self._logs = logs
        self._kept: dict[tuple[str, str], Peer] = {}
        self._all: list[Peer] = []

    def _start(self, release: str, script: str, arguments: list[str]) -> Peer:
        python = _environment(self.folder, release)
        if python is None:
            pytest.fail(f"{self.folder} has no environment for release {release}; run `nox -s interop`")
        peer = Peer(python, script, arguments, self._logs / f"{release}.{script}.log")
        self._all.append(peer)
        return peer

    def client(self, release: str) -> Peer:
        """The client of a release, taking commands."""
        key = release, "client"
        if key not in self._kept:
            self._kept[key] = self._start(release, "reference_client.py", [])
        return self._kept[key]

    def serve(self, release: str, **options: Any) -> str:
        """A server of a release set up as asked; its address."""
        asked = json.dumps(options, sort_keys=True)
        key = release, asked
        if key not in self._kept:
            self._kept[key] = self._start(release, "reference_server.py", [asked])
        return f"http://127.0.0.1:{self._kept[key].hello['port']}"

    def close(self) -> None:
        """End every process that was started."""
        for peer in self._all:
            peer.dismiss()
        for peer in self._all:
            peer.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One release after the other: workers are given runs of this list, and so start the peers of few releases each."""
    places = [place for place, item in enumerate(items) if item.path.parent == HERE]
    for place, item in zip(places, sorted((items[place] for place in places), key=_met), strict=True):
        items[place] = item


def _met(item: pytest.Item) -> int:
    """The place of the release that a test meets, behind the last of them where it meets none."""
    given = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    ends = {given.get("release"), *given.get("pair", ()), *given.get("our_pair", ())}
    return next((place for place, release in enumerate(RELEASES) if release in ends), len(RELEASES))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With the releases at hand no cell may be left out: a skip is a failure then."""
    report = yield
    if report.skipped and item.path.parent == HERE and item.config.getoption("references", default=None):
        report.outcome = "failed"
        report.longrepr = f"a cell of the table was skipped: {report.longrepr}"
    return report


def pytest_report_header(config: pytest.Config) -> str | None:
    """Which releases are met, the newest by its number."""
    given = config.getoption("references", default=None)
    if given is None:
        return None
    met = {
        release: [path.name.split("-")[1].removesuffix(".dist") for path in Path(given).glob(f"{release}/{_INSTALLED}")]
        for release in RELEASES
    }
    told = ", ".join(f"{release} ({', '.join(found) or 'missing'})" for release, found in met.items())
    return f"released peers: {told}"


@pytest.fixture(scope="session")
def references(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[References]:
    """The released peers, or the reason why there are none."""
    named = any("interop" in str(argument) for argument in pytestconfig.invocation_params.args)
    given = pytestconfig.getoption("references", default=None)
    if given is None:
        missing = "no released peers: run `nox -s interop`, or `pytest tests/interop --references DIR`"
        if named and os.environ.get("CI", "").lower() == "true" and _python_313():
            pytest.fail(f"{missing}; Python 3.13 is here, so in CI this is a fault")
        pytest.skip(missing)
    folder = Path(given).resolve()
    if not any(_environment(folder, release) for release in RELEASES):
        pytest.fail(f"{folder} holds no environment of a release; run `nox -s interop`, with Python 3.13")
    peers = References(folder, tmp_path_factory.mktemp("references"))
    try:
        yield peers
    finally:
        peers.close()


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    """Each release the wire is compared with."""
    return str(request.param)


@pytest.fixture(params=FRONTS)
def front(request: pytest.FixtureRequest) -> str:
    """Each of our fronts."""
    return str(request.param)


@pytest.fixture(scope="session")
def ours() -> Iterator[Ours]:
    """Our servers, ended with the tests."""
    servers = Ours()
    try:
        yield servers
    finally:
        servers.close()


class Meeting:
    """One cell of the table: a client and a server that meet."""

    def __init__(self, pair: Pair, references: References, ours: Ours) -> None:
        self.client, self.server = pair
        self._references, self._ours = references, ours

    def serve(self, **options: Any) -> str:
        """The address of the server, set up as asked."""
        if self.server in RELEASES:
            return self._references.serve(self.server, **options)
        return self._ours.serve(self.server, **options)

    def serve_anew(self, **options: Any) -> str:
        """That of a server of ours that nobody has asked yet."""
        return self._ours.serve_anew(self.server, **options)

    def ask(self, **command: Any) -> dict[str, Any]:
        """What comes of a command to the client."""
        if self.client in RELEASES:
            return self._references.client(self.client).ask(**command)
        return play(self.client, to=REFERENCE if self.server in RELEASES else AGENT, **command)


@pytest.fixture(params=PAIRS, ids="_to_".join)
def pair(request: pytest.FixtureRequest, references: References, ours: Ours) -> Meeting:
    """Each pair of the table."""
    return Meeting(request.param, references, ours)


@pytest.fixture(params=KINDS["among"], ids="_to_".join)
def our_pair(request: pytest.FixtureRequest, references: References, ours: Ours) -> Meeting:
    """Each pair of our fronts; with the releases or not at all, so that one session runs the whole table."""
    return Meeting(request.param, references, ours)
