"""HTTP/1.1 by hypercorn on trio, with an eye on the clock, and nothing besides HTTP/1.1."""

from __future__ import annotations

import re
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import h11
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.lifespan import Lifespan
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import MAX_RECV, TCPServer
from hypercorn.trio.worker_context import EventWrapper, WorkerContext
from hypercorn.typing import ConnectionState, LifespanState
from hypercorn.utils import parse_socket_addr, wrap_app

from asap_proto.limits import Limits

from .._shared.logs import safe_logger
from .._shared.sockets import LOOK_SECONDS, has_hung_up

__all__ = ["serve"]

log = safe_logger("asap_adapters.server")

_VERSIONS = (b"1.0", b"1.1")
_has_fold = re.compile(rb"\n[ \t]").search
_lengths = re.compile(rb"\ncontent-length[ \t]*:([^\n]*)", re.IGNORECASE).findall
_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search
#: A path, a whole URL, or the `*` of OPTIONS.
_is_target = re.compile(rb"/.*|https?://.*|\*", re.DOTALL | re.IGNORECASE).fullmatch

#: How long what still comes is heard, and not read, once the last answer of a connection is given.
_LINGER_SECONDS: Final = 1.0
#: Bytes of an answer that its reader takes within `Limits.send_seconds`, at least.
_SEND_BYTES: Final = 64 * 1024


