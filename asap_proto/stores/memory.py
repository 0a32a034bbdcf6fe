"""Stores that remember in memory, bounded.

All forget the oldest first, so they are ordered dicts: to find the first key of a plain dict takes as long as
there were keys before it. They are not locked: whoever shares one between threads holds a lock around each call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from attrs import evolve

from ..limits import Limits
from ..model import StateSnapshot, TaskStatus
from ..rules.lifecycle import is_final
from ..rules.quota import Allowed, Buckets, Quota, RetryAfter
from ..rules.slot import Fresh, look
from .codec import dump_event, dump_snapshot, load_snapshot
from .protocols import Accepted, NonceClaim, Refused
from .records import Change, TaskEvent, TaskRecord

__all__ = ["MemoryQuotas", "MemoryState"]

_FRESH = Fresh()

#: How often what is over is looked for, though no room is needed.
_TIDY_SECONDS = 1.0

#: Bytes that a record takes beside its request, its reply, its log and its snapshots.
_RECORD_BYTES = 2048


class _Kept:
    """A record, and what was written with it."""

    __slots__ = ("events", "record", "size", "snapshots")

    def __init__(self, record: TaskRecord, events: Sequence[TaskEvent]) -> None:
        self.record = record
        self.events = [*events]
        # Written out, so that what a handler goes on to do with its data changes nothing here.
        self.snapshots: OrderedDict[int, tuple[str, bytes]] | None = None
        self.size = _RECORD_BYTES + record.job.size


class MemoryState:
    """A `StateStore` in memory. When full the oldest finished task goes; while none is, new ones have to wait.

    Nonces are never forgotten early: that would let their envelopes in again. A task whose lease is over was cut
    off, and makes room for a retry of itself.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self._limits = limits
        self._bytes = 0
        self._due = 0.0
        self._live: OrderedDict[str, _Kept] = OrderedDict()
        self._done: OrderedDict[str, _Kept] = OrderedDict()
        self._slots: dict[tuple[str, str], str] = {}
        # All live equally long, so they expire in the order of their insertion.
        self._nonces: OrderedDict[tuple[str, str], float] = OrderedDict()

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        slot = record.job.slot if record is not None else None
        if slot is not None and (held := self._held(slot.caller, slot.key, now)) is not None:
            known = held.job.slot
            return look(held.id, held.reply, known=known.digest if known else b"", digest=slot.digest)
        if record is not None:
            if now >= self._due:
                self._tidy(now)
            if self._is_crowded(record.job.size) and not self._make_room(record.job.size):
                return Refused("tasks full")
        if nonce is not None and (refused := self._claim(nonce, now)) is not None:
            return refused
        if record is not None:
            kept = self._live[record.job.task_id] = _Kept(record, events)
            self._bytes += kept.size
            if slot is not None:
                self._slots[slot.caller, slot.key] = record.job.task_id
        return _FRESH

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        kept = self._live.get(task_id) or self._done.get(task_id)
        return kept.record if kept is not None and now < kept.record.expires else None

    def write(self, change: Change) -> bool:
        record = change.record
        task_id = record.job.task_id
        kept = self._live.get(task_id)
        if kept is None or kept.record.version != record.version - 1:
            return False
        if record.job.slot is None and (slot := kept.record.job.slot) is not None:
            self._slots.pop((slot.caller, slot.key), None)
        kept.record = record
        before = kept.size
        if change.events:
            self._log(kept, change.events)
        if change.snapshot is not None:
            self._save(kept, change.snapshot)
        if record.reply is not None:
            kept.size += len(record.reply)
        self._bytes += kept.size - before
        if is_final(record.status):
            self._done[task_id] = self._live.pop(task_id)
        while self._bytes > self._limits.task_bytes and self._done:
            self._drop(next(iter(self._done)))
        return True

    def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        kept = self._live.get(task_id) or self._done.get(task_id)
        return tuple(event for event in kept.events if event.number > after)[:most] if kept else ()

    def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        kept = self._live.get(task_id) or self._done.get(task_id)
        for version, (id, text) in reversed(kept.snapshots.items() if kept and kept.snapshots else ()):
            if which is None or which in (version, id):
                return load_snapshot(task_id, text)
        return None

    def renew(self, owner: str, *, until: float) -> Mapping[str, int]:
        held = {}
        for id, kept in self._live.items():
            if kept.record.owner == owner:
                kept.record.lease = until  # type: ignore[misc]  # the record is ours
                held[id] = kept.record.version
        return held

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        taken: list[TaskRecord] = []
        for kept in self._live.values():
            if len(taken) == most:
                break
            if kept.record.lease <= now and kept.record.status is not TaskStatus.INPUT_REQUIRED:
                kept.record = _owned(kept.record, owner, until)
                taken.append(kept.record)
        return tuple(taken)

    def tasks(self, *, status: TaskStatus | None = None, after: str = "", most: int = 100) -> tuple[TaskRecord, ...]:
        found = sorted(id for id in (*self._live, *self._done) if id > after)
        records = ((self._live.get(id) or self._done[id]).record for id in found)
        return tuple(record for record in records if status in (None, record.status))[:most]

    def forget(self, *, now: float, most: int = 1000) -> int:
        gone = [id for id, kept in self._done.items() if now >= kept.record.expires][:most]
        for id in gone:
            self._drop(id)
        return len(gone)

    def _held(self, caller: str, key: str, now: float) -> TaskRecord | None:
        """Whose slot this is, if it is not over."""
        id = self._slots.get((caller, key))
        if id is None:
            return None
        kept = self._live.get(id)
        if (kept is not None and now < kept.record.lease) or (kept is None and now < self._done[id].record.expires):
            return (kept or self._done[id]).record
        if kept is not None and kept.record.status is TaskStatus.INPUT_REQUIRED:
            return kept.record
        self._drop(id)
        return None

    def _claim(self, claim: NonceClaim, now: float) -> Refused | None:
        key = (claim.sender, claim.nonce)
        seen = self._nonces.get(key)
        if seen is not None:
            if now < seen:
                return Refused("repeated")
            del self._nonces[key]  # over, but not forgotten yet
        # Two for each that comes: the table shrinks as it ages, and no caller pays for the whole of it.
        for _ in range(2):
            oldest = next(iter(self._nonces), None)
            if oldest is None or now < self._nonces[oldest]:
                break
            del self._nonces[oldest]
        if len(self._nonces) >= self._limits.nonces:
            return Refused("nonces full")
        self._nonces[key] = claim.until
        return None

    def _is_crowded(self, size: int) -> bool:
        limits, size = self._limits, _RECORD_BYTES + size
        return len(self._live) + len(self._done) >= limits.tasks or self._bytes + size > limits.task_bytes

    def _make_room(self, size: int) -> bool:
        """Drops the oldest finished tasks until there is room; answers whether there is."""
        while self._done and self._is_crowded(size):
            self._drop(next(iter(self._done)))
        return not self._is_crowded(size)

    def _tidy(self, now: float) -> None:
        """Drops what has expired, the oldest first."""
        while (oldest := next(iter(self._done), None)) is not None and now >= self._done[oldest].record.expires:
            self._drop(oldest)
        self._due = now + _TIDY_SECONDS

    def _drop(self, id: str) -> None:
        kept = self._live.pop(id, None) or self._done.pop(id)
        self._bytes -= kept.size
        if (slot := kept.record.job.slot) is not None:
            self._slots.pop((slot.caller, slot.key), None)

    def _log(self, kept: _Kept, events: Sequence[TaskEvent]) -> None:
        kept.events += events
        if len(kept.events) > self._limits.task_events:
            del kept.events[: len(kept.events) - self._limits.task_events]
        for event in events:
            # What says no more than a status is part of what a record takes.
            if event.data is not None:
                kept.size += len(dump_event(event))

    def _save(self, kept: _Kept, snapshot: StateSnapshot) -> None:
        if kept.snapshots is None:
            kept.snapshots = OrderedDict()
        text = dump_snapshot(snapshot)
        kept.snapshots[snapshot.version] = (snapshot.id, text)
        kept.size += len(text)
        while len(kept.snapshots) > self._limits.task_snapshots:
            _, (_, dropped) = kept.snapshots.popitem(last=False)
            kept.size -= len(dropped)


def _owned(record: TaskRecord, owner: str, until: float) -> TaskRecord:
    return evolve(record, owner=owner, lease=until, version=record.version + 1)


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
