"""HTTP by httpx: the one file of the async fronts that knows it."""

from __future__ import annotations

from typing import Protocol

import anyio
import httpx

from asap_proto.errors import AsapError, Misuse
from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.wire.body import BodyGauge

from .._shared.httpx_values import Place, headers_of, no_cookies, shared_tls
from .._shared.inflate import Inflater, inflater

__all__ = ["HttpxTransport", "Transport"]


class Transport(Protocol):
    """How a client reaches its peer."""

    async def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        """One exchange, over within `timeout` seconds; raises `BodyTooLarge` or `BadEncoding`."""

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

    async def aclose(self) -> None:
        if not self._given:
            await self._client.aclose()


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