async def serve(
    app: Any,
    config: Config,
    listener: socket.socket,
    *,
    limits: Limits,
    stop: Callable[[], Awaitable[None]],
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves an ASGI app on a socket that listens, until `stop` returns; started once the app is.

    Then requests have `Config.graceful_timeout` seconds to end.
    Raises `LifespanFailureError` for an app that can't start.
    """
    wrapped, state, context = wrap_app(app, config.wsgi_max_body_size, "asgi"), LifespanState({}), WorkerContext(None)
    lifespan = Lifespan(wrapped, config, state)
    crowd: set[_Connection] = set()
    connection = partial(_Connection, wrapped, config, context, ConnectionState(state), limits, crowd)
    config.h11_max_incomplete_size = min(limits.header_bytes, config.h11_max_incomplete_size)
    listener.setblocking(False)
    async with trio.open_nursery() as living:
        await living.start(lifespan.handle_lifespan)
        await lifespan.wait_for_startup()
        async with trio.open_nursery() as connections:
            taken = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
            async with trio.open_nursery() as accepting:
                accepting.start_soon(partial(trio.serve_listeners, connection, [taken], handler_nursery=connections))
                task_status.started()
                await stop()
                accepting.cancel_scope.cancel()
            await context.terminated.set()
            connections.cancel_scope.deadline = trio.current_time() + config.graceful_timeout
        await lifespan.wait_for_shutdown()
        living.cancel_scope.cancel()


class _Connection(TCPServer):
    """One connection: hypercorn has one time for a head and for idleness, and none for what it sends."""

    def __init__(
        self,
        app: Any,
        config: Config,
        context: WorkerContext,
        state: ConnectionState,
        limits: Limits,
        crowd: set[_Connection],
        stream: trio.SocketStream,
    ) -> None:
        super().__init__(app, config, context, state, stream)  # type: ignore[arg-type]
        self._limits = limits
        self._crowd = crowd
        self._quiet_since = trio.current_time()
        # Whether an answer was given, and nothing of the next request has come.
        self._is_idle = False
        # Whether all is said; what still comes is not read.
        self._is_over = False
        # Whether nobody is there any more.
        self._is_gone = False
        self._reading = trio.CancelScope()

    async def run(self) -> None:
        try:
            there = self.stream.socket
            client = parse_socket_addr(there.family, there.getpeername())
            server = parse_socket_addr(there.family, there.getsockname())
            async with TaskGroup() as self._task_group:
                self.protocol = self._http = _Protocol(  # type: ignore[assignment]
                    self._limits,
                    there,
                    self.app,
                    self.config,
                    self.context,
                    self._task_group,
                    ConnectionState(self.state),
                    False,
                    client,
                    server,
                    self.protocol_send,
                )
                self._crowd.add(self)
                if len(self._crowd) > self._limits.connections:
                    self._make_room()
                await self._allow(self._limits.header_seconds)
                await self._read_data()
        except* OSError:
            pass
        except* Exception as error:
            # What is not caught here ends the server, and with it every other connection.
            log.error("a connection was lost", exc_info=error)
        finally:
            self._crowd.discard(self)
            await self._close()

    def _make_room(self) -> None:
        """Hangs up on whoever was answered, or came, longest ago, and has asked nothing whole since then."""
        waiting = [each for each in self._crowd if each._is_waiting()]
        min(waiting, key=lambda each: each._quiet_since).stream.socket.close()

    def _is_waiting(self) -> bool:
        """Whether nobody waits for us here; so it is with who comes, who goes if all others wait."""
        asked = self._http.stream is not None and self._http.connection.their_state is not h11.SEND_BODY
        return not asked and self.stream.socket.fileno() >= 0

    async def protocol_send(self, event: Event) -> None:
        if isinstance(event, RawData):
            async with self.send_lock:
                try:
                    await self._say(event.data)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    await self.protocol.handle(Closed())
        elif isinstance(event, Updated):
            self._is_idle = event.idle
            if event.idle and not self._is_gone:
                self._quiet_since = trio.current_time()
                await self._allow(self._limits.idle_seconds)
            else:
                await self.idle_task.stop()
        elif isinstance(event, Closed):
            self._is_over = True
            if not self._http.is_answering:  # else what came is broken: the answer to it is given to its end
                await self._end()
                await self.protocol.handle(Closed())

    async def _say(self, data: bytes) -> None:
        """Whoever does not read what it is told is hung up on."""
        for start in range(0, len(data), _SEND_BYTES):
            with trio.move_on_after(self._limits.send_seconds) as patience:
                await self.stream.send_all(data[start : start + _SEND_BYTES])
            if patience.cancelled_caught:
                await self.stream.aclose()
                raise trio.ClosedResourceError

    async def _end(self) -> None:
        """Ends our side, and hears the other out for a moment: who still speaks would lose our last words."""
        self._reading.deadline = trio.current_time() + _LINGER_SECONDS
        async with self.send_lock:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.stream.send_eof()

    async def _read_data(self) -> None:
        with self._reading, suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while data := bytes(await self.stream.receive_some(MAX_RECV)):
                if self._is_over:
                    continue
                if self._is_idle:
                    self._is_idle = False
                    await self._allow(self._limits.header_seconds)
                await self.protocol.handle(RawData(data))
            if not self._is_over:
                await self.protocol.handle(RawData(b""))
        self._is_gone = True
        await self.protocol.handle(Closed())
        await self.idle_task.stop()  # which would keep the connection for as long as it waits

    async def _allow(self, seconds: float) -> None:
        """The next request has so long to come, from now."""

        async def expire() -> None:
            with trio.move_on_after(seconds):
                await self.context.terminated.wait()
            with trio.CancelScope(shield=True):
                await self._initiate_server_close()

        await self.idle_task.restart(self._task_group, expire)


class _Protocol(H11Protocol):
    """HTTP/1.0 and 1.1 alone: neither HTTP/2 without TLS nor what only looks like HTTP."""

    def __init__(self, limits: Limits, connection: trio.socket.SocketType, *given: Any) -> None:
        super().__init__(*given)
        self._limits = limits
        self.can_read = _CanRead(connection)
        # The head that is being read, as it comes: h11 mends what is better refused.
        self._head = b""

    async def handle(self, event: Event) -> None:
        if isinstance(event, RawData) and self.connection.their_state is h11.IDLE:
            self._head += event.data
        await super().handle(event)

    async def _maybe_recycle(self) -> None:
        self._head = self.connection.trailing_data[0]  # what came already of the next
        await super()._maybe_recycle()

    @property
    def is_answering(self) -> bool:
        """Whether an answer is begun, and is still to be ended by who gives it."""
        return self.stream is not None and self.connection.our_state is h11.SEND_BODY

    async def _check_protocol(self, event: h11.Request) -> None:
        """No other protocol is changed to."""

    async def _create_stream(self, request: h11.Request) -> None:
        status = self._refusal(request)
        if status is None:
            await super()._create_stream(_without_upgrade(request))
        else:
            await self._send_error_response(status)
            await self.send(Closed())

    def _refusal(self, request: h11.Request) -> HTTPStatus | None:
        """What a head is refused with; nothing for one that is sound."""
        if request.http_version not in _VERSIONS:
            return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
        if request.method != request.method.upper():
            return HTTPStatus.NOT_IMPLEMENTED  # hypercorn would raise it
        ahead = self.connection.trailing_data[0]
        head = self._head[: len(self._head) - len(ahead)]
        self._head = b""
        if _has_fold(head) or len(lengths := _lengths(head)) > 1 or any(b"," in length for length in lengths):
            return HTTPStatus.BAD_REQUEST
        headers = request.headers
        size = len(request.target) + sum(len(name) + len(value) for name, value in headers)
        if len(headers) > self._limits.header_count or size > self._limits.header_bytes:
            return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        if not _is_target(request.target) or any(_has_control(value) for _, value in headers):
            return HTTPStatus.BAD_REQUEST
        return None


class _CanRead(EventWrapper):
    """Whether more is read: not before what came is answered, for whoever asks more before that."""

    def __init__(self, connection: trio.socket.SocketType) -> None:
        super().__init__()
        self._connection = connection

    async def wait(self) -> None:
        """Raises `trio.ClosedResourceError` once the caller is gone: nobody else would say so, as nothing is read."""
        while True:
            with trio.move_on_after(LOOK_SECONDS):
                return await super().wait()
            if self._connection.fileno() < 0 or has_hung_up(self._connection.fileno()):
                raise trio.ClosedResourceError


def _without_upgrade(request: h11.Request) -> h11.Request:
    """The request without a wish for another protocol, which may be passed over (RFC 9110 section 7.8).

    Hypercorn would open a websocket for it, and fail where more comes before that is refused.
    """
    if all(name != b"upgrade" for name, _ in request.headers):
        return request
    headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
    return h11.Request(method=request.method, target=request.target, headers=headers, http_version=request.http_version)
