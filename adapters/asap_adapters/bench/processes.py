"""Processes that a run starts: each on a core of its own where that can be said, and none that outlives the run."""

from __future__ import annotations

import math
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import orjson

from .figures import Void

__all__ = ["CLIENT_CORE", "SERVER_CORE", "Child", "module", "wait_for_port"]

#: Seconds that a process may take to say what it was asked, beside what it was asked to take.
_PATIENCE: Final = 120.0


def _cores() -> tuple[int | None, int | None]:
    if not hasattr(os, "sched_setaffinity"):
        return None, None
    mine = sorted(os.sched_getaffinity(0))
    return (None, None) if len(mine) == 1 else (mine[0], mine[-1])


#: The core of what serves, and that of what calls; None where there is but one, or none can be chosen.
SERVER_CORE, CLIENT_CORE = _cores()


class Child:
    """A process that answers lines of JSON with lines of JSON, or just serves; it ends with the block."""

    def __init__(self, command: Sequence[str], *, core: int | None, knows_us: bool = True) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed with the process)
        self._process = subprocess.Popen(  # nosec B603  # commands of ours
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            env=_environment(knows_us),
            start_new_session=True,  # Ctrl-C is for whoever started it, who ends all of the group
        )
        if core is not None:
            os.sched_setaffinity(self._process.pid, {core})  # before it starts threads, which then have it too

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._kill()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                stream.close()

    def _kill(self) -> None:
        # Nothing that it holds is worth a grace.
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def hear(self) -> dict[str, Any]:
        """The next line that it says; raises `Void` where it says none."""
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], _PATIENCE)
        line = self._process.stdout.readline() if ready else b""
        with suppress(orjson.JSONDecodeError):  # an error that is told in lines is no answer
            answer: dict[str, Any] = orjson.loads(line)
            return answer
        self._kill()  # else it would answer later, to what it was not asked
        self._log.seek(0)
        words = self._log.read().decode(errors="replace").strip().splitlines()
        raise Void(f"a process {'ended' if ready else 'said nothing'}: {words[-1] if words else 'without a word'}")

    def ask(self, **what: Any) -> dict[str, Any]:
        """Its answer; raises `Void` where it failed at what was asked."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # what it said last is told below
            self._process.stdin.write(orjson.dumps(what) + b"\n")
        answer = self.hear()
        if failures := answer.get("failures"):
            told = ", ".join(f"{count} times {failure}" for failure, count in failures.items())
            raise Void(f"errors in place of answers: {told}")
        return answer

    def cpu_seconds(self) -> float:
        """Seconds that it has run until now on any core, with the processes that it started; unknown but on Linux."""
        if sys.platform != "linux":
            return math.nan
        # How Linux numbers the CPU clock of another process: finer than the ticks of /proc/PID/stat, and threads that
        # have ended count.
        return sum(time.clock_gettime((~pid << 3) | 2) for pid in self._pids())

    def resident_bytes(self) -> float:
        """Memory that it takes, with the processes that it started; unknown but on Linux."""
        if sys.platform != "linux":
            return math.nan
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self._pids())
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def open_files(self) -> float:
        """Its file descriptors, connections among them; unknown but on Linux."""
        return self._count("fd")

    def threads(self) -> float:
        """Its threads; unknown but on Linux."""
        return self._count("task")

    def _count(self, folder: str) -> float:
        if sys.platform != "linux":
            return math.nan
        return sum(len(list(Path(f"/proc/{pid}/{folder}").iterdir())) for pid in self._pids())

    def _pids(self) -> Iterator[int]:
        waiting = [self._process.pid]
        while waiting:
            pid = waiting.pop()
            yield pid
            for thread in Path(f"/proc/{pid}/task").iterdir():
                with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                    waiting += map(int, (thread / "children").read_text().split())


def module(name: str, *words: str) -> list[str]:
    """The command that runs a module of this package."""
    return [sys.executable, "-m", f"{__package__}.{name}", *words]


def wait_for_port(port: int) -> None:
    """Returns once something listens there; raises `Void` where nothing does."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)
    raise Void(f"nothing listens on port {port}")


def _environment(knows_us: bool) -> dict[str, str]:
    """Ours, without settings that would change what is served, and with what can be imported here."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASAP_") and name != "PYTHONPATH"}
    return kept | ({"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} if knows_us else {})
