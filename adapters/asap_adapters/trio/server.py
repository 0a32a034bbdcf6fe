"""An ASGI server on trio: HTTP/1.1, with or without TLS, each connection held to bounds."""

from __future__ import annotations

import contextvars
import logging
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from email.utils import formatdate
from typing import Any, Final

import trio

from asap_proto.limits import Limits

from .._shared.asgi import ASGI, http_scope
from .._shared.crowd import Crowd
from .._shared.logs import safe_logger
from .._shared.server_connection import Body, End, Head, ServerConnection
from .._shared.sockets import LOOK_SECONDS, has_hung_up

__all__ = ["AppNotStarted", "serve"]

Message = MutableMapping[str, Any]

log = safe_logger("asap_adapters.server")

#: Bytes that are read at once, and that an answer's reader takes within `Limits.send_seconds`, at least.
_PIECE_BYTES: Final = 64 * 1024
#: How long what still comes is heard, and not read, once the last answer of a connection is given.
_LINGER_SECONDS: Final = 1.0
#: Connections that are taken in before those that are there have their turn.
_TAKEN_AT_ONCE: Final = 100
#: How long nobody is let in once the system has no room for another connection.
_FULL_SECONDS: Final = 0.1
#: What an app may take to wind up, beyond what requests may take to end.
_WIND_UP_SECONDS: Final = 5.0


class AppNotStarted(Exception):
    """The app has said that it can't start, or has failed while it did."""


