"""Listening before serving: the port is known, and nobody else can take it."""

from __future__ import annotations

import socket

__all__ = ["listen", "url_of"]


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes any that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=2048)
    # What is accepted here inherits it. asyncio sets it by itself only where the protocol was spelt out, and
    # without it an answer in two writes waits for a delayed acknowledgement: 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def url_of(listener: socket.socket) -> str:
    """The base URL of what listens here."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
