"""HTTP/1.1 over a pool of plain sockets that trio watches."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import trio
from outcome import Value

from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.rules.targets import Targets

from .._awaiting.transport import Resolve
from .._shared.addresses import Refused, Resolved, addresses_of, turns
from .._shared.http1.answers import AnswerBroken, AnswerReader
from .._shared.http1.place import PoolExhausted
from .._shared.http1.pooled import BasePooled
from .._shared.http1.wire import Stale, Wait, Wire, connect, exchange, read_more
from .._shared.streams import OpenedStream

__all__ = ["PooledTransport"]

R = TypeVar("R")


class _Wire(Wire):
    """A socket that some task may wait for when it is closed."""

    __slots__ = ()

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
        super().close()


class PooledTransport(BasePooled[_Wire, trio.lowlevel.Task]):
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
        self._resolve = resolve or _resolve

    async def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        reader = AnswerReader(request, self._limits)
        with trio.CancelScope(deadline=trio.current_time() + timeout):
            try:
                wire = await self._ask(request, reader)
            except (AnswerBroken, OSError, trio.ClosedResourceError) as error:
                return self._failure(error)
            self._leave(wire, reader)
            return reader.response()
        return self._failure(TimeoutError())

    @asynccontextmanager
    async def stream(
        self, request: HttpRequest, timeout: float
    ) -> AsyncIterator[OpenedStream[AsyncIterator[bytes | TransportFailure]] | TransportFailure]:
        reader = AnswerReader(request, self._limits, follow=True)
        wire: _Wire | None = None
        failed: Exception = TimeoutError()
        with trio.CancelScope(deadline=trio.current_time() + timeout):
            try:
                wire = await self._ask(request, reader)
            except (AnswerBroken, OSError, trio.ClosedResourceError) as error:
                failed = error
        if wire is None:
            yield self._failure(failed)
            return
        try:
            yield OpenedStream(reader.response(), _Pieces(self, wire, reader) if reader.is_streaming else None)
        finally:
            self._leave(wire, reader)

    async def aclose(self) -> None:
        """Gives back every connection; whoever waits for one, or for an answer, is told so."""
        busy, waiting = self._pool.close()
        for waiter in waiting:
            self._hand(waiter, None)
        for wire in busy:
            wire.close()
        self._close_dropped()
        await trio.lowlevel.checkpoint()

    # -- connections --------------------------------------------------------------------------------------------------

    async def _ask(self, request: HttpRequest, reader: AnswerReader) -> _Wire:
        """The connection over which there is something to tell of the answer."""
        data = self._place.head_of(request) + request.body
        wire = self._idle(trio.current_time())
        if wire is None:
            if not self._pool.claim():
                wire = await self._waited()
            if wire is None:
                wire = await self._opened()
        while True:
            try:
                await _tell(exchange(wire, data, reader))
                return wire
            except Stale:
                wire.close()
                self._pool.replace(wire)
                wire = await self._opened()
            except BaseException:
                self._lose(wire)
                raise

    async def _waited(self) -> _Wire | None:
        """A connection, or a place for one."""
        task = trio.lowlevel.current_task()
        self._pool.wait(task, trio.current_time())

        def leave(_: object) -> trio.lowlevel.Abort:
            self._pool.leave(task)
            return trio.lowlevel.Abort.SUCCEEDED

        with trio.move_on_after(self._limits.pool_timeout):
            wire: _Wire | None = await trio.lowlevel.wait_task_rescheduled(leave)
            if self._pool.is_closed and wire is not None:
                self._lose(wire)
            self._check_open()
            return self._handed(wire)
        raise PoolExhausted

    async def _opened(self) -> _Wire:
        """A connection in a place that is taken for it."""
        try:
            self._check_open()
            wire = await self._connect()
        except BaseException:
            self._vacate()
            raise
        self._pool.opened(wire)
        if self._pool.is_closed:
            self._lose(wire)
            self._check_open()
        return wire

    async def _connect(self) -> _Wire:
        wire = _Wire(await self._reach())
        if (context := self._tls()) is not None:
            try:
                await _tell(wire.encrypt(context, self._place.name))
            except BaseException:
                wire.close()
                raise
        return wire

    async def _reach(self) -> socket.socket:
        if self._uds is not None:
            return await _tell(connect(self._uds, None))
        *others, (last, _) = turns(await self._addresses(), trio.current_effective_deadline() - trio.current_time())
        for address, seconds in others:
            with suppress(Refused), trio.move_on_after(seconds):
                return await _tell(connect(address, self._place.port))
        return await _tell(connect(last, self._place.port))

    async def _addresses(self) -> list[str]:
        host = self._place.host
        try:
            found = await self._resolve(host, self._place.port)
        except (OSError, UnicodeError):
            raise Refused from None
        return addresses_of(found, host, self._targets)

    def _leave(self, wire: _Wire, reader: AnswerReader) -> None:
        """The connection goes back to the pool, if it is of use to others."""
        if reader.is_reusable and wire.is_settled:
            self._give(wire, trio.current_time())
        else:
            self._lose(wire)

    def _hand(self, waiter: trio.lowlevel.Task, connection: _Wire | None) -> None:
        trio.lowlevel.reschedule(waiter, Value(connection))


class _Pieces:
    """The pieces of a stream, as they come."""

    def __init__(self, owner: PooledTransport, wire: _Wire, reader: AnswerReader) -> None:
        self._owner = owner
        self._wire = wire
        self._reader = reader
        self._is_over = False

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes | TransportFailure:
        reader = self._reader
        try:
            while not reader.pieces:
                if self._is_over or reader.is_whole:
                    raise StopAsyncIteration
                await _tell(read_more(self._wire, reader))
        except (AnswerBroken, OSError, trio.ClosedResourceError) as error:
            self._is_over = True
            return self._owner._failure(error)
        pieces, reader.pieces = reader.pieces, []
        return b"".join(pieces)


async def _resolve(host: str, port: int) -> Resolved:
    return await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _tell(steps: Generator[Wait, None, R]) -> R:
    """Tells a story to its end, waiting for what it asks for."""
    try:
        while True:
            try:
                awaited, want = next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            if want == "read":
                await trio.lowlevel.wait_readable(awaited)
            elif want == "write":
                await trio.lowlevel.wait_writable(awaited)
            else:
                await _either(awaited)
    finally:
        steps.close()


async def _either(awaited: socket.socket) -> None:
    """Waits until the socket may be read, or written."""

    async def wait(until: Callable[[socket.socket], Awaitable[None]]) -> None:
        with suppress(trio.ClosedResourceError):  # a group of two is no error that anybody looks for
            await until(awaited)
        nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, trio.lowlevel.wait_readable)
        nursery.start_soon(wait, trio.lowlevel.wait_writable)
