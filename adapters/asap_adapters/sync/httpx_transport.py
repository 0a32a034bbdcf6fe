"""HTTP by httpx: the one file of the sync front that knows it."""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import httpx

from asap_proto.errors import Misuse
from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.rules.targets import Targets
from asap_proto.wire.body import BodyGauge

from .._shared.addresses import Resolved, addresses_of, turns
from .._shared.httpx_values import Place, check_given, headers_of, no_cookies
from .._shared.inflate import inflater
from .._shared.streams import OpenedStream, is_stream
from .._shared.tls import shared_tls
from .transport import Pieces, Resolve

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
        client: httpx.Client | None = None,
        *,
        targets: Targets | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        check_given(client, targets)
        self._place = Place(base_url)
        self._limits = limits
        self._given = client is not None
        self._deadline = _Deadline()
        self._client = client or _client(self._deadline, targets, resolve or _resolve)

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        if self._client.is_closed:
            raise Misuse("this client is closed")
        self._deadline.at = time.monotonic() + timeout
        try:
            return self._exchange(request, timeout)
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            return self._place.failure(error)

    def _exchange(self, request: HttpRequest, timeout: float) -> HttpResponse:
        with self._client.stream(**self._place.request(request, timeout)) as response:
            headers = headers_of(response)
            gauge = BodyGauge(self._limits.reply_bytes, what="reply")
            body = inflater(headers.get("content-encoding", "identity"), gauge)
            chunks = [body.feed(chunk) for chunk in response.iter_raw()]
            body.finish()
            return HttpResponse(response.status_code, headers, b"".join(chunks))

    @contextmanager
    def stream(self, request: HttpRequest, timeout: float) -> Iterator[OpenedStream[Pieces] | TransportFailure]:
        if self._client.is_closed:
            raise Misuse("this client is closed")
        with ExitStack() as stack:
            self._deadline.at = time.monotonic() + timeout
            opened: OpenedStream[Pieces] | TransportFailure
            try:
                response = stack.enter_context(self._client.stream(**self._place.request(request, timeout)))
                headers = headers_of(response)
                if is_stream(headers):
                    opened = OpenedStream(HttpResponse(response.status_code, headers), self._reader(response))
                else:
                    gauge = BodyGauge(self._limits.reply_bytes, what="reply")
                    body = inflater(headers.get("content-encoding", "identity"), gauge)
                    chunks = [body.feed(chunk) for chunk in response.iter_raw()]
                    body.finish()
                    opened = OpenedStream(HttpResponse(response.status_code, headers, b"".join(chunks)), None)
            except (httpx.HTTPError, OSError, UnicodeError) as error:
                opened = self._place.failure(error)
            yield opened

    def _reader(self, response: httpx.Response) -> Pieces:
        pieces = response.iter_raw()

        def read(timeout: float) -> bytes | TransportFailure | None:
            self._deadline.at = time.monotonic() + timeout
            try:
                return next(pieces, None)
            except (httpx.HTTPError, OSError) as error:
                return self._place.failure(error)

        return read

    def close(self) -> None:
        if not self._given:
            self._client.close()


class _Deadline(threading.local):
    """When the exchange that this thread waits for has to be over."""

    at = math.inf

    def left(self) -> float:
        """Seconds; raises `TimeoutError` when there are none."""
        if (seconds := self.at - time.monotonic()) <= 0:
            raise TimeoutError
        return seconds


class _Hurried:
    """A network backend, or a stream of one, that waits no longer than the deadline.

    httpx bounds each read; a peer that drips could make the whole exchange last for ever.
    """

    def __init__(self, inner: Any, deadline: _Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def connect_tcp(self, *given: Any, timeout: float | None = None, **named: Any) -> _Hurried:
        return self._made(self._inner.connect_tcp(*given, timeout=self._deadline.left(), **named))

    def start_tls(self, *given: Any, timeout: float | None = None, **named: Any) -> _Hurried:
        return self._made(self._inner.start_tls(*given, timeout=self._deadline.left(), **named))

    def read(self, most: int, timeout: float | None = None) -> bytes:
        return self._inner.read(most, timeout=self._deadline.left())  # type: ignore[no-any-return]

    def write(self, data: bytes, timeout: float | None = None) -> None:
        self._inner.write(data, timeout=self._deadline.left())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _made(self, stream: Any) -> _Hurried:
        return _Hurried(stream, self._deadline)


class _Guarded:
    """A network backend that connects to targets alone. TLS and Host are none of its business: they keep the name."""

    def __init__(self, inner: Any, targets: Targets, resolve: Resolve) -> None:
        self._inner = inner
        self._targets = targets
        self._resolve = resolve

    def connect_tcp(self, host: str, port: int, timeout: float, **named: Any) -> Any:
        import httpcore  # as late as httpx does it: it brings trio and HTTP/2, which a server has no use for

        try:
            found = self._resolve(host, port)
        except OSError:
            raise httpx.ConnectError(f"{host} has no address") from None
        *others, (last, left) = turns(addresses_of(found, host, self._targets), timeout)
        for address, turn in others:
            try:
                return self._inner.connect_tcp(address, port, timeout=turn, **named)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return self._inner.connect_tcp(last, port, timeout=left, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def _resolve(host: str, port: int) -> Resolved:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _client(deadline: _Deadline, targets: Targets | None, resolve: Resolve) -> httpx.Client:
    transport = httpx.HTTPTransport(verify=shared_tls(), trust_env=False)
    # httpx has no public way to hand in a backend; a scenario notices should this one close.
    backend: Any = transport._pool._network_backend
    if targets is not None:
        backend = _Guarded(backend, targets, resolve)
    transport._pool._network_backend = _Hurried(backend, deadline)  # type: ignore[assignment]
    return httpx.Client(transport=transport, trust_env=False, cookies=no_cookies())
