"""Nonces in memory: each is claimed once, and no claim takes longer for the many there are."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..limits import Limits
from .protocols import NonceClaim, Refused

__all__ = ["Nonces"]

#: A power of two. A dict that grows is moved as a whole, which for a million nonces takes a good part of a second: in
#: so many dicts none is ever large.
_TABLES: Final = 256
_LAST: Final = _TABLES - 1

#: How many that are over a claim looks for before it is refused for want of room; those left are found by the next.
_SWEEP: Final = 1000


class Nonces:
    """Who has claimed which nonces, and until when; bounded, and none goes before its time."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.nonces
        self._each = limits.nonces_each
        self._count = 0
        self._until: tuple[dict[tuple[str, str], float], ...] = tuple({} for _ in range(_TABLES))
        #: How many of them each sender has.
        self._senders: tuple[dict[str, int], ...] = tuple({} for _ in range(_TABLES))
        #: In the order of their claims: all live equally long, so they end in that order. One that is claimed anew
        #: stands here twice; the first of these is passed over, by its time.
        self._order: deque[tuple[tuple[str, str], float]] = deque()

    def __len__(self) -> int:
        return self._count

    def claim(self, claim: NonceClaim, *, now: float) -> Refused | None:
        """Remembers it, or says why not."""
        sender = claim.sender
        key = (sender, claim.nonce)
        # Not by the bits by which a dict finds the key's place in itself.
        table = self._until[hash(key) >> 16 & _LAST]
        if key in table:
            if now < table[key]:
                return Refused("repeated")
            self._drop(key)  # over, but not forgotten yet
        order = self._order
        # Two for each that comes: the tables shrink as they age, and no caller pays for the whole of them.
        if order and order[0][1] <= now:
            self.forget(now=now, most=2)
        senders = self._senders[hash(sender) >> 16 & _LAST]
        held = senders.get(sender, 0)
        if self._count >= self._most or held >= self._each:
            self.forget(now=now, most=_SWEEP)
            held = senders.get(sender, 0)
            if self._count >= self._most or held >= self._each:
                return Refused("nonces full")
        until = table[key] = claim.until
        order.append((key, until))
        senders[sender] = held + 1
        self._count += 1
        return None

    def forget(self, *, now: float, most: int) -> None:
        """Drops what is over, the oldest first."""
        order = self._order
        for _ in range(most):
            if not order or now < order[0][1]:
                break
            key, until = order.popleft()
            if self._until[hash(key) >> 16 & _LAST].get(key) == until:
                self._drop(key)

    def _drop(self, key: tuple[str, str]) -> None:
        del self._until[hash(key) >> 16 & _LAST][key]
        self._count -= 1
        sender = key[0]
        senders = self._senders[hash(sender) >> 16 & _LAST]
        if senders[sender] == 1:
            del senders[sender]
        else:
            senders[sender] -= 1
