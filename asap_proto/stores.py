"""What an agent remembers between exchanges: the protocols, and stores that remember in memory, bounded.

All forget the oldest first, so they are ordered dicts: to find the first key of a plain dict takes as long as
there were keys before it. Times are monotonic seconds, handed in.
The memory stores are not locked: whoever shares one between threads holds a lock around each call.
"""

from __future__ import annotations

from collections import OrderedDict
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

#: How often what is over is looked for, though no room is needed.
_TIDY_SECONDS = 1.0

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
        self._until: OrderedDict[tuple[str, str], float] = OrderedDict()

    def claim(self, sender: str, nonce: str, *, now: float, until: float) -> Claim:
        key = (sender, nonce)
        seen = self._until.get(key)
        if seen is not None:
            if now < seen:
                return "repeated"
            del self._until[key]  # over, but not forgotten yet
        self._forget(now)
        if len(self._until) >= self._most:
            return "full"
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
        self._due = 0.0
        self._busy: OrderedDict[SlotKey, Slot] = OrderedDict()
        self._kept: OrderedDict[SlotKey, Slot] = OrderedDict()

    def open(self, key: SlotKey, digest: bytes, *, now: float, until: float) -> SlotAnswer:
        slot = self._busy.get(key) or self._kept.get(key)
        answer = look(slot, digest=digest, now=now)
        if not isinstance(answer, Fresh):
            return answer
        if slot is not None:
            self._drop(key)
        if now >= self._due or len(self._busy) + len(self._kept) >= self._most:
            self._tidy(now, room_for=1)
            if len(self._busy) >= self._most:
                return Busy()
        self._busy[key] = Slot(digest, until)
        return answer

    def keep(self, key: SlotKey, reply: bytes, *, until: float) -> None:
        slot = self._busy.pop(key, None)
        if slot is not None:
            self._kept[key] = keep(slot, reply, until=until)
            self._bytes += len(reply)
            if self._bytes > self._bytes_most:
                self._tidy(0.0, room_for=0)

    def free(self, key: SlotKey) -> None:
        self._busy.pop(key, None)

    def _tidy(self, now: float, *, room_for: int) -> None:
        """Drops what is over, or what there is no room for; the oldest stand first, and running work stays.

        A busy slot is over when its work was cut off: nobody will ever keep its reply.
        """
        while (oldest := next(iter(self._busy), None)) is not None and now >= self._busy[oldest].until:
            self._drop(oldest)
        while (oldest := next(iter(self._kept), None)) is not None:
            crowded = len(self._busy) + len(self._kept) + room_for > self._most or self._bytes > self._bytes_most
            if not crowded and now < self._kept[oldest].until:
                break
            self._drop(oldest)
        self._due = now + _TIDY_SECONDS

    def _drop(self, key: SlotKey) -> None:
        self._busy.pop(key, None)
        if slot := self._kept.pop(key, None):
            self._bytes -= len(slot.reply)


class MemoryQuotas:
    """Quotas in memory. When full the caller unseen for longest is forgotten: it finds full buckets again."""

    def __init__(self, quota: Quota, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self._quota = quota
        self._most = limits.callers
        self._buckets: OrderedDict[str, Buckets] = OrderedDict()

    def spend(self, caller: str, cost: int, *, now: float) -> Allowed | RetryAfter:
        buckets = self._buckets.pop(caller, None) or self._quota.full(now)
        answer, self._buckets[caller] = self._quota.spend(buckets, now=now, cost=cost)
        if len(self._buckets) > self._most:
            del self._buckets[next(iter(self._buckets))]
        return answer