async def serve(
    app: Any,
    listener: socket.socket,
    *,
    limits: Limits,
    stop: Callable[[], Awaitable[None]],
    grace_seconds: float,
    tls: ssl.SSLContext | None = None,
    access: logging.Logger | None = None,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serves an ASGI app on a socket that listens, of any family, until `stop` returns; started once the app is.

    Then the socket is closed; requests have `grace_seconds` to end, and the app some more to wind up.
    With `tls` it is HTTPS; `access` is told each answer.
    For an app that can't start raises `AppNotStarted`, in the groups of its nurseries.
    """
    listener.setblocking(False)
    if listener.family != getattr(socket, "AF_UNIX", None):
        # Inherited by what is accepted: an answer in two pieces would wait for a delayed acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with listener:
        async with trio.open_nursery() as living:
            life = _Life(app)
            await living.start(life.live)
            server = _Server(app, limits, life.state, tls, access)
            async with trio.open_nursery() as connections:
                async with trio.open_nursery() as accepting:
                    accepting.start_soon(server.accept, listener, connections)
                    accepting.start_soon(server.look_for_late)
                    task_status.started()
                    await stop()
                    accepting.cancel_scope.cancel()
                listener.close()  # whoever comes now is told at once, by nobody being there
                server.end()
                connections.cancel_scope.deadline = trio.current_time() + grace_seconds
            with trio.move_on_after(grace_seconds + _WIND_UP_SECONDS) as patience:
                await life.end()
            if patience.cancelled_caught:
                log.error("the app did not wind up in time, and was cut off")
            living.cancel_scope.cancel()


class _Life:
    """An app from its start to its end; one that knows nothing of these is served without."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.state: dict[str, Any] = {}
        self._is_known = False
        self._is_started = False
        self._failure: str | None = None
        self._told_to_end = trio.Event()
        self._over = trio.Event()

    async def live(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Runs the app's lifespan; started once the app says that it is, or has none."""

        async def receive() -> Message:
            if not self._is_known:
                self._is_known = True
                return {"type": "lifespan.startup"}
            await self._told_to_end.wait()
            return {"type": "lifespan.shutdown"}

        async def send(message: Message) -> None:
            kind = message["type"]
            if kind == "lifespan.startup.complete" and not self._is_started:
                self._is_started = True
                task_status.started()
            elif kind == "lifespan.startup.failed":
                self._failure = message.get("message", "")
                self._told_to_end.set()  # else one that asks on, where it might return, would be waited for
            elif kind == "lifespan.shutdown.failed":
                log.error("the app could not wind up: %s", message.get("message", ""))

        try:
            await self._app({"type": "lifespan", "asgi": ASGI, "state": self.state}, receive, send)
        except Exception as error:
            if self._is_started:
                log.exception("the app's lifespan failed")
            elif self._is_known and self._failure is None:
                raise AppNotStarted(f"{type(error).__name__}: {error}") from error
        finally:
            self._over.set()
        if self._failure is not None:
            raise AppNotStarted(self._failure)
        if not self._is_started:
            task_status.started()

    async def end(self) -> None:
        """Tells the app that all is over, and waits until it has wound up."""
        self._told_to_end.set()
        await self._over.wait()


class _Server:
    """What the connections of one server have in common."""

    def __init__(
        self,
        app: Any,
        limits: Limits,
        state: dict[str, Any],
        tls: ssl.SSLContext | None,
        access: logging.Logger | None,
    ) -> None:
        self.app = app
        self.limits = limits
        self.state = state
        self.tls = tls
        self.access = access
        self.crowd = Crowd[_Connection](limits)
        #: Whether no connection takes another request.
        self.is_ending = False
        # What a connection's task starts with; each request has a copy, so that none finds what another has left.
        self.context = contextvars.copy_context()
        self._date = b""
        self._date_second = 0

    def date(self) -> bytes:
        """The date of an answer that is given now."""
        second = int(time.time())
        if second != self._date_second:
            self._date_second, self._date = second, formatdate(second, usegmt=True).encode()
        return self._date

    async def accept(self, listener: socket.socket, connections: trio.Nursery) -> None:
        """Lets callers in, until cancelled: all who wait, as one at each turn would be overtaken by requests."""
        is_full = False
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                for _ in range(_TAKEN_AT_ONCE):
                    self._take(*listener.accept(), connections)
                is_full = False
            except BlockingIOError:
                is_full = False
            except ConnectionError:
                continue  # whoever it was has left again
            except OSError as error:
                if not is_full:
                    log.error("nobody can be let in: %s", error)
                is_full = True
                await trio.sleep(_FULL_SECONDS)

    def _take(self, caller: socket.socket, address: Any, connections: trio.Nursery) -> None:
        caller.setblocking(False)
        connection = _Connection(self, caller, address)
        too_many = self.crowd.come(connection, trio.current_time())
        connections.start_soon(connection.run, name="a connection")
        if too_many is not None:
            too_many.hang_up()

    async def look_for_late(self) -> None:
        """Ends what takes too long to come, until cancelled."""
        while True:
            now = trio.current_time()
            for connection in self.crowd.late(now):
                connection.expire()
            await trio.sleep_until(self.crowd.next_look(now))

    def end(self) -> None:
        """No connection takes another request."""
        self.is_ending = True
        for connection in self.crowd.waited_for:
            connection.hang_up()


class _Connection:
    """One connection, and its task, in which its requests are answered one by one."""

    __slots__ = ("_address", "_place", "_server", "_socket", "_tls", "_unsent", "http", "is_gone", "receivers")

    def __init__(self, server: _Server, caller: socket.socket, address: Any) -> None:
        self._server = server
        self._socket = caller
        self._address = address
        self._place: dict[str, Any] | None = None
        self._tls: trio.SSLStream[_Wire] | None = None
        # What of an answer the other end has not taken yet.
        self._unsent: list[bytes | memoryview] = []
        self.http = ServerConnection(server.limits)
        #: How many of the app's tasks wait for something to come.
        self.receivers = 0
        #: Whether nobody is there any more, or nobody should.
        self.is_gone = False

    async def run(self) -> None:
        """Answers requests until there are no more, and ends alone, whatever happens."""
        try:
            if self._server.tls is not None:
                self._tls = trio.SSLStream(_Wire(self), self._server.tls, server_side=True)
                await self._tls.do_handshake()
            while (head := await self._next()) is not None:
                goes_on = await self._answer(head)
                del head  # nothing of a request is held while nothing is asked
                if not goes_on:
                    break
            await self._part()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Exception:
            # What is not caught here ends the server, and with it every other connection.
            log.exception("a connection was lost")
        finally:
            self._server.crowd.go(self)
            self.hang_up()
            self.http.close()
            self._socket.close()

    def hang_up(self) -> None:
        """Has whoever waits for the other end see that it is gone."""
        self.is_gone = True
        trio.lowlevel.notify_closing(self._socket)

    def expire(self) -> None:
        """What was to come is late: half a head is answered."""
        self.http.expire()
        if self.http.is_over:
            trio.lowlevel.notify_closing(self._socket)
        else:
            self.hang_up()

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _next(self) -> Head | None:
        """The next request; none, if there is none any more."""
        http, crowd = self.http, self._server.crowd
        event = http.next()
        if event is not None:
            await trio.lowlevel.checkpoint()  # whoever asks much at once is not alone
        while event is None and not self.is_gone and not http.is_over:
            was_in_head = http.is_in_head
            await self.hear()
            event = http.next()
            if event is None:
                crowd.hear(self, trio.current_time(), begins=http.is_in_head and not was_in_head)
        crowd.listen(self)
        return event if isinstance(event, Head) and not self.is_gone else None

    async def _answer(self, head: Head) -> bool:
        """Has the app answer; whether another request may follow."""
        server, http = self._server, self.http
        if http.is_whole:
            server.crowd.ask(self)
        exchange = _Exchange(self, server)
        failure: Exception | None = None
        try:
            await server.app(self._scope(head), exchange, exchange.send)
        except Exception as error:  # noqa: BLE001  (it is told below)
            failure = error
        exchange.is_over = True
        if self.receivers:  # tasks of the app's that it has not waited for: what comes now is not theirs
            trio.lowlevel.notify_closing(self._socket)
        if failure is not None or not (http.is_answered or self.is_gone or http.is_broken):
            await self._fail(failure)
        if server.access is not None:
            server.access.info(
                '%s "%s %s" %d', self._address, head.method, head.target.decode("ascii"), exchange.status
            )
        # Nothing that was set for one request is there in the next: trio takes this up when this task runs again.
        trio.lowlevel.current_task().context = server.context.copy()
        if not http.is_answered or not http.keeps or self.is_gone:
            return False
        now = trio.current_time()
        server.crowd.answer(self, now)
        if http.is_in_head:  # it came with what was answered
            server.crowd.hear(self, now, begins=True)
        return not server.is_ending

    async def _fail(self, failure: Exception | None) -> None:
        """Says that the app has failed; behind half an answer only by ending the connection."""
        http = self.http
        log.error("the app failed" if failure else "the app gave no answer, or half of one", exc_info=failure)
        if http.is_begun:
            self.is_gone = True
        elif not (http.is_answered or self.is_gone or http.is_broken):
            http.begin(500, [(b"content-type", b"text/plain")], date=self._server.date(), keeps=False)
            await self.say(http.say(b"Internal Server Error\n", more=False))

    def _scope(self, head: Head) -> dict[str, Any]:
        if self._place is None:
            here = self._socket.getsockname()
            is_local = isinstance(here, str | bytes)  # a path, of which callers have none
            self._place = {
                "scheme": "http" if self._tls is None else "https",
                "server": (here, None) if is_local else here[:2],
                "client": None if is_local else self._address[:2],
            }
        return http_scope(head, {**self._place, "state": self._server.state.copy()})

    async def _part(self) -> None:
        """Ends our side, and hears the other out for a moment: who still speaks would lose our last words."""
        if self.is_gone:
            return
        if words := self.http.last_words():
            await self.say([words])
        with trio.move_on_after(_LINGER_SECONDS):
            if self._tls is not None:
                await self._tls.aclose()
            if self.http.is_parted:
                return
            self._socket.shutdown(socket.SHUT_WR)
            unread = 0
            while unread <= self._server.limits.request_bytes and (data := await self.pull()):
                unread += len(data)

    # -- bytes --------------------------------------------------------------------------------------------------------

    async def hear(self, exchange: _Exchange | None = None) -> None:
        """Hands on what comes; nothing, where somebody has hung up here, or no longer waits for it."""
        try:
            if self._tls is None:
                await trio.lowlevel.wait_readable(self._socket)
                if exchange is not None and exchange.is_over:
                    return
                data = self._socket.recv(_PIECE_BYTES)
            else:
                data = bytes(await self._tls.receive_some(_PIECE_BYTES))
        except (trio.ClosedResourceError, BlockingIOError):
            return
        except (OSError, trio.BrokenResourceError):
            data = b""
        if not data:
            self.is_gone = True
            return
        self.http.receive(data)
        if exchange is not None and self.http.is_whole:
            self._server.crowd.ask(self)

    async def watch(self, exchange: _Exchange) -> None:
        """Waits until the other end hangs up. What it asks meanwhile is not read, so it is looked for now and then."""
        is_quiet = True
        with suppress(trio.ClosedResourceError):
            while not (exchange.is_over or self.is_gone or self._is_left()):
                if is_quiet:
                    is_quiet = False
                    with suppress(trio.BusyResourceError):  # another task of the app's waits for it
                        await trio.lowlevel.wait_readable(self._socket)
                else:
                    await trio.sleep(LOOK_SECONDS)
        if not exchange.is_over:
            self.is_gone = True

    def _is_left(self) -> bool:
        """Whether the other end has hung up. Not every system's poll tells, but an end with nothing before it shows."""
        try:
            return has_hung_up(self._socket.fileno()) or not self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True

    async def say(self, pieces: list[bytes]) -> None:
        """Sends, as far as anybody is there to hear it."""
        if self.is_gone:
            return
        try:
            if self._tls is None:
                await self.push(pieces)
            else:
                await self._tls.send_all(b"".join(pieces))
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.is_gone = True

    async def push(self, pieces: list[bytes]) -> None:
        """Sends all, and before it what was cut off; hangs up on who does not read."""
        self._unsent += pieces
        if len(self._unsent) == 1:
            self._send()  # nearly always that is all
        while self._unsent and not self.is_gone:
            sent = 0
            with trio.move_on_after(self._server.limits.send_seconds) as patience:
                while self._unsent and sent < _PIECE_BYTES:
                    count = self._send()
                    sent += count
                    if not count:
                        await trio.lowlevel.wait_writable(self._socket)
            if patience.cancelled_caught:
                self.hang_up()

    def _send(self) -> int:
        """Sends of the first piece what is taken at once: so many bytes."""
        piece = self._unsent.pop(0)
        try:
            sent = self._socket.send(piece)
        except BlockingIOError:
            sent = 0
        if sent < len(piece):
            self._unsent.insert(0, memoryview(piece)[sent:])
        return sent

    async def pull(self) -> bytes:
        """What comes, as it is; nothing once the other end has said all."""
        if self.is_gone:  # it was hung up on before it waited: nobody would wake it
            raise trio.ClosedResourceError
        await trio.lowlevel.wait_readable(self._socket)
        return self._socket.recv(_PIECE_BYTES)


class _Exchange:
    """One request and its answer, as the app sees them."""

    __slots__ = ("_connection", "_is_heard", "_is_started", "_server", "is_over", "status")

    def __init__(self, connection: _Connection, server: _Server) -> None:
        self._connection = connection
        self._server = server
        self._is_heard = False
        self._is_started = False
        #: Whether it was answered, or the app has ended without an answer.
        self.is_over = False
        self.status = 0

    @property
    def is_whole(self) -> bool:
        """Whether all of the body is there, and is given without a wait."""
        return self._connection.http.is_whole and not self._is_heard

    async def __call__(self) -> Message:
        """What an app receives: the body, as it comes; behind it, that the caller is gone, or has its answer."""
        connection = self._connection
        connection.receivers += 1
        try:
            if self._is_heard:
                if not self.is_over:
                    await connection.watch(self)
            elif (message := await self._body()) is not None:
                return message
        finally:
            connection.receivers -= 1
        return {"type": "http.disconnect"}

    async def _body(self) -> Message | None:
        """What there is of the body; nothing where no more of it ever comes."""
        connection, http = self._connection, self._connection.http
        pieces: list[bytes] = []
        while not self.is_over and not connection.is_gone:
            event = http.next()
            if isinstance(event, Body):
                pieces.append(event.data)
            elif isinstance(event, End):
                self._is_heard = True
                return {"type": "http.request", "body": b"".join(pieces), "more_body": False}
            elif pieces:
                return {"type": "http.request", "body": b"".join(pieces), "more_body": True}
            elif event is not None:
                return None
            else:
                if words := http.go_on():
                    await connection.say([words])
                await connection.hear(self)
        return None

    async def send(self, message: Message) -> None:
        """Some of the answer. Of a caller who is gone, or never said all, nothing is told here."""
        connection, http, kind = self._connection, self._connection.http, message["type"]
        if self.is_over:
            raise RuntimeError(f"{kind!r} comes behind the end of an answer")
        if not self._is_started:
            if kind != "http.response.start":
                raise RuntimeError(f"{kind!r} comes before the start of an answer")
            self._is_started = True
            self.status = message["status"]
            http.begin(
                self.status, message.get("headers", ()), date=self._server.date(), keeps=not self._server.is_ending
            )
            return
        if kind != "http.response.body":
            raise RuntimeError(f"{kind!r} is no part of an answer")
        more = message.get("more_body", False)
        if connection.is_gone or http.is_broken:
            await trio.lowlevel.checkpoint()
        else:
            pieces = http.say(message.get("body", b""), more=more)
            self.is_over = not more
            await connection.say(pieces)
            if more:
                await trio.lowlevel.checkpoint()  # whoever says much is not alone
        self.is_over = not more


class _Wire(trio.abc.Stream):
    """The bytes below TLS."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._connection.push([bytes(data)])

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        return await self._connection.pull()

    async def aclose(self) -> None:
        """Ends nothing: the connection does it, once TLS has said its last."""
        await trio.lowlevel.checkpoint()
