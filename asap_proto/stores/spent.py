"""Idempotency keys whose reply had to go before its time: a retry of theirs is told so, and is not run again."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b

from .records import Slot

__all__ = ["Spent"]


class Spent:
    """The keys that were spent last, at most so many: some bytes of each, whatever its length."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._keys: dict[bytes, float] = {}
        #: In the order in which they were added: all were kept equally long, so in that order they are over. What was
        #: added again stands here twice; the first of these is passed over, by its time.
        self._order: deque[tuple[bytes, float]] = deque()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, slot: Slot, until: float, *, now: float) -> None:
        """Remembers a key; beyond the bound the oldest is forgotten."""
        order, name = self._order, _named(slot)
        for _ in range(2):  # so many for each that comes, and nobody pays for all
            if order and (order[0][1] <= now or len(order) >= self._most):
                oldest, its_end = order.popleft()
                if self._keys.get(oldest) == its_end:
                    del self._keys[oldest]
        if self._most:
            self._keys[name] = until
            order.append((name, until))

    def has(self, slot: Slot, *, now: float) -> bool:
        """Whether this key is spent, as far as is remembered."""
        return bool(self._keys) and now < self._keys.get(_named(slot), 0.0)


def _named(slot: Slot) -> bytes:
    # With its length in front a caller ends where it ends.
    text = f"{len(slot.caller)} {slot.caller}{slot.key}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
