"""The connections of one server: whom it hangs up on when there are too many, and one timer for whoever is late."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

from asap_proto.limits import Limits

from .._shared.crowd import Crowd

__all__ = ["Connection", "Connections"]


class Connection(Protocol):
    """One of them."""

    transport: asyncio.Transport

    def expire(self) -> None:
        """What was to come of it is late."""
        ...


class Connections:
    """All that are open. A timer for each would cost every request more than all its bounds, and be kept while idle."""

    def __init__(self, limits: Limits) -> None:
        self.crowd: Crowd[Connection] = Crowd(limits)
        self._is_looking = False

    def come(self, one: Connection) -> None:
        """Lets it in, and hangs up on another one, or on itself, where there is no room."""
        too_many = self.crowd.come(one, monotonic())
        if not self._is_looking:
            self._is_looking = True
            self._look_for_late()
        if too_many is not None:
            too_many.transport.abort()

    def _look_for_late(self) -> None:
        now = monotonic()
        try:
            for connection in self.crowd.late(now):
                connection.expire()
        finally:  # whatever becomes of one, there are others
            self._is_looking = bool(self.crowd.members)
            if self._is_looking:
                asyncio.get_running_loop().call_later(self.crowd.next_look(now) - now, self._look_for_late)
