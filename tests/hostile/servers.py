"""`asap serve` as a process of its own, and what a test may see of it: its port, its words, its memory."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import frozen

RUNTIMES = ("asyncio", "trio", "sync")
AGENT = "urn:asap:agent:target"
CALLER = "urn:asap:agent:caller"
TOKEN = "token-of-the-caller"

#: Stands in the agent's module, in what its handlers raise, and in its environment: no answer may hold it.
SECRET = "the-secret-of-the-target"

PATIENCE = 60.0  # seconds; only a test that fails waits so long

SOURCE = """
import attrs
from asap_adapters.{runtime} import Agent
from asap_proto.limits import Limits
{imports}

SECRET = {secret!r}
CALLERS = {{{token!r}: {caller!r}, SECRET: "urn:asap:agent:other"}}
OPTIONS = {{
    "open": {{}},
    "guarded": {{
        "token_validator": CALLERS.get,
        "nonces": "require",
        "check_recipient": True,
    }},
    "impatient": {{"limits": Limits(**{{name: value for name, value in {impatience!r}.items()
                                      if name in attrs.fields_dict(Limits)}})}},
}}
@attrs.frozen
class Typed:
    n: int


agent = Agent({agent!r}, name="Target", **OPTIONS[{kind!r}])


@agent.skill("echo")
{colour}def echo(task):
    return {{"echoed": task.input}}


@agent.skill("steps")
{colour}def steps(task):
    for percent in (25, 50, 75):
        {wait}task.progress(percent, "on its way")
    return {{"echoed": task.input}}


@agent.skill("fail")
{colour}def fail(task):
    raise ValueError(SECRET)


@agent.skill("slow")
{colour}def slow(task):
    {wait}sleep(task.input.get("seconds", 1))
    return {{"slept": True}}


@agent.skill("typed")
{colour}def typed(task, input: Typed):
    return {{"n": input.n}}
"""

_SLEEP = {"asyncio": "from asyncio import sleep", "trio": "from trio import sleep", "sync": "from time import sleep"}

#: What the impatient agent is told.
IMPATIENCE = {
    "header_seconds": 1.0,
    "body_seconds": 1.0,
    "idle_seconds": 1.0,
    "handler_seconds": 1.0,
    "requests": 30,
    "handler_threads": 4,
    "request_bytes": 64 * 1024,
}


@frozen
class Served:
    """A server that runs, on this machine."""

    process: "subprocess.Popen[str]"
    runtime: str
    port: int
    folder: Path

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def said(self) -> str:
        """What it has written on stderr."""
        return (self.folder / "stderr").read_text(errors="replace")

    def forget_peaks(self) -> dict[int, int]:
        """Memory of each of its processes now, in KiB; from now on their peaks are counted anew."""
        now = {}
        for pid in family(self.process.pid):
            now[pid] = _memory(pid, "VmRSS")
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return now

    def growth(self, before: dict[int, int]) -> int:
        """KiB by which its processes have grown at most since `before`, together."""
        return sum(_memory(pid, "VmHWM") - before.get(pid, 0) for pid in family(self.process.pid))

    def kept(self, before: dict[int, int]) -> int:
        """KiB by which its processes are larger now than `before`, together."""
        return sum(_memory(pid, "VmRSS") - before.get(pid, 0) for pid in family(self.process.pid))


def _memory(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1])
    raise LookupError(what)


def family(pid: int) -> list[int]:
    """A process and all that came of it and live."""
    found = [pid]
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            found += [one for child in file.read_text().split() for one in family(int(child))]
    return found


@contextmanager
def served(
    folder: Path, runtime: str, kind: str, *words: str, source: str = SOURCE, under: Sequence[str] = ()
) -> Iterator[Served]:
    """A server that is gone when the block is over, of an agent that `source` makes; `under` is what runs it."""
    source = source.format(
        runtime=runtime,
        imports=_SLEEP[runtime],
        secret=SECRET,
        token=TOKEN,
        caller=CALLER,
        impatience=IMPATIENCE,
        agent=AGENT,
        kind=kind,
        colour="" if runtime == "sync" else "async ",
        wait="" if runtime == "sync" else "await ",
    )
    (folder / "target.py").write_text(source)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASAP_")}
    with (folder / "stderr").open("w") as said:
        process = subprocess.Popen(
            [
                *(*under, sys.executable, "-m", "asap_adapters.cli"),
                *("serve", "target:agent", "--port", "0", "--json", *words),
            ],
            cwd=folder,
            env=environment | {"TARGET_SECRET": SECRET},
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            start_new_session=True,
        )
    # A server that says nothing would keep us for ever.
    impatience = threading.Timer(PATIENCE, process.kill)
    impatience.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        impatience.cancel()
        assert line, (folder / "stderr").read_text()
        yield Served(process, runtime, int(json.loads(line)["url"].rpartition(":")[2]), folder)
    finally:
        impatience.cancel()
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
