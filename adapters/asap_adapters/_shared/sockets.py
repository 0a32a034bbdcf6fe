"""Sockets as servers need them: one that listens before they serve, and whether a caller is still there."""

from __future__ import annotations

import os
import select
import socket
from typing import Final

__all__ = ["LOOK_SECONDS", "has_hung_up", "listen", "url_of"]

#: How often it is looked whether a caller is still there, while nothing of it is read.
LOOK_SECONDS: Final = 1.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    # What is accepted here inherits it. asyncio sets it by itself only where the protocol was spelt out, and
    # without it an answer in two writes waits for a delayed acknowledgement: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket, *, scheme: str = "http") -> str:
    """The base URL of what listens here; ``unix:`` and its path for a unix socket, which has none."""
    bound = listener.getsockname()
    if isinstance(bound, str):
        return f"unix:{os.path.abspath(bound)}"
    host, port = bound[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def has_hung_up(connection: int) -> bool:
    """Whether the other end has said all that it will, though some of that may be unread yet; by the file's number."""
    look = select.poll()
    look.register(connection, getattr(select, "POLLRDHUP", 0))  # without it, where it has reset the connection
    return bool(look.poll(0))
