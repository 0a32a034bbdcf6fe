"""How the clients of the async fronts reach a peer."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.rules.targets import Targets

from .._shared.addresses import Resolved
from .._shared.streams import OpenedStream

__all__ = ["Connect", "Resolve", "Transport"]

#: Where a name leads, as ``getaddrinfo`` answers it.
Resolve = Callable[[str, int], Awaitable[Resolved]]


class Transport(Protocol):
    """How a client reaches its peer."""

    async def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        """One exchange, over within `timeout` seconds; raises `BodyTooLarge` or `BadEncoding`."""

    def stream(
        self, request: HttpRequest, timeout: float
    ) -> AbstractAsyncContextManager[OpenedStream[AsyncIterator[bytes | TransportFailure]] | TransportFailure]:
        """One exchange whose answer comes in parts; `timeout` is for its head."""

    async def aclose(self) -> None:
        """Gives back every connection."""


class Connect(Protocol):
    """Makes the transport of a runtime, to one peer; nothing is connected yet."""

    def __call__(
        self, base_url: str, limits: Limits, *, targets: Targets | None = None, tls: ssl.SSLContext | None = None
    ) -> Transport: ...
