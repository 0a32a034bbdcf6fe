"""HTTP/1.1 in uvicorn, held to bounds: how large a head may be, how long it may take, and what is one at all."""

from __future__ import annotations

import asyncio
import functools
import re
import ssl
from collections.abc import Coroutine
from contextlib import suppress
from http import HTTPStatus
from time import monotonic
from typing import Any, Final
from urllib.parse import unquote
from weakref import WeakKeyDictionary

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, service_unavailable
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl

from asap_proto.limits import Limits

from .._shared.sockets import LOOK_SECONDS, has_hung_up
from .connections import Connections
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
    # A server has one state, and a process may have several servers, each in an event loop of its own.
    served: WeakKeyDictionary[Any, Connections] = WeakKeyDictionary()

    def begin(server_state: Any, **named: Any) -> BoundedHttp | Handshake:
        if (fellows := served.get(server_state)) is None:
            fellows = served[server_state] = Connections(limits)
        make = functools.partial(BoundedHttp, limits, fellows, server_state=server_state, **named)
        return make() if tls is None else Handshake(limits, tls, make, server_state.connections, fellows)

    return begin


class BoundedHttp(HttpToolsProtocol):
    """One connection. What comes behind something that is no HTTP, or that nobody reads, is never taken for a request.

    A request's head has `Limits.header_seconds`, from its first byte on, and so has a connection until the first;
    between two requests it may be idle for `Limits.idle_seconds`. Trailers are counted, and belong to no request.
    """

    # Beside uvicorn's own there is no room for ours in what all dictionaries of a class share: each connection would
    # have one of its own, of 1.5 kB.
    __slots__ = (
        "_asked",
        "_body_bytes",
        "_fellows",
        "_head_bytes",
        "_headers_count",
        "_last_words",
        "_limits",
        "_look_timer",
        "_over",
        "_part",
        "_raw",
        "_refusal",
        "_turn",
        "_unread",
        "_write_timer",
    )

    cycle: Any
    flow: Any
    headers: Any
    pipeline: Any
    scope: Any

    def __init__(self, limits: Limits, fellows: Connections, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        # Those that wait are in a list of ours: an empty queue takes more than half a kB.
        self.pipeline = None
        self._limits = limits
        self._fellows = fellows
        # What the parser is in: "idle" between two messages, their "head", or their "body", with its trailers.
        self._part = "idle"
        # Of the head, or the body with its chunks: which of them it is, and its bytes but for those of the packet in
        # which it began.
        self._turn = 0
        self._raw = 0
        self._head_bytes = 0
        self._headers_count = 0
        self._body_bytes = 0
        # Those that are not answered yet, in the order in which they came; the first of them is being answered.
        self._asked: list[_Cycle] = []
        # Nothing more is read; and what is still to be said, once all before it is answered.
        self._over = False
        self._last_words = b""
        self._refusal: HTTPStatus | None = None
        self._unread = 0
        self._write_timer: asyncio.TimerHandle | None = None
        self._look_timer: asyncio.TimerHandle | None = None

    # -- time ---------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.flow = _Flow(transport)
        self.server = get_local_addr(transport)
        self.client = get_remote_addr(transport)
        self.scheme = "https" if is_ssl(transport) else "http"
        self.connections.add(self)
        self._fellows.come(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fellows.crowd.go(self)
        self._forget_reader()
        if self._look_timer is not None:
            self._look_timer.cancel()
        super().connection_lost(exc)
        for cycle in self._asked:  # else the last alone would hear of it
            cycle.disconnected = True
            cycle.message_event.set()
        self._asked = []
        self._forget_request()

    def _forget_request(self) -> None:
        """What was asked last is not kept while nothing is asked; nor does it go in a circle with us."""
        self.cycle = self.scope = self.headers = None

    def _look_for_caller(self) -> None:
        """Whoever asks more before it is answered is not read meanwhile, so nobody would say that it is gone."""
        self._look_timer = None
        if len(self._asked) > 1 and not self.transport.is_closing():
            if has_hung_up(self.transport.get_extra_info("socket").fileno()):
                self.transport.abort()
            else:
                self._look_timer = self.loop.call_later(LOOK_SECONDS, self._look_for_caller)

    def expire(self) -> None:
        """A head is late, or the connection was idle for too long."""
        self._fellows.crowd.listen(self)
        if self._part == "head":
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif not self._asked:
            self._leave()

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
        if self._part == "idle":
            if self._turn == turn:
                self._fellows.crowd.hear(self, monotonic(), begins=False)
            return
        if self._turn == turn:
            self._raw += len(data)
        elif self._part == "head":
            self._fellows.crowd.hear(self, monotonic(), begins=True)
        if self._part == "head" and self._raw > self._limits.header_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._part == "body" and self._raw > self._limits.header_bytes + (1 + _CHUNK_BYTES) * self._body_bytes:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._part = "head"
        self._turn += 1
        self._raw = self._head_bytes = self._headers_count = 0

    def on_url(self, url: bytes) -> None:
        self._head_bytes += len(url)
        if self._head_bytes > self._limits.header_bytes:
            raise self._refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        limits = self._limits
        self._headers_count += 1
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > limits.header_bytes or self._headers_count > limits.header_count:
            raise self._refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if self._part == "head":
            self.headers.append((name.lower(), value))

    def _refused(self, status: HTTPStatus) -> Exception:
        """What ends the parser's run, whose own error then says nothing of the reason."""
        self._refusal = status
        return ValueError(status.phrase)

    def on_headers_complete(self) -> None:
        parser, scope = self.parser, self.scope
        version = parser.get_http_version()
        if version not in ("1.0", "1.1"):
            raise self._refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        hosts, waits = [], False
        for name, value in self.headers:
            if name == b"host":
                hosts.append(value.lower())
            elif name == b"expect" and value.lower() == b"100-continue":
                waits = True
        # A host in the target would count, says RFC 9112 section 3.2.2, but the app sees what Host says alone.
        if self.url[:1] != b"/" and (authority := _authority(self.url)) is not None and [authority] != hosts:
            raise self._refused(HTTPStatus.BAD_REQUEST)
        target = httptools.parse_url(self.url)
        path = target.path.decode("ascii")
        scope["http_version"] = version
        scope["method"] = parser.get_method().decode("ascii")
        scope["path"] = self.root_path + (unquote(path) if "%" in path else path)
        scope["raw_path"] = self.root_path.encode("ascii") + target.path
        scope["query_string"] = target.query or b""
        self._fellows.crowd.listen(self)
        self._part = "body"
        self._turn += 1
        self._raw = self._body_bytes = 0
        cycle = self.cycle = _Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=waits,
            keep_alive=version == "1.1" and parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        cycle.connection = self
        self._asked.append(cycle)
        if len(self._asked) == 1:
            self._answer(cycle)
            return
        self.flow.pause_reading()
        if self._look_timer is None:
            self._look_timer = self.loop.call_later(LOOK_SECONDS, self._look_for_caller)

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        cycle = self.cycle
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        cycle.message_event.set()

    def on_message_complete(self) -> None:
        self._part = "idle"
        self._fellows.crowd.ask(self)
        self.cycle.more_body = False
        self.cycle.message_event.set()

    # -- what is answered ---------------------------------------------------------------------------------------------

    def _answer(self, cycle: _Cycle) -> None:
        most = self.limit_concurrency
        is_too_much = most is not None and (len(self.connections) >= most or len(self.tasks) >= most)
        self._start_asgi_task(cycle, service_unavailable if is_too_much else self.app)

    def end_with(self, cycle: _Cycle, message: Any) -> None:
        """Has the connection end with this answer, some of which is to be sent before the request is whole."""
        if message["type"] == "http.response.start":
            self._over = True
            cycle.keep_alive = False
        elif self._over and not message.get("more_body", False):
            cycle.keep_alive = True  # it has said so, and leaves to us how

    def on_response_complete(self) -> None:
        cycle = self._asked.pop(0)
        self.server_state.total_requests += 1
        if cycle.more_body:
            self._hang_up()
            return
        if self.transport.is_closing():
            self._expect_reader()
            return
        self.flow.resume_reading()
        crowd = self._fellows.crowd
        if self._asked:
            self._answer(self._asked[0])
            if self._asked[0].more_body:
                crowd.answer(self, monotonic())
                crowd.listen(self)
            return
        if self._part == "idle":
            self._forget_request()
        crowd.answer(self, now := monotonic())
        if self._part == "head":
            crowd.hear(self, now, begins=True)
        if self._over:
            crowd.listen(self)
        if self._last_words:
            self._say_last()

    def _refuse(self, status: HTTPStatus) -> None:
        """Answers what is no request, once all before it is answered, and hangs up."""
        self._over = True
        self._fellows.crowd.listen(self)
        words = f"{status.value} {status.phrase}\n".encode()
        head = f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: text/plain\r\nconnection: close\r\n"
        self._last_words = f"{head}content-length: {len(words)}\r\n\r\n".encode() + words
        if self._part == "body" and self._asked:
            # The last of them never becomes whole.
            broken = self._asked.pop()
            broken.disconnected = True
            broken.waiting_for_100_continue = False
            broken.message_event.set()
            if broken.response_started:
                self._last_words = b""
        if not self._asked:
            self._say_last()

    def _say_last(self) -> None:
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


class _Cycle(RequestResponseCycle):
    """One request; where its body is not all there when it is answered, the connection ends with it."""

    connection: BoundedHttp

    def send(self, message: Any) -> Coroutine[Any, Any, None]:
        if self.more_body:
            self.connection.end_with(self, message)
        return super().send(message)


class _Flow:
    """What uvicorn asks for by this name: whoever waits until more can be sent has an event, and nobody else."""

    __slots__ = ("_transport", "_waits", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._waits: asyncio.Event | None = None
        self.read_paused = False
        self.write_paused = False

    async def drain(self) -> None:
        while self.write_paused:
            if self._waits is None:
                self._waits = asyncio.Event()
            await self._waits.wait()

    def pause_reading(self) -> None:
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._waits is not None:
            self._waits.set()
            self._waits = None


def _authority(target: bytes) -> bytes | None:
    """The host and port of a target that is a whole URL."""
    scheme, found, rest = target.lower().partition(b"://")
    if not found or scheme not in (b"http", b"https"):
        return None
    return re.split(rb"[/?#]", rest, maxsplit=1)[0]
