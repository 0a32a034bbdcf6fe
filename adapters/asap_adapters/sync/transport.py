"""How the clients of the sync front reach a peer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from asap_proto.http import HttpRequest, HttpResponse, TransportFailure

from .._shared.addresses import Resolved
from .._shared.streams import OpenedStream

__all__ = ["Pieces", "Resolve", "Transport"]

#: Where a name leads, as ``getaddrinfo`` answers it.
Resolve = Callable[[str, int], Resolved]

#: Reads the next piece of a body, within so many seconds; none at its end.
Pieces = Callable[[float], bytes | TransportFailure | None]


class Transport(Protocol):
    """How a client reaches its peer."""

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        """One exchange, over within `timeout` seconds; raises `BodyTooLarge` or `BadEncoding`."""

    def stream(
        self, request: HttpRequest, timeout: float
    ) -> AbstractContextManager[OpenedStream[Pieces] | TransportFailure]:
        """One exchange whose answer comes in parts; `timeout` is for its head."""

    def close(self) -> None:
        """Gives back every connection."""
