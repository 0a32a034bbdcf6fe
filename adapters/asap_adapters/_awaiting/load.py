"""How much all requests of one worker take together, against how much they may."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import anyio

from asap_proto.errors import Overloaded
from asap_proto.limits import Limits
from asap_proto.stores import Job

from .._shared.logs import Exchange
from .._shared.performing import Wait

__all__ = ["Caller", "Load"]


class Load:
    """The requests that are answered now, and the bytes of what was asked and is told."""

    __slots__ = ("bytes", "most_bytes", "most_requests", "requests", "waits")

    def __init__(self, limits: Limits) -> None:
        self.most_requests = limits.requests
        self.most_bytes = limits.held_bytes
        #: Not those whose bodies still come: else callers that say nothing more would shut all others out.
        self.requests = 0
        self.bytes = 0
        #: What callers are waited for with: for their bodies, and that they read their streams.
        self.waits: set[Wait] = set()


class Caller:
    """Whoever waits for the answer to one request, and what that takes of the load.

    It is looked after once a handler of its has waited for a while.
    """

    # What is nearly never said: of all instances a class says it at no cost.
    #: Where its request is written down, or told in parts.
    exchange: Exchange | None = None
    #: What runs for it, or has run, of what had to be waited for.
    jobs: list[Job] | None = None
    watch: anyio.CancelScope | None = None
    is_gone = False
    #: Whether it has its answer.
    is_over = False
    _bytes = 0
    _wait: Wait | None = None

    def __init__(self, load: Load, receive: Callable[[], Awaitable[MutableMapping[str, Any]]]) -> None:
        self._load = load
        self.receive = receive

    def as_wait(self) -> Wait:
        """What its body is waited for with, if it has to be."""
        if self._wait is None:
            self._wait = Wait(self._load.waits.add)
        return self._wait

    def hold(self, content: bytes) -> None:
        """Counts what is held of it from now on."""
        size = len(content)
        self._bytes += size
        self._load.bytes += size

    def take(self, piece: bytes) -> bytes:
        """The same of what may still be refused, and hands it back; raises `Overloaded`."""
        load, size = self._load, len(piece)
        self._bytes += size
        load.bytes += size
        if load.bytes > load.most_bytes:
            raise Overloaded("the requests at hand are too large together", facts={"retry_after": 1})
        return piece

    def leave(self) -> None:
        """It has its answer, or needs none any more."""
        self.is_over = True
        if self.watch is not None:
            self.watch.cancel()

    def end(self) -> None:
        """Nothing is held of it any more."""
        self._load.bytes -= self._bytes
        self._bytes = 0
        if not self.is_over:
            self.leave()
