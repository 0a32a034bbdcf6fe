"""Where a world keeps its state, and what befalls that: a file on a disk of its own, or a server."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Protocol

from attrs import frozen

from stores.servers import PostgresServer, RedisServer, no_file_may_grow

#: Mounts a small file system that no other process sees, says so, and keeps it until nobody needs it any more.
_MOUNT = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")
_MOUNT += ("mount -t tmpfs -o size=16m tmpfs disk; echo mounted; exec cat",)

#: Takes the write lock of a file that is there, says so, and holds it until nobody needs it any more.
_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
"""


class Place(Protocol):
    """Where the state is."""

    @property
    def state(self) -> str:
        """What `--state` is told."""

    @property
    def under(self) -> tuple[str, ...]:
        """What runs a server that is to find it."""

    @property
    def server(self) -> RedisServer | PostgresServer | None:
        """What serves it, if that is a process of its own."""

    def paused(self) -> AbstractContextManager[None]:
        """It answers nobody who writes while the block runs."""

    def full(self, pid: int) -> AbstractContextManager[None]:
        """Its disk takes no more while the block runs; `pid` is the process that has it open, if it has no server."""


@frozen
class File:
    """A file; on a small disk of its own, if this machine lets us mount one."""

    folder: Path
    under: tuple[str, ...] = ()
    #: The disk, as everybody sees it.
    disk: Path | None = None
    state: str = "disk/tasks.db"
    server: None = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Another process holds the file's lock."""
        command = [*self.under, sys.executable, "-c", _LOCK, self.state]
        with _standing_by(command, self.folder) as (_, is_locked):
            assert is_locked
            yield

    @contextmanager
    def full(self, pid: int) -> Iterator[None]:
        """A file takes all that is left, if the disk is the store's own; else no file may grow."""
        if self.disk is None:
            with no_file_may_grow([pid]):
                yield
            return
        filler = self.disk / "filler"
        try:
            with filler.open("wb", buffering=0) as file:
                for size in (65536, 512):
                    with suppress(OSError):
                        while True:
                            file.write(bytes(size))
            yield
        finally:
            filler.unlink()


@frozen
class Database:
    """A server's database that holds nothing else."""

    server: RedisServer | PostgresServer
    state: str
    under: tuple[str, ...] = ()

    def paused(self) -> AbstractContextManager[None]:
        """The server stands still, with its connections open."""
        return self.server.paused()

    def full(self, pid: int) -> AbstractContextManager[None]:
        """The server ends, as it can't write, and is started again once there is room."""
        return self.server.full()


@contextmanager
def on_disk(folder: Path) -> Iterator[File]:
    """A place for a file, which outlives the servers that have it open."""
    (folder / "disk").mkdir()
    with _standing_by(_MOUNT, folder) as (pid, is_mounted):
        if is_mounted:
            under = ("nsenter", f"--target={pid}", "--user", "--mount", "--preserve-credentials")
            # Whoever enters has to go to the folder anew, to be in the one with the disk.
            under += ("sh", "-c", 'cd "$0" && exec "$@"', str(folder))
            yield File(folder, under, Path(f"/proc/{pid}/root{folder}/disk"))
        else:
            yield File(folder)


@contextmanager
def _standing_by(command: Sequence[str], folder: Path) -> Iterator[tuple[int, bool]]:
    """A process that does something at once, and ends with the block: which one it is, and whether it has done it."""
    if shutil.which(command[0]) is None:
        yield 0, False
        return
    with subprocess.Popen(
        command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        # Popen closes what it reads from, and waits until it has ended.
        assert process.stdout is not None
        yield process.pid, process.stdout.readline() != b""
