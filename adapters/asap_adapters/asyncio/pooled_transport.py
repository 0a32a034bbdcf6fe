"""HTTP/1.1 over a pool of asyncio's own transports, uvloop's among them."""

from __future__ import annotations

import asyncio
import functools
import math
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from asap_proto.errors import AsapError, Misuse
from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.rules.targets import Targets

from .._awaiting.transport import Resolve
from .._shared.addresses import Forbidden, Refused, Resolved, addresses_of, turns
from .._shared.http1.answers import AnswerBroken, AnswerReader
from .._shared.http1.place import PoolExhausted
from .._shared.http1.pool import Pool
from .._shared.http1.pooled import BasePooled
from .._shared.http1.wire import Stale, is_readable
from .._shared.streams import OpenedStream
from .._shared.tls import why_not

__all__ = ["PooledTransport"]

#: Bytes of a stream that wait for their reader before no more are read, and of a body that is not worth a copy.
_HELD_BYTES: Final = 64 * 1024


class _Connection(asyncio.Protocol):
    """One connection. It hears what comes by itself, and needs no task for that."""

    __slots__ = (
        "_held",
        "_is_paused",
        "_loop",
        "_owner",
        "_reader",
        "_timer",
        "_timer_at",
        "_told",
        "_transport",
        "_until",
        "error",
        "is_lost",
        "is_used",
    )

    _transport: asyncio.Transport

    def __init__(self, owner: PooledTransport, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        # Of the exchange that is under way: what reads its answer, who waits for that, and until when.
        self._reader: AnswerReader | None = None
        self._told: asyncio.Future[None] | None = None
        self._until = math.inf
        # Set once for many exchanges: each only says until when it may last.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = math.inf
        self._held = 0
        self._is_paused = False
        #: Why nothing more comes of the answer.
        self.error: Exception | None = None
        #: Whether an answer came over it before.
        self.is_used = False
        #: Whether its transport is closed.
        self.is_lost = False

    # -- what is asked of it ------------------------------------------------------------------------------------------

    def is_quiet(self) -> bool:
        """Whether nothing came that nobody has asked for: it ends by itself then, but may not have had its turn yet."""
        return not self.is_closing() and not is_readable(self._transport.get_extra_info("socket").fileno())

    def is_closing(self) -> bool:
        """Whether it has ended."""
        return self._transport.is_closing()

    def close(self) -> None:
        """Ends it at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, math.inf
        self._transport.abort()

    def cut(self, error: Exception) -> None:
        """Nothing more comes of the answer; whoever waits for it closes the connection."""
        self.error = error
        self._reader = None
        self._wake()

    def ask(self, head: bytes, body: bytes, reader: AnswerReader, until: float) -> asyncio.Future[None]:
        """Sends a request; done when there is something to tell of its answer, or an `error`."""
        self._reader = reader
        self._until = until
        if until < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._set_timer()
        if len(body) > _HELD_BYTES:
            self._transport.write(head)
            self._transport.write(body)
        else:
            self._transport.write(head + body)
        self._told = told = self._loop.create_future()
        return told

    def read_more(self) -> asyncio.Future[None]:
        """The same of the next piece of a stream, however long that takes."""
        self._held = 0
        self._resume()
        self._told = told = self._loop.create_future()
        return told

    # -- what happens -------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # one for a stream of bytes

    def data_received(self, data: bytes) -> None:
        if (reader := self._reader) is None:
            self._owner.forget(self)
            return
        try:
            is_told = reader.feed(data)
        except (AnswerBroken, AsapError) as error:
            self.cut(error)
            return
        if reader.is_whole:
            self._finish(reader)
        elif is_told:
            self._until = math.inf  # how long a stream may pause says its reader
            self._held += len(data)
            if self._held > _HELD_BYTES and not self._is_paused:
                self._is_paused = True
                self._transport.pause_reading()
            self._wake()

    def eof_received(self) -> None:
        self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self.is_lost = True
        self._owner.remove(self)

    def _end(self, lost: Exception | None) -> None:
        if (reader := self._reader) is None:
            self._owner.forget(self)
            return
        try:
            if lost is not None:
                raise lost
            reader.end()
        except AsapError as error:
            self.cut(error)
        except (AnswerBroken, OSError) as error:
            is_stale = self.is_used and not reader.has_begun and not isinstance(error, ssl.SSLError)
            self.cut(Stale(str(error)) if is_stale else error)
        else:
            self._finish(reader)

    def _finish(self, reader: AnswerReader) -> None:
        """The answer is whole: the connection is there for others before anybody has looked at that."""
        self._reader = None
        self.is_used = True
        self._resume()
        transport = self._transport
        is_sent = not transport.is_closing() and not transport.get_write_buffer_size()
        self._owner.leave(self, is_usable=reader.is_reusable and is_sent)
        self._wake()

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()

    def _set_timer(self) -> None:
        self._timer, self._timer_at = self._loop.call_at(self._until, self._look_at_time), self._until

    def _look_at_time(self) -> None:
        self._timer, self._timer_at = None, math.inf
        if self._reader is None or self._until == math.inf:
            return
        if self._loop.time() < self._until:
            self._set_timer()
        else:
            self.cut(TimeoutError())

    def _wake(self) -> None:
        if self._told is not None and not self._told.done():
            self._told.set_result(None)


class PooledTransport(BasePooled[_Connection, "asyncio.Future[_Connection | None]"]):
    """A `Transport` over connections of its own, which are kept open from one exchange to the next.

    How many there may be, and for how long, says `Limits` (`pool_maxsize` and its like). With `targets` they go to
    those alone, whatever a name leads to; `resolve` says where that is, once for each connection. `tls` is for another
    context than that of the machine's certificates; `uds` the path of a unix socket that is connected to instead. No
    proxy of the environment is used, no redirect followed and no cookie kept.
    """

    def __init__(
        self,
        base_url: str,
        limits: Limits,
        *,
        targets: Targets | None = None,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
        uds: str | None = None,
    ) -> None:
        super().__init__(base_url, limits, targets, tls, uds)
        self._pool = Pool(limits, _is_gone)
        self._resolve = resolve
        self._loop: asyncio.AbstractEventLoop | None = None
        # Those whose transport is not closed yet, and who waits until there are none.
        self._living: set[_Connection] = set()
        self._over: asyncio.Future[None] | None = None
        # For those who wait for a connection.
        self._patience: asyncio.TimerHandle | None = None

    async def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        reader = AnswerReader(request, self._limits)
        try:
            await self._ask(request, reader, timeout)
        except (AnswerBroken, OSError) as error:
            return self._failure(error)
        return reader.response()

    @asynccontextmanager
    async def stream(
        self, request: HttpRequest, timeout: float
    ) -> AsyncIterator[OpenedStream[AsyncIterator[bytes | TransportFailure]] | TransportFailure]:
        reader = AnswerReader(request, self._limits, follow=True)
        try:
            connection = await self._ask(request, reader, timeout)
        except (AnswerBroken, OSError) as error:
            yield self._failure(error)
            return
        try:
            yield OpenedStream(reader.response(), _Pieces(self, connection, reader) if reader.is_streaming else None)
        finally:
            if not reader.is_whole:
                self._lose(connection)

    async def aclose(self) -> None:
        """Gives back every connection; whoever waits for one, or for an answer, is told so."""
        self._enter()
        busy, waiting = self._pool.close()
        for waiter in waiting:
            if not waiter.done():
                self._hand(waiter, None)
        if self._patience is not None:
            self._patience.cancel()
        for connection in busy:
            connection.cut(Misuse("this client is closed"))
            connection.close()
        self._close_dropped()
        while self._living:
            if self._over is None or self._over.done():
                self._over = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._over)

    # -- connections --------------------------------------------------------------------------------------------------

    def _enter(self) -> asyncio.AbstractEventLoop:
        """A connection can't outlive its event loop, nor go to another; raises `Misuse` where both of them run."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            if self._loop is not None:
                if self._loop.is_running():
                    raise Misuse("this client is in use on another event loop; make one for each")
                if not self._loop.is_closed():
                    for connection in self._living:
                        connection.close()
                if not self._pool.is_closed:
                    self._pool = Pool(self._limits, _is_gone)
            self._living = set()
            self._patience = None
            self._loop = loop
        return loop

    async def _ask(self, request: HttpRequest, reader: AnswerReader, timeout: float) -> _Connection:
        """The connection over which there is something to tell of the answer; it is left already if that is whole."""
        head = self._place.head_of(request)
        loop = self._enter()
        now = loop.time()
        until = now + timeout
        connection = self._idle(now)
        if connection is None:
            if not self._pool.claim():
                connection = await self._waited(loop, now, until)
            if connection is None:
                connection = await self._opened(loop, until)
        while True:
            try:
                if connection.is_closing():  # before this task, which has opened it, had its turn
                    raise AnswerBroken("it hung up")
                await connection.ask(head, request.body, reader, until)
                if connection.error is not None:
                    raise connection.error
                return connection
            except Stale:
                connection.close()
                self._pool.replace(connection)
                connection = await self._opened(loop, until)
            except BaseException:
                if not reader.is_whole:
                    self._lose(connection)
                raise

    async def _waited(self, loop: asyncio.AbstractEventLoop, now: float, until: float) -> _Connection | None:
        """A connection, or a place for one."""
        waiter: asyncio.Future[_Connection | None] = loop.create_future()
        self._pool.wait(waiter, now)
        # One timer for all who wait for as long: they give up in the order in which they came.
        timer = None if now + self._limits.pool_timeout <= until else loop.call_at(until, _give_up, waiter)
        if self._patience is None:
            self._set_patience(loop)
        try:
            connection = await waiter
            self._check_open()
        except BaseException:
            self._pool.leave(waiter)
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._return(waiter.result())
            raise
        finally:
            if timer is not None:
                timer.cancel()
        return self._handed(connection)

    def _set_patience(self, loop: asyncio.AbstractEventLoop) -> None:
        due = self._pool.due()
        self._patience = None if due is None else loop.call_at(due, self._look_at_waiting, loop)

    def _look_at_waiting(self, loop: asyncio.AbstractEventLoop) -> None:
        for waiter in self._pool.give_up(loop.time()):
            _give_up(waiter)
        self._set_patience(loop)

    def _return(self, connection: _Connection | None) -> None:
        """What was handed to somebody who has no use for it."""
        if connection is None:
            self._vacate()
        else:
            self.leave(connection, is_usable=not connection.is_closing())

    async def _opened(self, loop: asyncio.AbstractEventLoop, until: float) -> _Connection:
        """A connection in a place that is taken for it."""
        try:
            self._check_open()
            async with asyncio.timeout_at(until):
                connection = await self._connect(loop, until)
        except BaseException:
            self._vacate()
            raise
        self._pool.opened(connection)
        # Not before: of one that is cut off while it is opened, uvloop tells nobody that it is lost.
        if not connection.is_lost:
            self._living.add(connection)
        if self._pool.is_closed:
            self._lose(connection)
            self._check_open()
        return connection

    async def _connect(self, loop: asyncio.AbstractEventLoop, until: float) -> _Connection:
        # The loop makes the socket, and so it is the loop that closes it, whenever this is cut off.
        context = self._tls()
        named: dict[str, Any] = {} if context is None else {"ssl": context, "server_hostname": self._place.name}
        make = functools.partial(_Connection, self, loop)
        try:
            if self._uds is not None:
                return (await loop.create_unix_connection(make, self._uds, **named))[1]
            *others, (last, _) = turns(await self._addresses(loop), until - loop.time())
            for address, seconds in others:
                try:
                    async with asyncio.timeout(seconds):
                        return (await loop.create_connection(make, address, self._place.port, **named))[1]
                except ssl.SSLError:
                    raise  # it has taken the connection: no other is better
                except OSError:
                    continue
            return (await loop.create_connection(make, last, self._place.port, **named))[1]
        except ssl.SSLError as error:
            raise Refused(why_not(error)) from None
        except (Forbidden, Refused, TimeoutError):
            raise
        except OSError:
            raise Refused from None

    async def _addresses(self, loop: asyncio.AbstractEventLoop) -> list[str]:
        place = self._place
        found: Resolved
        try:
            if self._resolve is not None:
                found = await self._resolve(place.host, place.port)
            elif place.is_address:
                found = [(0, 0, 0, "", (place.host,))]  # to look that up would take a thread
            else:
                found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Refused from None
        return addresses_of(found, place.host, self._targets)

    def _hand(self, waiter: asyncio.Future[_Connection | None], connection: _Connection | None) -> None:
        waiter.set_result(connection)

    # -- what connections tell ----------------------------------------------------------------------------------------

    def remove(self, connection: _Connection) -> None:
        """Its transport is closed."""
        self._living.discard(connection)
        if self._over is not None and not self._living and not self._over.done():
            self._over.set_result(None)

    def forget(self, connection: _Connection) -> None:
        """Something came on it, or it was closed, while nothing was asked."""
        self._pool.forget(connection)
        connection.close()

    def leave(self, connection: _Connection, *, is_usable: bool) -> None:
        """Nobody uses it any more."""
        if is_usable:
            self._give(connection, asyncio.get_running_loop().time())
        else:
            self._lose(connection)


class _Pieces:
    """The pieces of a stream, as they come."""

    def __init__(self, owner: PooledTransport, connection: _Connection, reader: AnswerReader) -> None:
        self._owner = owner
        self._connection = connection
        self._reader = reader
        self._is_over = False

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes | TransportFailure:
        reader, connection = self._reader, self._connection
        while not reader.pieces:
            if self._is_over or reader.is_whole:
                raise StopAsyncIteration
            if connection.error is not None:
                self._is_over = True
                if not isinstance(connection.error, AnswerBroken | OSError):
                    raise connection.error
                return self._owner._failure(connection.error)
            await connection.read_more()
        pieces, reader.pieces = reader.pieces, []
        return b"".join(pieces)


def _is_gone(waiter: asyncio.Future[_Connection | None]) -> bool:
    """Whether it was cut off, or gave up, and has not had its turn since."""
    return waiter.done()


def _give_up(waiter: asyncio.Future[_Connection | None]) -> None:
    if not waiter.done():
        waiter.set_exception(PoolExhausted())
