"""What a machine does to the processes on it: no room on a disk, no file descriptor left."""

import os
import resource
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from asap_proto.errors import AsapError, StateUnavailable
from chaos.world import World, until

#: Mounts a small file system that no other process sees, and then runs what follows.
MOUNTED = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-ec")
MOUNTED += ('mount -t tmpfs -o size=16m tmpfs disk; exec "$@"', "mounted")


def may_mount(folder: Path) -> bool:
    """Whether this machine lets us."""
    (folder / "disk").mkdir()
    try:
        return subprocess.run([*MOUNTED, "true"], cwd=folder, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@contextmanager
def full_disk(world: World) -> Iterator[None]:
    """A file takes all that is left where the store is, if that is a file system of its own; else no file may grow."""
    disk = Path(f"/proc/{world.server.process.pid}/root{world.folder}/disk")
    if world.under:
        with (disk / "filler").open("wb", buffering=0) as filler:
            for size in (65536, 512):
                with suppress(OSError):
                    while True:
                        filler.write(bytes(size))
        yield
        (disk / "filler").unlink()
    else:
        pid = world.server.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        yield
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def no_descriptors(world: World) -> Iterator[None]:
    """Callers who say nothing have each connection that the server can take, and some wait for one."""
    pid = world.server.process.pid
    most = len(os.listdir(f"/proc/{pid}/fd")) + 4
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    with ExitStack() as idle:
        for _ in range(30):
            idle.enter_context(socket.create_connection(world.server.address))
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) >= most - 1)
        yield
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def is_refused(client: Any) -> bool:
    """Whether the store takes nothing that is new."""
    try:
        client.submit("again", {"key": "again-probe", "seconds": 0})
    except AsapError as error:
        return isinstance(error, StateUnavailable)
    return False
