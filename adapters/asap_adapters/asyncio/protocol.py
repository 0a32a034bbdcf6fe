"""HTTP/1.1 in uvicorn, held to bounds: how large a head may be, how long it may take, and what is one at all."""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from asap_proto.limits import Limits

from .._shared.sockets import LOOK_SECONDS, has_hung_up
from .connections import make_room
from .handshake import Handshake

__all__ = ["BoundedHttp", "bounded"]

#: How long what still comes is heard, and not read, once the last answer of a connection is given.
_LINGER_SECONDS: Final = 1.0

#: Bytes of an answer that its reader takes within `Limits.send_seconds`, at least.
_SEND_BYTES: Final = 64 * 1024

#: Bytes that a chunk may take besides the one byte that it has at least: its size, and two ends of line.
_CHUNK_BYTES: Final = 5


def bounded(limits: Limits, *, tls: ssl.SSLContext | None = None) -> Any:
    """The protocol for `uvicorn.Config(http=...)`, which is then given no certificate: `tls` has it."""
    if tls is None:
        return functools.partial(BoundedHttp, limits)

    def begin(server_state: Any, **named: Any) -> Handshake:
        make = functools.partial(BoundedHttp, limits, server_state=server_state, **named)
        return Handshake(limits, tls, make, server_state.connections)

    return begin


