"""Whoever stops the program of rounds is left with nothing of it: no process, no folder, and a word on what is done."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.world import until
from hostile.servers import PATIENCE, family

HERE = Path(__file__).parent


@contextmanager
def playing(folder: Path, *words: str) -> Iterator["subprocess.Popen[str]"]:
    """The program, which has its temporary folders there; neither it nor what it has started outlives the block."""
    command = [sys.executable, HERE, "--rounds", "50", "--seed", "7", "--json", *words]
    environment = os.environ | {"TMPDIR": str(folder)}
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                for pid in family(process.pid):
                    os.kill(pid, signal.SIGKILL)


def words_of(pid: int) -> list[str]:
    """How a process was started; nothing, if it is gone or has only just come to be."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except FileNotFoundError:
        return []


def server_of(program: "subprocess.Popen[str]") -> int | None:
    """Its `asap serve`, as soon as there is one."""
    return next((pid for pid in family(program.pid) if "target:agent" in words_of(pid)), None)


def sockets(pid: int) -> int:
    """How many a process has open."""
    opened = Path(f"/proc/{pid}/fd").iterdir()
    return sum(os.readlink(each).startswith("socket:") for each in opened if each.is_symlink())


@pytest.mark.parametrize(
    ("number", "store", "callers"),
    [(signal.SIGTERM, "redis", 0), (signal.SIGINT, "sqlite", 3)],
    ids=["SIGTERM while it starts", "SIGINT while callers wait"],
)
def test_nothing_is_left_of_rounds_that_are_stopped(tmp_path, number, store, callers):
    """In the midst of the first one: server, store and folders are gone, and it says that none is done."""
    with playing(tmp_path, "--store", store, "--front", "asyncio") as program:
        until(lambda: server_of(program))
        server = server_of(program)
        # A listener, and what an event loop wakes itself by.
        until(lambda: not callers or sockets(server) >= 3 + callers)
        begun = {pid: words for pid in family(program.pid)[1:] if (words := words_of(pid))}
        # Redis shows its socket, which is in its folder.
        titles = [words[0] for words in begun.values() if "unixsocket:" in words[0]]
        folders = [Path(title.partition("unixsocket:")[2]).parent for title in titles]
        assert [folder.exists() for folder in folders] == [True] * (store == "redis")
        program.send_signal(number)
        said, failed = program.communicate(timeout=PATIENCE)
    document = json.loads(said)
    assert (program.returncode, failed) == (128 + number, "")
    assert (document["stopped"], document["rounds"], document["bad"]) == (True, 0, [])
    left = {pid: words for pid, words in begun.items() if words_of(pid) == words}
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == {}
    assert [path for path in (*tmp_path.iterdir(), *folders) if path.exists()] == []
