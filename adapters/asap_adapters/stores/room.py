"""Room for nonces where they lie in tables: to count them takes too long for each request."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from asap_proto.limits import Limits

__all__ = ["Room", "Rooms"]

#: How long to go by one count.
_COUNT_SECONDS: Final = 1.0

#: Senders whose nonces need not be counted for each request; those of others are.
_SENDERS: Final = 1000


class Room:
    """How many nonces there are, about: as counted within the last second, and what was added since."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._due = float("-inf")
        self._counted = 0
        self._added = 0

    def take(self, now: float) -> bool | None:
        """Takes the room for one more if there is some; answers None when they must be counted first."""
        with self._lock:
            if not self._due - _COUNT_SECONDS <= now < self._due:
                return None
            if self._counted + self._added < self._most:
                self._added += 1
                return True
            # What we added may have been rolled back.
            return None if self._added else False

    def take_of(self, counted: int, now: float) -> bool:
        """The same, now that they were counted."""
        with self._lock:
            self._due, self._counted, self._added = now + _COUNT_SECONDS, counted, 0
        return bool(self.take(now))


class Rooms:
    """Room for each sender's nonces, and for all."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = Room(limits.nonces)
        self._lock = threading.Lock()
        self._senders: OrderedDict[str, Room] = OrderedDict()

    def take(self, sender: str, now: float, count: Callable[[str | None, int], int]) -> bool:
        """Takes the room for one more if there is some. `count` counts a sender's, or all, up to that many."""
        rooms = ((self._of(sender), sender, self._limits.nonces_each), (self._all, None, self._limits.nonces))
        for room, whose, most in rooms:
            enough = room.take(now)
            if enough is None:
                enough = room.take_of(count(whose, most), now)
            if not enough:
                return False
        return True

    def _of(self, sender: str) -> Room:
        with self._lock:
            room = self._senders.pop(sender, None) or Room(self._limits.nonces_each)
            self._senders[sender] = room
            if len(self._senders) > _SENDERS:
                self._senders.popitem(last=False)
            return room