class BoundedHttp(HttpToolsProtocol):
    """One connection. What comes behind something that is no HTTP, or that nobody reads, is never taken for a request.

    A request's head has `Limits.header_seconds`, from its first byte on, and so has a connection until the first;
    between two requests it may be idle for `Limits.idle_seconds`. Trailers are counted, and belong to no request.
    """

    def __init__(self, limits: Limits, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._limits = limits
        # What the parser is in: "idle" between two messages, their "head", or their "body", with its trailers.
        self._part = "idle"
        # Of the head, or the body with its chunks: which of them it is, and its bytes but for those of the packet in
        # which it began.
        self._turn = 0
        self._raw = 0
        self._head_bytes = 0
        self._headers_count = 0
        self._body_bytes = 0
        # Those that are not answered yet, in the order in which they came.
        self._asked: deque[Any] = deque()
        # Nothing more is read; and what is still to be said, once all before it is answered.
        self._over = False
        self._last_words = b""
        self._refusal: HTTPStatus | None = None
        self._unread = 0
        self.quiet_since = time.monotonic()
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None

    # -- time ---------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()
        if len(self.connections) > self._limits.connections:
            make_room(self.connections)  # type: ignore[arg-type]  # all of them are ours

    @property
    def is_waiting(self) -> bool:
        return not self.transport.is_closing() and all(cycle.more_body for cycle in self._asked)

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_head()
        self._forget_reader()
        if self._look_timer is not None:
            self._look_timer.cancel()
        super().connection_lost(exc)
        for cycle in self._asked:  # else the last alone would hear of it
            cycle.disconnected = True
            cycle.message_event.set()

    def _look_for_caller(self) -> None:
        """Whoever asks more before it is answered is not read meanwhile, so nobody would say that it is gone."""
        self._look_timer = None
        if len(self._asked) > 1 and not self.transport.is_closing():
            if has_hung_up(self.transport.get_extra_info("socket").fileno()):
                self.transport.abort()
            else:
                self._look_timer = self.loop.call_later(LOOK_SECONDS, self._look_for_caller)

    def _expect_head(self) -> None:
        self._forget_head()
        self._head_timer = self.loop.call_later(self._limits.header_seconds, self._head_is_late)

    def _forget_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._part == "head":
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif not self._asked:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._expect_reader()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reader()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._forget_reader()

    def _expect_reader(self) -> None:
        """Whoever does not read what it is told is hung up on."""
        if self._write_timer is None and (left := self.transport.get_write_buffer_size()):
            self._write_timer = self.loop.call_later(self._limits.send_seconds, self._look_at_reader, left)

    def _look_at_reader(self, before: int) -> None:
        self._write_timer = None
        if self.transport.get_write_buffer_size() > max(0, before - _SEND_BYTES):
            self.transport.abort()
        else:
            self._expect_reader()

    def _forget_reader(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # -- what comes ---------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._over:
            self._unread += len(data)
            if self._unread > self._limits.request_bytes:
                self.transport.close()
            return
        self._unset_keepalive_if_required()
        if self._part == "idle" and self._head_timer is None:
            self._expect_head()
        turn = self._turn
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or HTTPStatus.BAD_REQUEST)
            return
        except httptools.HttpParserUpgrade:
            # Not to another protocol of ours: the request was taken for one without the wish, and is the last.
            self._over = True
            if self._asked:
                self._asked[-1].keep_alive = False
            return
        if self._turn == turn:
            self._raw += len(data)
        if self._part == "head" and self._raw > self._limits.header_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._part == "body" and self._raw > self._limits.header_bytes + (1 + _CHUNK_BYTES) * self._body_bytes:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def _begin(self, part: str) -> None:
        self._part = part
        self._turn += 1
        self._raw = 0

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begin("head")
        self._head_bytes = self._headers_count = 0
        self._expect_head()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers_count += 1
        self._count(len(name) + len(value))
        if self._part == "head":
            super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > self._limits.header_bytes or self._headers_count > self._limits.header_count:
            raise self._refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def _refused(self, status: HTTPStatus) -> Exception:
        """What ends the parser's run, whose own error then says nothing of the reason."""
        self._refusal = status
        return ValueError(status.phrase)

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise self._refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        # A host in the target would count, says RFC 9112 section 3.2.2, but the app sees what Host says alone.
        hosts = [value.lower() for name, value in self.headers if name == b"host"]
        if (authority := _authority(self.url)) is not None and [authority] != hosts:
            raise self._refused(HTTPStatus.BAD_REQUEST)
        super().on_headers_complete()
        self._forget_head()
        self._begin("body")
        self._body_bytes = 0
        self._asked.append(self.cycle)
        # It is run by a task that has not begun yet.
        self.cycle.send = self._telling(self.cycle, self.cycle.send)  # type: ignore[assignment, method-assign]
        if len(self._asked) > 1 and self._look_timer is None:
            self._look_timer = self.loop.call_later(LOOK_SECONDS, self._look_for_caller)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._part = "idle"
        super().on_message_complete()

    # -- what is answered ---------------------------------------------------------------------------------------------

    def _telling(self, cycle: Any, send: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """`send` of one request; where its body is not all there when it is answered, the connection ends with it."""

        async def tell(message: Any) -> None:
            if message["type"] == "http.response.start":
                if cycle.more_body:
                    self._over = True
                    cycle.keep_alive = False
            elif self._over and cycle.more_body and not message.get("more_body", False):
                cycle.keep_alive = True  # it has said so, and leaves to us how
            await send(message)

        return tell

    def on_response_complete(self) -> None:
        cycle = self._asked.popleft()
        self.quiet_since = time.monotonic()
        if cycle.more_body:
            self.server_state.total_requests += 1
            self._hang_up()
            return
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reader()
        elif self._last_words and not self._asked:
            self._say_last()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answers what is no request, once all before it is answered, and hangs up."""
        self._over = True
        self._forget_head()
        words = f"{status.value} {status.phrase}\n".encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        self._last_words = f"{head}content-length: {len(words)}\r\n\r\n".encode() + words
        if self._part == "body" and self._asked:
            # The last of them never becomes whole.
            broken = self._asked.pop()
            if self.pipeline and self.pipeline[0][0] is broken:
                self.pipeline.popleft()
            broken.disconnected = True
            broken.waiting_for_100_continue = False
            broken.message_event.set()
            if broken.response_started:
                self._last_words = b""
        if not self._asked:
            self._say_last()

    def _say_last(self) -> None:
        self._unset_keepalive_if_required()
        self.transport.write(self._last_words)
        self._hang_up()

    def _hang_up(self) -> None:
        """Ends our side, and hears the other out for a moment: who still speaks would lose our last words."""
        self._over = True
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            with suppress(OSError):  # it may be gone already
                self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self._leave)

    def _leave(self) -> None:
        self.transport.close()
        self._expect_reader()


def _authority(target: bytes) -> bytes | None:
    """The host and port of a target that is a whole URL."""
    scheme, found, rest = target.lower().partition(b"://")
    if not found or scheme not in (b"http", b"https"):
        return None
    return re.split(rb"[/?#]", rest, maxsplit=1)[0]
