"""What an agent remembers between exchanges: the protocols, and stores that remember in memory, bounded.

Times are monotonic seconds, handed in. The memory stores are not locked: whoever shares one between
threads holds a lock around each call.
"""

from __future__ import annotations

from typing import Literal, Protocol

from .limits import Limits
from .rules.quota import Allowed, Buckets, Quota, RetryAfter
from .rules.slot import Busy, Fresh, Slot, SlotAnswer, keep, look

__all__ = [
    "Claim",
    "MemoryNonces",
    "MemoryQuotas",
    "MemorySlots",
    "NonceStore",
    "QuotaStore",
    "SlotKey",
    "SlotStore",
]

#: A nonce was claimed, had been claimed before, or can't be remembered now.
Claim = Literal["claimed", "repeated", "full"]

#: Who asked, and the idempotency key.
SlotKey = tuple[str, str]


class NonceStore(Protocol):
    """Which nonces were seen."""

    def claim(self, sender: str, nonce: str, *, now: float, until: float) -> Claim:
        """Remembers the sender's nonce until `until`, in one step with the look whether it is new."""


class SlotStore(Protocol):
    """Which requests are running, and what the others were answered."""

    def open(self, key: SlotKey, digest: bytes, *, now: float, until: float) -> SlotAnswer:
        """What is there; where nothing is, a busy slot from now on, in one step with the look."""

    def keep(self, key: SlotKey, reply: bytes, *, until: float) -> None:
        """The running request was answered so."""

    def free(self, key: SlotKey) -> None:
        """The running request failed in a way that another try may mend."""


class QuotaStore(Protocol):
    """How much each caller has left."""

    def spend(self, caller: str, cost: int, *, now: float) -> Allowed | RetryAfter:
        """Takes what a request costs, or nothing."""


class MemoryNonces:
    """Nonces in memory. When full it refuses: to forget one early would let its envelope in again."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self._most = limits.nonces
        # All live equally long, so they expire in the order of their insertion.
        self._until: dict[tuple[str, str], float] = {}

    def claim(self, sender: str, nonce: str, *, now: float, until: float) -> Claim:
        key = (sender, nonce)
        seen = self._until.get(key)
        if seen is not None and now < seen:
            return "repeated"
        self._forget(now)
        if len(self._until) >= self._most:
            return "full"
        self._until.pop(key, None)
        self._until[key] = until
        return "claimed"

    def _forget(self, now: float) -> None:
        # Two for each that comes: the table shrinks as it ages, and no caller pays for the whole of it.
        for _ in range(2):
            oldest = next(iter(self._until), None)
            if oldest is None or now < self._until[oldest]:
                return
            del self._until[oldest]


class MemorySlots:
    """Slots in memory. When full the oldest kept reply goes; while all are running, a new one has to wait."""

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self._most = limits.slots
        self._bytes_most = limits.slot_bytes
        self._bytes = 0
        self._busy: dict[SlotKey, Slot] = {}
        self._kept: dict[SlotKey, Slot] = {}

    def open(self, key: SlotKey, digest: bytes, *, now: float, until: float) -> SlotAnswer:
        answer = look(self._busy.get(key) or self._kept.get(key), digest=digest, now=now)
        if not isinstance(answer, Fresh):
            return answer
        self._drop(key)
        self._shrink(now, room_for=1)
        if len(self._busy) >= self._most:
            return Busy()
        self._busy[key] = Slot(digest, until)
        return answer

    def keep(self, key: SlotKey, reply: bytes, *, until: float) -> None:
        slot = self._busy.pop(key, None)
        if slot is not None:
            self._kept[key] = keep(slot, reply, until=until)
            self._bytes += len(reply)
            self._shrink(0.0, room_for=0)

    def free(self, key: SlotKey) -> None:
        self._busy.pop(key, None)

    def _shrink(self, now: float, *, room_for: int) -> None:
        """Drops kept replies that are over, or that there is no room for; the oldest stand first."""
        while self._kept:
            oldest = next(iter(self._kept))
            crowded = len(self._busy) + len(self._kept) + room_for > self._most or self._bytes > self._bytes_most
            if not crowded and now < self._kept[oldest].until:
                return
            self._drop(oldest)

    def _drop(self, key: SlotKey) -> None:
        self._busy.pop(key, None)
        if slot := self._kept.pop(key, None):
            self._bytes -= len(slot.reply)


class MemoryQuotas:
    """Quotas in memory. When full the caller unseen for longest is forgotten: it finds full buckets again."""

    def __init__(self, quota: Quota, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self._quota = quota
        self._most = limits.callers
        self._buckets: dict[str, Buckets] = {}

    def spend(self, caller: str, cost: int, *, now: float) -> Allowed | RetryAfter:
        buckets = self._buckets.pop(caller, None) or self._quota.full(now)
        answer, self._buckets[caller] = self._quota.spend(buckets, now=now, cost=cost)
        if len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return answer
