"""How much all requests of one worker take together, against how much they may."""

from __future__ import annotations

from asap_proto.errors import Overloaded
from asap_proto.limits import Limits

__all__ = ["Load", "Share"]


class Load:
    """The requests that are answered now, and the bytes of what was asked and is told."""

    __slots__ = ("bytes", "most_bytes", "most_requests", "requests")

    def __init__(self, limits: Limits) -> None:
        self.most_requests = limits.requests
        self.most_bytes = limits.held_bytes
        #: Not those whose bodies still come: else callers that say nothing more would shut all others out.
        self.requests = 0
        self.bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether one more request is too many."""
        return self.requests >= self.most_requests


class Share:
    """What one request has of the bytes."""

    __slots__ = ("_bytes", "_load")

    def __init__(self, load: Load) -> None:
        self._load = load
        self._bytes = 0

    def hold(self, content: bytes) -> None:
        """Counts what is held from now on."""
        size = len(content)
        self._bytes += size
        self._load.bytes += size

    def receive(self, piece: bytes) -> bytes:
        """The same of what may still be refused, and hands it back; raises `Overloaded`."""
        self.hold(piece)
        if self._load.bytes > self._load.most_bytes:
            raise Overloaded("the requests at hand are too large together", facts={"retry_after": 1})
        return piece

    def end(self) -> None:
        """Nothing is held any more."""
        self._load.bytes -= self._bytes
        self._bytes = 0
