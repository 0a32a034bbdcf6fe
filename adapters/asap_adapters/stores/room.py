"""Room for nonces where they lie in tables: to count them takes too long for each request."""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["Room"]

#: How long to go by one count.
_COUNT_SECONDS: Final = 1.0


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
