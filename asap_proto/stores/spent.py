"""Idempotency keys whose reply had to go before its time: a retry of theirs is told so, and is not run again."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from .records import Slot

__all__ = ["Spent"]


class Spent:
    """The keys that were spent last, at most so many: some bytes of each, whatever its length."""

    def __init__(self, most: int) -> None:
        self._most = most
        # All were kept equally long, so they are over in the order of their insertion.
        self._keys: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._keys)

    def add(self, slot: Slot, until: float, *, now: float) -> None:
        """Remembers a key; beyond the bound the oldest is forgotten."""
        for _ in range(2):  # so many for each that comes, and nobody pays for all
            oldest = next(iter(self._keys), None)
            if oldest is not None and (self._keys[oldest] <= now or len(self._keys) >= self._most):
                del self._keys[oldest]
        if self._most:
            self._keys[_named(slot)] = until

    def has(self, slot: Slot, *, now: float) -> bool:
        """Whether this key is spent, as far as is remembered."""
        return bool(self._keys) and now < self._keys.get(_named(slot), 0.0)


def _named(slot: Slot) -> bytes:
    # With its length in front a caller ends where it ends.
    text = f"{len(slot.caller)} {slot.caller}{slot.key}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
