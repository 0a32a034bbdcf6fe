"""HTTP by httpx: the one file of the sync front that knows it."""

from __future__ import annotations

import time
from typing import Protocol

import httpx

from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.wire.body import BodyGauge

from .._shared.httpx_values import ACCEPT_ENCODING, failure, headers_of, shared_tls
from .._shared.inflate import inflater

__all__ = ["HttpxTransport", "Transport"]


class Transport(Protocol):
    """How a client reaches its peer."""

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        """One exchange, over within `timeout` seconds; raises `BodyTooLarge` or `BadEncoding`."""

    def close(self) -> None:
        """Gives back every connection."""


class HttpxTransport:
    """A `Transport` over an httpx client of ours, or over one that is handed in (and then left open)."""

    def __init__(self, base_url: str, limits: Limits, client: httpx.Client | None = None) -> None:
        self._base_url = base_url
        self._limits = limits
        self._given = client is not None
        self._client = client or httpx.Client(verify=shared_tls(), trust_env=False)

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        try:
            return self._exchange(request, timeout)
        except (httpx.HTTPError, TimeoutError) as error:
            return failure(error, self._base_url)

    def _exchange(self, request: HttpRequest, timeout: float) -> HttpResponse:
        over = time.monotonic() + timeout
        with self._client.stream(
            request.method,
            self._base_url + request.target,
            headers={**request.headers, **ACCEPT_ENCODING},
            content=request.body or None,
            timeout=timeout,
            follow_redirects=False,
        ) as response:
            headers = headers_of(response)
            gauge = BodyGauge(self._limits.reply_bytes, what="reply")
            body = inflater(headers.get("content-encoding", "identity"), gauge)
            chunks = []
            for chunk in response.iter_raw():
                chunks.append(body.feed(chunk))
                # httpx bounds each read; a peer that drips could make the whole last for ever.
                if time.monotonic() > over:
                    raise TimeoutError
            body.finish()
            return HttpResponse(response.status_code, headers, b"".join(chunks))

    def close(self) -> None:
        if not self._given:
            self._client.close()
