"""What a machine does to a server: it stands still, and has no file descriptor left; and what callers see of it."""

import os
import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from asap_proto.errors import AsapError, StateUnavailable
from chaos.world import World, until


@contextmanager
def standing_still(world: World) -> Iterator[None]:
    """The server does nothing, and its connections stay."""
    world.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        world.signal(signal.SIGCONT)


@contextmanager
def no_descriptors(world: World) -> Iterator[None]:
    """Callers who say nothing have each connection that the server can take, and some wait for one."""
    pid = world.server.process.pid
    most = len(os.listdir(f"/proc/{pid}/fd")) + 4
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, before[1]))
    with ExitStack() as after:
        after.callback(resource.prlimit, pid, resource.RLIMIT_NOFILE, before)
        for _ in range(30):
            after.enter_context(socket.create_connection(world.server.address))
        until(lambda: len(os.listdir(f"/proc/{pid}/fd")) >= most - 1)
        yield


def is_refused(client: Any) -> bool:
    """Whether the store takes nothing that is new."""
    try:
        client.submit("again", {"key": "again-probe", "seconds": 0})
    except AsapError as error:
        return isinstance(error, StateUnavailable)
    return False
