"""Who has which connection, and who waits for one: a table without sockets, tasks or locks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from asap_proto.limits import Limits

__all__ = ["Pool"]

C = TypeVar("C")
W = TypeVar("W")


class Pool(Generic[C, W]):
    """Connections to one peer, each busy or idle, and those who wait, in the order in which they came.

    A connection takes a place from when somebody begins to open it until it is gone. Who waits is handed a connection,
    or the place of one that is gone, so nobody who comes later can be first, and nobody looks twice. Each step costs
    the same, however many there are. `is_gone` tells who waits no longer, and has not come to say so.
    """

    __slots__ = ("_busy", "_idle", "_is_gone", "_limits", "_waiting", "dropped", "is_closed", "places")

    def __init__(self, limits: Limits, is_gone: Callable[[W], bool] | None = None) -> None:
        self._limits = limits
        self._is_gone = is_gone
        # When each was last used, the longest ago first.
        self._idle: OrderedDict[C, float] = OrderedDict()
        self._busy: set[C] = set()
        self._waiting: OrderedDict[W, float] = OrderedDict()
        #: How many are open, or being opened.
        self.places = 0
        #: What has to be closed, by whoever has just called; they have no place any more.
        self.dropped: list[C] = []
        self.is_closed = False

    @property
    def idle(self) -> int:
        """How many connections nobody uses."""
        return len(self._idle)

    @property
    def waiting(self) -> int:
        """How many wait for one."""
        return len(self._waiting)

    def take(self, now: float) -> C | None:
        """An idle connection, the one that was used last."""
        while self._idle:
            connection, since = self._idle.popitem()
            if now - since <= self._limits.pool_idle_seconds:
                self._busy.add(connection)
                return connection
            self._drop(connection)
        return None

    def claim(self) -> bool:
        """Takes a place for a connection that is to be opened, if one is left."""
        if self.places >= self._limits.pool_maxsize:
            return False
        self.places += 1
        return True

    def opened(self, connection: C) -> None:
        """A connection has its place now, and whoever has opened it."""
        self._busy.add(connection)

    def wait(self, waiter: W, now: float) -> None:
        """Somebody waits, who found neither a connection nor a place."""
        self._waiting[waiter] = now

    def give_up(self, now: float) -> list[W]:
        """Those who have waited for too long, and do so no more."""
        late: list[W] = []
        while (due := self.due()) is not None and due <= now:
            late.append(self._waiting.popitem(last=False)[0])
        return late

    def due(self) -> float | None:
        """When whoever waits for longest has waited for too long."""
        for since in self._waiting.values():
            return since + self._limits.pool_timeout
        return None

    def leave(self, waiter: W) -> None:
        """Somebody waits no longer."""
        self._waiting.pop(waiter, None)

    def give(self, connection: C, now: float) -> W | None:
        """A connection is of use to others: whoever gets it now, else it is idle."""
        if (waiter := self._next()) is not None:
            return waiter
        self._busy.discard(connection)
        if self.is_closed:
            self._drop(connection)
            return None
        self._idle[connection] = now
        while self._idle:
            oldest, since = next(iter(self._idle.items()))
            is_late = now - since > self._limits.pool_idle_seconds
            if not is_late and len(self._idle) <= self._limits.pool_connections:
                break
            del self._idle[oldest]
            self._drop(oldest)
        return None

    def lose(self, connection: C) -> W | None:
        """A busy connection is gone: whoever may open another in its place."""
        self._busy.discard(connection)
        return self.vacate()

    def replace(self, connection: C) -> None:
        """A busy connection is gone, and whoever had it is to open another in its place."""
        self._busy.discard(connection)

    def vacate(self) -> W | None:
        """A place is free: whoever gets it now."""
        if (waiter := self._next()) is not None:
            return waiter
        self.places -= 1
        return None

    def forget(self, connection: C) -> bool:
        """An idle connection is gone; whether it was one."""
        if self._idle.pop(connection, None) is None:
            return False
        self.places -= 1
        return True

    def close(self) -> tuple[list[C], list[W]]:
        """Nothing is taken from here any more: the busy connections, and those who wait, are to be told."""
        self.is_closed = True
        busy, waiting = list(self._busy), list(self._waiting)
        self._waiting.clear()
        while self._idle:
            self._drop(self._idle.popitem()[0])
        return busy, waiting

    def _next(self) -> W | None:
        while self._waiting:
            waiter, _ = self._waiting.popitem(last=False)
            if self._is_gone is None or not self._is_gone(waiter):
                return waiter
        return None

    def _drop(self, connection: C) -> None:
        self.places -= 1
        self.dropped.append(connection)
