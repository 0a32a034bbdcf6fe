"""Loads on a server, as a suite asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import fixtures
from .agents import TOKEN
from .letters import template
from .processes import Child
from .servers import Server

__all__ = ["connected", "rates"]


@contextmanager
def connected(
    load: Child, port: int, connections: int, *, full: bool = False, repeats_mark: bool = True
) -> Iterator[None]:
    """So many connections to a server, each of which was answered once, while the block runs."""
    body = fixtures.requests(1, full=full)[0]
    lines = [
        "POST /asap HTTP/1.1",
        f"host: 127.0.0.1:{port}",
        "content-type: application/json",
        "accept: application/json",
        "asap-version: 2.2, 2.1",
        f"content-length: {len(body)}",
        *([f"authorization: Bearer {TOKEN}"] if full else []),
        "\r\n",
    ]
    try:
        load.ask(
            do="open",
            port=port,
            connections=connections,
            head="\r\n".join(lines),
            letter=template(body),
            repeats_mark=repeats_mark,
        )
        yield
    finally:
        load.ask(do="close")


def rates(
    load: Child, server: Server, connections: int, seconds: float, *, may_refuse: bool = False, **how: Any
) -> dict[str, float]:
    """Requests/s, how late answers are in ms, and the seconds of CPU that the server spends on each."""
    with connected(load, server.port, connections, **how):
        begin = server.process.cpu_seconds()
        told = load.ask(do="run", seconds=seconds, may_refuse=may_refuse)
        cpu = (server.process.cpu_seconds() - begin) / told["answers"]
    return {**{name: told[name] for name in ("rate", "p50", "p95", "p99", "refused")}, "cpu": cpu}
