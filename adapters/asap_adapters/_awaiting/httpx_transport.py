"""HTTP by httpx: the one file of the async fronts that knows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import anyio
import httpx

from asap_proto.errors import AsapError, Misuse
from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.wire.body import BodyGauge

from .._shared.httpx_values import Place, headers_of, no_cookies, shared_tls
from .._shared.inflate import Inflater, inflater
from .._shared.streams import OpenedStream, is_stream

__all__ = ["HttpxTransport", "Transport"]


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


class HttpxTransport:
    """A `Transport` over an httpx client of ours, or over one that is handed in (and then left open)."""

    def __init__(self, base_url: str, limits: Limits, client: httpx.AsyncClient | None = None) -> None:
        self._place = Place(base_url)
        self._limits = limits
        self._given = client is not None
        self._client = client or httpx.AsyncClient(verify=shared_tls(), trust_env=False, cookies=no_cookies())

    async def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        if self._client.is_closed:
            raise Misuse("this client is closed")
        try:
            with anyio.fail_after(timeout):
                return await self._exchange(request, timeout)
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            return self._place.failure(error)

    async def _exchange(self, request: HttpRequest, timeout: float) -> HttpResponse:
        async with self._client.stream(**self._place.request(request, timeout)) as response:
            headers = headers_of(response)
            gauge = BodyGauge(self._limits.reply_bytes, what="reply")
            body = inflater(headers.get("content-encoding", "identity"), gauge)
            chunks = await _read(response, body)
            body.finish()
            return HttpResponse(response.status_code, headers, b"".join(chunks))

    @asynccontextmanager
    async def stream(
        self, request: HttpRequest, timeout: float
    ) -> AsyncIterator[OpenedStream[AsyncIterator[bytes | TransportFailure]] | TransportFailure]:
        if self._client.is_closed:
            raise Misuse("this client is closed")
        async with AsyncExitStack() as stack:
            opened: OpenedStream[AsyncIterator[bytes | TransportFailure]] | TransportFailure
            pieces: AsyncIterator[bytes | TransportFailure] | None = None
            try:
                # An answer may pause for longer than its head may take: whoever reads it says how long.
                sent = self._client.stream(**{**self._place.request(request, timeout), "timeout": None})
                with anyio.fail_after(timeout):
                    response = await stack.enter_async_context(sent)
                    headers = headers_of(response)
                    if is_stream(headers):
                        pieces = self._pieces(response)
                        opened = OpenedStream(HttpResponse(response.status_code, headers), pieces)
                    else:
                        body = inflater(
                            headers.get("content-encoding", "identity"),
                            BodyGauge(self._limits.reply_bytes, what="reply"),
                        )
                        chunks = await _read(response, body)
                        body.finish()
                        opened = OpenedStream(HttpResponse(response.status_code, headers, b"".join(chunks)), None)
            except (httpx.HTTPError, OSError, UnicodeError) as error:
                opened = self._place.failure(error)
            try:
                yield opened
            finally:
                if pieces is not None:
                    await _end(pieces)

    async def _pieces(self, response: httpx.Response) -> AsyncIterator[bytes | TransportFailure]:
        try:
            async for piece in response.aiter_raw():
                yield piece
        except (httpx.HTTPError, OSError) as error:
            yield self._place.failure(error)

    async def aclose(self) -> None:
        if not self._given:
            await self._client.aclose()


async def _end(pieces: AsyncIterator[bytes | TransportFailure]) -> None:
    """Ends httpx's inner generators, as `_read` does: an iterator that is left early leaves them behind."""
    with anyio.CancelScope() as enough:
        enough.cancel()
        async for _ in pieces:
            pass


async def _read(response: httpx.Response, body: Inflater) -> list[bytes]:
    """The body as inflated; raises `BodyTooLarge` or `BadEncoding`."""
    chunks: list[bytes] = []
    refused: AsapError | None = None
    # A loop that is left early leaves httpx's inner generators to the garbage collector; a cancelled read ends them.
    with anyio.CancelScope() as enough:
        async for chunk in response.aiter_raw():
            try:
                chunks.append(body.feed(chunk))
            except AsapError as error:
                refused = refused or error
                enough.cancel()
    if refused is not None:
        raise refused
    return chunks
