"""The connections of one server: who of them makes room, and whose time is over. Told the time, never asking it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import takewhile
from typing import Final, Generic, TypeVar

from asap_proto.limits import Limits

__all__ = ["Crowd"]

#: How long it is looked for nobody at least, however short their times are.
_PAUSE_SECONDS: Final = 0.05

C = TypeVar("C")


class Crowd(Generic[C]):
    """Each connection is in those queues whose turn it waits for, since when; who came first is the first to go.

    A request moves its connection a few times, so each move has a price of its own, however many there are.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        #: All of them.
        self.members: set[C] = set()
        # Nobody waits for us there: they have asked nothing whole since they came, or were answered.
        self._quiet: OrderedDict[C, None] = OrderedDict()
        # The head of a request is to come; and nothing of it has.
        self._heads: OrderedDict[C, float] = OrderedDict()
        self._idle: OrderedDict[C, float] = OrderedDict()

    def come(self, one: C, now: float) -> C | None:
        """Lets it in; gives who has gone to make room, which it is itself where all others wait for answers."""
        self.members.add(one)
        self._quiet[one] = None
        self._heads[one] = now
        if len(self.members) <= self._limits.connections:
            return None
        oldest = next(iter(self._quiet))
        self.go(oldest)
        return oldest

    def go(self, one: C) -> None:
        """It is gone."""
        self.members.discard(one)
        self._quiet.pop(one, None)
        self.listen(one)

    def hear(self, one: C, now: float, *, begins: bool) -> None:
        """Something came of it that is no whole head, and `begins` one or not."""
        if self._idle.pop(one, None) is not None or begins:
            self._heads.pop(one, None)
            self._heads[one] = now

    def listen(self, one: C) -> None:
        """No head of it is waited for."""
        self._heads.pop(one, None)
        self._idle.pop(one, None)

    def ask(self, one: C) -> None:
        """It has asked something whole, and waits for the answer."""
        self._quiet.pop(one, None)

    def answer(self, one: C, now: float) -> None:
        """It was answered."""
        self._quiet.pop(one, None)
        self._quiet[one] = None
        self._idle[one] = now

    @property
    def waited_for(self) -> list[C]:
        """Those of whom a head is to come."""
        return [*self._heads, *self._idle]

    def late(self, now: float) -> list[C]:
        """Those whose time for a head, or to be idle, is over."""
        return [
            *_before(self._heads, now - self._limits.header_seconds),
            *_before(self._idle, now - self._limits.idle_seconds),
        ]

    def next_look(self, now: float) -> float:
        """When somebody may be late at the earliest, whoever comes until then."""
        headers, idle = self._limits.header_seconds, self._limits.idle_seconds
        times = (next(iter(self._heads.values()), now) + headers, next(iter(self._idle.values()), now) + idle)
        return max(now + _PAUSE_SECONDS, min(times))


def _before(queue: OrderedDict[C, float], moment: float) -> Iterator[C]:
    return (one for one, since in takewhile(lambda entry: entry[1] <= moment, queue.items()))
