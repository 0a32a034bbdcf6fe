"""The command line as a user has it: its words, its output, its exit code; where that matters, in its own process."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from asap_adapters.cli import main

ASAP = [sys.executable, "-m", "asap_adapters.cli"]
PATIENCE = 60.0  # seconds; only a test that fails waits so long


@frozen
class Ended:
    """What a command left behind."""

    exit_code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout."""
        assert self.out, self.err
        return json.loads(self.out)


def environment(**changes: str) -> dict[str, str]:
    """Ours, without settings of the machine that change what is printed or served."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASAP_", "FORCE_", "NO_COLOR"))}
    return kept | {"TERM": "xterm-256color"} | changes


@pytest.fixture
def asap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Ended]:
    """Runs one command to its end, in an empty directory and in this process: a process of its own costs half a second.

    What is logged does not reach `err` here; where that nothing is said is at stake, use `asap_process`.
    """

    def run(*words: object, stdin: str = "", env: dict[str, str] | None = None) -> Ended:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        variables = environment(**(env or {}))
        with monkeypatch.context() as patched:
            patched.chdir(tmp_path)
            for name in os.environ.keys() - variables.keys():
                patched.delenv(name)
            for name, value in variables.items():
                patched.setenv(name, value)
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            exit_code = main([str(word) for word in words])
        return ended(words, exit_code, *(stream.buffer.getvalue().decode() for stream in (out, err)))

    return run


@pytest.fixture
def asap_process(tmp_path: Path) -> Callable[..., Ended]:
    """As `asap`, in a process of its own: for `serve` and `demo`, and for what is about being one."""

    def run(*words: object, stdin: str = "", env: dict[str, str] | None = None) -> Ended:
        done = subprocess.run(
            [*ASAP, *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=PATIENCE,
            cwd=tmp_path,
            env=environment(**(env or {})),
            check=False,
        )
        return ended(words, done.returncode, done.stdout, done.stderr)

    return run


def ended(words: tuple[object, ...], exit_code: int, out: str, err: str) -> Ended:
    """What a command left behind; a traceback that nobody asked for is a failure of each."""
    assert "Traceback" not in err or "--debug" in words, err
    return Ended(exit_code, out, err)


AGENT = """
import os
from asap_adapters.{runtime} import Agent

agent = Agent("urn:asap:agent:served", name="Served", version="1.2.3", description="Is served")
app = agent.app()
number = 5


@agent.skill("echo", description="Repeat the input")
{colour} echo(task):
    return {{"echoed": task.input}}


@agent.skill("pid", description="Which process answers")
{colour} pid(task):
    return {{"pid": os.getpid()}}


@agent.skill("fail", description="Fail")
{colour} fail(task):
    raise ValueError("a secret")
"""


@pytest.fixture
def agent_module(tmp_path: Path) -> Callable[[str], str]:
    """Writes a module with an agent of this runtime; answers what to call it by."""

    def write(runtime: str) -> str:
        colour = "def" if runtime == "sync" else "async def"
        (tmp_path / f"mine_{runtime}.py").write_text(AGENT.format(runtime=runtime, colour=colour))
        return f"mine_{runtime}:agent"

    return write


@frozen
class Serving:
    """A running `asap serve`, and what it said of itself."""

    process: "subprocess.Popen[str]"
    line: dict[str, Any]

    @property
    def url(self) -> str:
        return self.line["url"]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        self.process.send_signal(number)
        return self._ended()

    def press_ctrl_c(self) -> Ended:
        os.killpg(self.process.pid, signal.SIGINT)
        return self._ended()

    def _ended(self) -> Ended:
        out, err = self.process.communicate(timeout=PATIENCE)
        return Ended(self.process.returncode, out, err)


@pytest.fixture
def serving(tmp_path: Path) -> Callable[..., Any]:
    """Serves while the block runs: from the moment it says that it listens."""

    @contextmanager
    def serve(*words: object, env: dict[str, str] | None = None) -> Iterator[Serving]:
        process = subprocess.Popen(
            [*ASAP, "serve", *map(str, words), "--port", "0", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(**(env or {})),
            start_new_session=True,  # as a terminal has it: one group for all its processes
        )
        # A server that says nothing would keep us for ever.
        impatience = threading.Timer(PATIENCE, process.kill)
        impatience.start()
        try:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            yield Serving(process, json.loads(line))
        finally:
            impatience.cancel()
            if process.poll() is None:
                process.terminate()
                process.communicate(timeout=PATIENCE)
            process.stdout.close()
            process.stderr.close()

    return serve
