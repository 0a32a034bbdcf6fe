"""HTTP/1.1 over a pool of plain sockets, for any number of threads."""

from __future__ import annotations

import os
import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from typing import Final, TypeVar

from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.rules.targets import Targets

from .._shared.addresses import Refused, Resolved, addresses_of, turns
from .._shared.http1.answers import AnswerBroken, AnswerReader
from .._shared.http1.place import PoolExhausted
from .._shared.http1.pool import Pool
from .._shared.http1.pooled import BasePooled
from .._shared.http1.wire import Stale, Wait, Wire, connect, exchange, read_more
from .._shared.streams import OpenedStream
from .transport import Pieces, Resolve

__all__ = ["PooledTransport"]

R = TypeVar("R")

#: Eleven days, in seconds: what the system can be told to wait for.
_LONGEST: Final = 1e6
_FLAGS: Final = {"read": 1, "write": 4, "either": 5}  # POLLIN and POLLOUT, which some systems lack


class _Waiter:
    """A thread that waits for a connection."""

    __slots__ = ("_woken", "connection", "is_handed")

    def __init__(self) -> None:
        self._woken = threading.Lock()
        self._woken.acquire()
        #: What it was handed: a connection, or a place for one.
        self.connection: Wire | None = None
        self.is_handed = False

    def wait(self, seconds: float) -> None:
        self._woken.acquire(timeout=min(max(0.0, seconds), _LONGEST))

    def hand(self, connection: Wire | None) -> None:
        self.connection, self.is_handed = connection, True
        self._woken.release()


