"""HTTP by httpx: the one file of the async fronts that knows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from socket import SOCK_STREAM
from typing import Any

import anyio
import httpx

from asap_proto.errors import AsapError, Misuse
from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.rules.targets import Targets
from asap_proto.wire.body import BodyGauge

from .._shared.addresses import Resolved, addresses_of, turns
from .._shared.httpx_values import Place, check_given, headers_of, no_cookies
from .._shared.inflate import Inflater, inflater
from .._shared.streams import OpenedStream, is_stream
from .._shared.tls import shared_tls
from .transport import Resolve

__all__ = ["HttpxTransport"]


class HttpxTransport:
    """A `Transport` over an httpx client of ours, or over one that is handed in (and then left open).

    With `targets` it connects to those alone, whatever a name leads to; `resolve` says where that is, once for each
    connection. No proxy of the environment is ever used: it would resolve the name by itself.
    """

    def __init__(
        self,
        base_url: str,
        limits: Limits,
        client: httpx.AsyncClient | None = None,
        *,
        targets: Targets | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        check_given(client, targets)
        self._place = Place(base_url)
        self._limits = limits
        self._given = client is not None
        self._client = client or _client(targets, resolve or _resolve)

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


class _Guarded:
    """A network backend that connects to targets alone. TLS and Host are none of its business: they keep the name."""

    def __init__(self, inner: Any, targets: Targets, resolve: Resolve) -> None:
        self._inner = inner
        self._targets = targets
        self._resolve = resolve

    async def connect_tcp(self, host: str, port: int, timeout: float | None = None, **named: Any) -> Any:
        import httpcore  # as late as httpx does it: it brings trio and HTTP/2, which a server has no use for

        try:
            found = await self._resolve(host, port)
        except OSError:
            raise httpx.ConnectError(f"{host} has no address") from None
        addresses = addresses_of(found, host, self._targets)
        # The exchange has one deadline, whatever httpx says of this connection.
        *others, (last, left) = turns(addresses, anyio.current_effective_deadline() - anyio.current_time())
        for address, turn in others:
            try:
                return await self._inner.connect_tcp(address, port, timeout=turn, **named)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(last, port, timeout=left, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


async def _resolve(host: str, port: int) -> Resolved:
    return await anyio.getaddrinfo(host, port, type=SOCK_STREAM)


def _client(targets: Targets | None, resolve: Resolve) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(verify=shared_tls(), trust_env=False)
    if targets is not None:
        pool = transport._pool
        # httpx has no public way to hand in a backend; a scenario notices should this one close.
        pool._network_backend = _Guarded(pool._network_backend, targets, resolve)  # type: ignore[assignment]
    return httpx.AsyncClient(transport=transport, trust_env=False, cookies=no_cookies())


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