class PooledTransport(BasePooled[Wire, _Waiter]):
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
        # For the table of connections; nobody waits for anything else while it is held. Whoever holds it may come
        # again: garbage that is collected meanwhile may be a stream, which gives its connection back.
        self._lock = threading.RLock()
        _transports.add(self)

    def send(self, request: HttpRequest, timeout: float) -> HttpResponse | TransportFailure:
        reader = AnswerReader(request, self._limits)
        try:
            wire = self._ask(request, reader, time.monotonic() + timeout)
        except (AnswerBroken, OSError) as error:
            return self._failure(error)
        self._leave(wire, reader)
        return reader.response()

    @contextmanager
    def stream(self, request: HttpRequest, timeout: float) -> Iterator[OpenedStream[Pieces] | TransportFailure]:
        reader = AnswerReader(request, self._limits, follow=True)
        try:
            wire = self._ask(request, reader, time.monotonic() + timeout)
        except (AnswerBroken, OSError) as error:
            yield self._failure(error)
            return
        try:
            yield OpenedStream(reader.response(), self._pieces(wire, reader) if reader.is_streaming else None)
        finally:
            self._leave(wire, reader)

    def _pieces(self, wire: Wire, reader: AnswerReader) -> Pieces:
        def read(timeout: float) -> bytes | TransportFailure | None:
            try:
                if not reader.pieces and not reader.is_whole:
                    _tell(read_more(wire, reader), time.monotonic() + timeout)
            except (AnswerBroken, OSError) as error:
                return self._failure(error)
            pieces, reader.pieces = reader.pieces, []
            return b"".join(pieces) or None

        return read

    def close(self) -> None:
        """Gives back every connection; whoever waits for one, or for an answer, is told so."""
        with self._lock:
            busy, waiting = self._pool.close()
            for waiter in waiting:
                waiter.hand(None)
            for wire in busy:
                wire.shut()
            self._close_dropped()

    def begin_anew(self) -> None:
        """Leaves every connection to the process that this one was forked from: it goes on over them."""
        self._lock = threading.RLock()  # a thread that is not here may have held the other
        inherited = self._pool
        if not inherited.is_closed:
            self._pool = Pool(self._limits)
        busy, _ = inherited.close()
        for wire in (*busy, *inherited.dropped):
            wire.close()

    def _ask(self, request: HttpRequest, reader: AnswerReader, until: float) -> Wire:
        """The connection over which there is something to tell of the answer."""
        data = self._place.head_of(request) + request.body
        wire = self._taken(until) or self._opened(until)
        while True:
            try:
                _tell(exchange(wire, data, reader), until)
                return wire
            except Stale:
                wire.close()
                with self._lock:
                    self._pool.replace(wire)
                wire = self._opened(until)
            except BaseException:
                with self._lock:
                    self._lose(wire)
                raise

    def _taken(self, until: float) -> Wire | None:
        """A connection, or a place for one."""
        with self._lock:
            now = time.monotonic()
            if (wire := self._idle(now)) is not None or self._pool.claim():
                return wire
            waiter = _Waiter()
            self._pool.wait(waiter, now)
        try:
            waiter.wait(min(self._limits.pool_timeout, until - now))
            self._check_open()
            if not waiter.is_handed:
                raise PoolExhausted
        except BaseException:
            with self._lock:
                self._pool.leave(waiter)
                if waiter.is_handed:
                    self._return(waiter.connection)
            raise
        with self._lock:
            return self._handed(waiter.connection)

    def _opened(self, until: float) -> Wire:
        """A connection in a place that is taken for it."""
        try:
            self._check_open()  # what looks like a peer that hung up may be another thread that closes
            wire = self._connect(until)
        except BaseException:
            with self._lock:
                self._vacate()
            raise
        with self._lock:
            self._pool.opened(wire)
            if self._pool.is_closed:
                self._lose(wire)
                self._check_open()
        return wire

    def _connect(self, until: float) -> Wire:
        wire = Wire(self._reach(until))
        if (context := self._tls()) is not None:
            try:
                _tell(wire.encrypt(context, self._place.name), until)
            except BaseException:
                wire.close()
                raise
        return wire

    def _reach(self, until: float) -> socket.socket:
        if self._uds is not None:
            return _tell(connect(self._uds, None), until)
        *others, (last, left) = turns(self._addresses(), until - time.monotonic())
        for address, seconds in others:
            with suppress(Refused, TimeoutError):
                return _tell(connect(address, self._place.port), time.monotonic() + seconds)
        return _tell(connect(last, self._place.port), time.monotonic() + left)

    def _addresses(self) -> list[str]:
        host = self._place.host
        try:
            found = self._resolve(host, self._place.port)
        except (OSError, UnicodeError):
            raise Refused from None
        return addresses_of(found, host, self._targets)

    def _leave(self, wire: Wire, reader: AnswerReader) -> None:
        """The connection goes back to the pool, if it is of use to others."""
        with self._lock:
            if reader.is_reusable and wire.is_settled:
                self._give(wire, time.monotonic())
            else:
                self._lose(wire)

    def _return(self, wire: Wire | None) -> None:
        """What was handed to a thread that has no use for it."""
        if wire is None:
            self._vacate()
        else:
            self._give(wire, time.monotonic())

    def _hand(self, waiter: _Waiter, connection: Wire | None) -> None:
        waiter.hand(connection)


#: All there are.
_transports: weakref.WeakSet[PooledTransport] = weakref.WeakSet()


def _begin_anew() -> None:
    for transport in _transports:
        transport.begin_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _resolve(host: str, port: int) -> Resolved:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _tell(steps: Generator[Wait, None, R], until: float) -> R:
    """Tells a story to its end, waiting for what it asks for; raises `TimeoutError`."""
    while True:
        try:
            awaited, want = next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if not _wait(awaited, want, until - time.monotonic()):
            steps.close()
            raise TimeoutError


def _wait(awaited: socket.socket, want: str, seconds: float) -> bool:
    """Whether it came to that in time."""
    if seconds <= 0:
        return False
    if hasattr(select, "poll"):
        look = select.poll()
        look.register(awaited, _FLAGS[want])
        return bool(look.poll(ceil(min(seconds, _LONGEST) * 1000)))
    reads, writes = [awaited] * (want != "write"), [awaited] * (want != "read")
    return any(select.select(reads, writes, writes, seconds))
