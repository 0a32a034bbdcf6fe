"""Stores that remember in memory, bounded.

All forget the oldest first, so they are ordered dicts: to find the first key of a plain dict takes as long as
there were keys before it. They are not locked: whoever shares one between threads holds a lock around each call.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from attrs import evolve

from ..errors import Overloaded
from ..limits import Limits
from ..model import StateSnapshot, TaskRequest, TaskStatus
from ..plain import made
from ..rules.identity import Identity
from ..rules.lifecycle import is_final
from ..rules.quota import Allowed, Buckets, Quota, RetryAfter
from ..rules.slot import Fresh, look
from ..wire.json import WRITTEN_MOST, dump, load, weight
from ..wire.nouns import decode, decode_envelope, encode
from .codec import dump_event, dump_snapshot, load_snapshot
from .nonces import Nonces
from .protocols import Accepted, NonceClaim, Refused
from .records import RECORD_BYTES, Change, Job, Slot, Started, TaskEvent, TaskRecord
from .spent import Spent

__all__ = ["MemoryQuotas", "MemoryState"]

_FRESH = Fresh()
_WORKING, _WAITING, _COMPLETED = TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED, TaskStatus.COMPLETED
_FINAL = frozenset(filter(is_final, TaskStatus))

#: How often what is over is looked for, though no room is needed.
_TIDY_SECONDS = 1.0

#: A request of more is kept as the objects that it is: there is room for few of them, and whoever asks for one in a few
#: bytes, as a retry does, is not to cost a look at millions.
_PACKED_BYTES = 16 * 1024


class _Kept:
    """A record, and what was written with it."""

    __slots__ = ("events", "record", "size", "snapshots")

    def __init__(self, record: TaskRecord, events: Sequence[TaskEvent]) -> None:
        self.record = record
        self.events = [*events]
        # Written out, so that what a handler goes on to do with its data changes nothing here.
        self.snapshots: OrderedDict[int, tuple[str, bytes]] | None = None
        size = RECORD_BYTES + record.job.size
        for event in events:
            if event.data is not None:
                size += _bytes_of(event)
        self.size = size

    @property
    def slot(self) -> Slot | None:
        return self.record.job.slot

    @property
    def expires(self) -> float:
        return self.record.expires


class _Done(NamedTuple):
    """A task that ended as nearly all do, of which nobody wrote while it ran: what is the same for all is left out."""

    text: bytes
    task_id: str
    depth: int
    caller: Identity | None
    name: str
    slot: Slot | None
    created: float
    held: int
    owner: str
    updated: float
    expires: float
    reply: bytes

    @property
    def snapshots(self) -> None:
        """It has saved none."""

    @property
    def size(self) -> int:
        return RECORD_BYTES + self.held + len(self.reply)

    @property
    def record(self) -> TaskRecord:
        read = decode_envelope(load(self.text, depth=WRITTEN_MOST), size=len(self.text))
        asked: Any = read.payload
        job = Job(asked, read, self.task_id, self.depth, self.caller, self.name, self.slot, self.created, self.held)
        return TaskRecord(
            job, _COMPLETED, self.owner, 0.0, self.updated, 2, self.expires, events=2, runs=1, reply=self.reply
        )

    @property
    def events(self) -> tuple[TaskEvent, ...]:
        return (
            TaskEvent(1, self.created, "status_change", _WORKING),
            TaskEvent(2, self.updated, "status_change", _COMPLETED),
        )


class _Over:
    """A task that is over, as few texts and numbers: ten thousand of them would fill the caches of a processor."""

    __slots__ = ("_job", "_state", "_text", "expires", "log", "size", "slot", "snapshots")

    def __init__(self, kept: _Kept, text: bytes) -> None:
        record, job = kept.record, kept.record.job
        self._text = text
        self._job = (job.task_id, job.depth, job.caller, job.name, job.slot, job.created, job.size)
        self._state = (
            record.status,
            record.owner,
            record.lease,
            record.updated,
            record.version,
            record.expires,
            record.events,
            record.snapshots,
            record.runs,
            record.progress,
            record.question,
            record.answers,
            record.cancel,
            record.restored,
            record.reply,
        )
        self.expires = record.expires
        self.slot = job.slot
        self.size = kept.size
        self.log = [(event.number, event.at, event.kind, event.status, event.data) for event in kept.events]
        self.snapshots = kept.snapshots

    @property
    def record(self) -> TaskRecord:
        envelope, request = load(self._text, depth=WRITTEN_MOST)
        read = decode_envelope(envelope, size=len(self._text))
        payload: Any = read.payload if request is None else decode(TaskRequest, request)
        return TaskRecord(Job(payload, read, *self._job), *self._state)

    @property
    def events(self) -> list[TaskEvent]:
        return [TaskEvent(*line) for line in self.log]


class MemoryState:
    """A `StateStore` in memory. When full the oldest finished task goes; while none is, new ones have to wait.

    To wait for an answer a task needs room in the half that is kept for that; where there is none `write` raises
    `Overloaded`.

    The key of a task that went so stays spent: whoever asks again is told that its reply is gone.
    Nonces are never forgotten early: that would let their envelopes in again. A task whose worker's lease is over was
    cut off, and makes room for a retry of itself. Nothing goes for a request that is then refused.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self._limits = limits
        self._most, self._most_bytes = limits.tasks, limits.task_bytes
        self._bytes = 0
        #: What of that is held by tasks that are over, and may go.
        self._done_bytes = 0
        # A log that may have but one line is not one that ended as nearly all do.
        self._packed_most = _PACKED_BYTES if limits.task_events > 1 else -1
        self._due = 0.0
        #: Those that wait to be told what they asked, in the order in which that is over, and what they take.
        self._waiting: OrderedDict[str, int] = OrderedDict()
        self._waiting_bytes = 0
        self._live: OrderedDict[str, Started | _Kept] = OrderedDict()
        self._done: OrderedDict[str, _Done | _Kept | _Over] = OrderedDict()
        self._slots: dict[tuple[str, str], str] = {}
        self._spent = Spent(limits.keys)
        self._nonces = Nonces(limits)

    def __init_subclass__(cls, **named: Any) -> None:
        super().__init_subclass__(**named)
        # Who does more with what is accepted or written, in whichever base, is to hear of every task, unless it has a
        # `begin` or an `end` of its own beside that.
        if _place_of("accept", cls) < _place_of("begin", cls):
            cls.begin = _begun_by_accept  # type: ignore[method-assign]
        if _place_of("write", cls) < _place_of("end", cls):
            cls.end = _left_to_write  # type: ignore[method-assign]

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        if record is None:
            return _FRESH if nonce is None else self._nonces.claim(nonce, now=now) or _FRESH
        kept = _Kept(record, events)
        return self._accept(record.job, kept, kept.size, nonce, now)

    def begin(self, task: Started, nonce: NonceClaim | None) -> Accepted:
        job = task.job
        return self._accept(job, task, RECORD_BYTES + job.size, nonce, job.created)

    def _accept(self, job: Job, kept: Started | _Kept, size: int, nonce: NonceClaim | None, now: float) -> Accepted:
        if now >= self._due:
            self._tidy(now)
        slot, place, over = job.slot, None, None
        if slot is not None:
            place = (slot.caller, slot.key)
            over = self._slots.get(place)
            if over is not None:
                held = (self._live.get(over) or self._done[over]).record
                if _is_held(held, now):
                    known = held.job.slot
                    return look(over, held.reply, known=known.digest if known else b"", digest=slot.digest)
            elif self._spent.has(slot, now=now):
                return Refused("forgotten")
        is_crowded = self._bytes + size > self._most_bytes or len(self._live) + len(self._done) >= self._most
        if is_crowded and not self._can_make_room(size, over):
            return Refused("tasks full")
        if nonce is not None and (refused := self._nonces.claim(nonce, now=now)) is not None:
            return refused
        if over is not None:
            self._drop(over)
        while is_crowded and self._is_crowded(size):
            self._make_room(now)
        self._live[job.task_id] = kept
        self._bytes += size
        if place is not None:
            self._slots[place] = job.task_id
        return _FRESH

    def end(self, job: Job, envelope: dict[str, Any], reply: bytes, *, now: float, expires: float) -> bool:
        id, held = job.task_id, job.size
        task = self._live.get(id)
        if not isinstance(task, Started) or held > self._packed_most:
            return False
        try:
            text = dump(envelope)
        except TypeError:  # its handler was given the very input, and may have put anything there
            return False
        if len(text) > _PACKED_BYTES:
            return False
        del self._live[id]
        self._done[id] = made(
            _Done,
            (
                bytes(memoryview(text)),  # as in _exact
                id,
                job.depth,
                job.caller,
                job.name,
                job.slot,
                job.created,
                held,
                task.owner,
                now,
                expires,
                reply,
            ),
        )
        more = len(reply)
        self._bytes += more
        self._done_bytes += RECORD_BYTES + held + more
        while self._bytes > self._most_bytes and self._done:
            self._make_room(now)
        return True

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        kept = self._live.get(task_id) or self._done.get(task_id)
        return kept.record if kept is not None and now < kept.expires else None

    def write(self, change: Change) -> bool:
        record = change.record
        job = record.job
        found = self._live.get(job.task_id)
        if found is None or (before := found.record).version != record.version - 1:
            return False
        kept = found if isinstance(found, _Kept) else self._written_of(found)
        status = record.status
        if status is not before.status and (status is _WAITING or before.status is _WAITING):
            self._count_waiting(kept, status)
        if job is not before.job and job.slot is None and (slot := before.job.slot) is not None:
            self._slots.pop((slot.caller, slot.key), None)
        kept.record = record
        size = kept.size
        if change.events:
            kept.events += change.events
            for event in change.events:
                if event.data is not None:
                    kept.size += _bytes_of(event)
            if len(kept.events) > self._limits.task_events:
                self._shorten(kept)
        if change.snapshot is not None:
            self._save(kept, change.snapshot)
        if record.reply is not None:
            kept.size += len(record.reply)
        if record.answers is not before.answers:
            for answer in record.answers[len(before.answers) :]:
                kept.size += weight(dump(answer))
        self._bytes += kept.size - size
        if status in _FINAL:
            del self._live[job.task_id]
            self._done[job.task_id] = _packed(kept)
            self._done_bytes += kept.size
        elif record.lease < before.lease and record.owner == before.owner:
            record.lease = before.lease  # type: ignore[misc]  # it was renewed since whoever writes has read it
        while self._bytes > self._most_bytes and self._done:
            self._make_room(record.updated)
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
            record = kept.record
            if record.owner == owner and record.status is not _WAITING:
                if isinstance(kept, Started):
                    self._live[id] = kept._replace(lease=until)
                else:
                    record.lease = until  # type: ignore[misc]  # the record is ours
                held[id] = record.version
        return held

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        taken: list[TaskRecord] = []
        for kept in self._live.values():
            if len(taken) == most:
                break
            record = kept.record
            if record.lease <= now and record.status is not _WAITING:
                whole = kept if isinstance(kept, _Kept) else self._written_of(kept)
                whole.record = _owned(record, owner, until)
                taken.append(whole.record)
        return tuple(taken)

    def tasks(self, *, status: TaskStatus | None = None, after: str = "", most: int = 100) -> tuple[TaskRecord, ...]:
        found = sorted(id for id in (*self._live, *self._done) if id > after)
        records = ((self._live.get(id) or self._done[id]).record for id in found)
        return tuple(islice((record for record in records if status in (None, record.status)), most))

    def forget(self, *, now: float, most: int = 1000) -> int:
        over = [id for id in self._waiting if now >= self._live[id].record.expires]
        gone = [*over, *(id for id, kept in self._done.items() if now >= kept.expires)][:most]
        for id in gone:
            self._drop(id)
        self._nonces.forget(now=now, most=most)
        return len(gone)

    def _written_of(self, task: Started) -> _Kept:
        """What is kept of a task from now on, of which somebody writes."""
        kept = self._live[task.job.task_id] = _Kept(task.record, task.events)
        return kept

    def _count_waiting(self, kept: _Kept, status: TaskStatus) -> None:
        """Raises `Overloaded` where one more can't wait."""
        id = kept.record.job.task_id
        if status is _WAITING:
            held = self._waiting_bytes + kept.size
            if 2 * (len(self._waiting) + 1) > self._most or 2 * held > self._most_bytes:
                raise Overloaded("too many tasks wait for an answer", facts={"retry_after": 1})
            self._waiting[id], self._waiting_bytes = kept.size, held
        else:
            self._waiting_bytes -= self._waiting.pop(id, 0)

    def _is_crowded(self, size: int) -> bool:
        return self._bytes + size > self._most_bytes or len(self._live) + len(self._done) >= self._most

    def _can_make_room(self, size: int, over: str | None) -> bool:
        """Whether there is room for so much once all that is over has gone, and the task `over` with it."""
        count, held = len(self._live), self._bytes - self._done_bytes
        if over is not None and (kept := self._live.get(over)) is not None:
            count, held = count - 1, held - kept.size
        return count < self._most and held + size <= self._most_bytes

    def _make_room(self, now: float) -> None:
        """Drops the oldest that is over."""
        id, kept = next(iter(self._done.items()))
        self._drop(id)
        if kept.slot is not None:
            self._spent.add(kept.slot, kept.expires, now=now)

    def _tidy(self, now: float) -> None:
        """Drops what has expired, the oldest first."""
        while (oldest := next(iter(self._done), None)) is not None and now >= self._done[oldest].expires:
            self._drop(oldest)
        while (oldest := next(iter(self._waiting), None)) is not None and now >= self._live[oldest].record.expires:
            self._drop(oldest)
        self._due = now + _TIDY_SECONDS

    def _drop(self, id: str) -> None:
        kept: Started | _Done | _Kept | _Over | None = self._live.pop(id, None)
        self._waiting_bytes -= self._waiting.pop(id, 0)
        if kept is None:
            kept = self._done.pop(id)
            self._done_bytes -= kept.size
        self._bytes -= kept.size
        if (slot := kept.slot) is not None:
            del self._slots[slot.caller, slot.key]

    def _shorten(self, kept: _Kept) -> None:
        """Drops the oldest lines of a log that is too long."""
        many = len(kept.events) - self._limits.task_events
        kept.size -= sum(map(_bytes_of, kept.events[:many]))
        del kept.events[:many]

    def _save(self, kept: _Kept, snapshot: StateSnapshot) -> None:
        if kept.snapshots is None:
            kept.snapshots = OrderedDict()
        text = _exact(dump_snapshot(snapshot))
        kept.snapshots[snapshot.version] = (snapshot.id, text)
        kept.size += len(text)
        while len(kept.snapshots) > self._limits.task_snapshots:
            _, (_, dropped) = kept.snapshots.popitem(last=False)
            kept.size -= len(dropped)


def _place_of(method: str, cls: type) -> int:
    """How far up a class finds a method."""
    return next(place for place, base in enumerate(cls.__mro__) if method in vars(base))


def _begun_by_accept(self: MemoryState, task: Started, nonce: NonceClaim | None) -> Accepted:
    return self.accept(task.record, nonce, task.events, now=task.job.created)


def _left_to_write(*told: Any, **more: Any) -> bool:
    return False


def _packed(kept: _Kept) -> _Kept | _Over:
    """A task that is over, as one text where that is short, and its handler has left the request the JSON it was."""
    job = kept.record.job
    if job.size > _PACKED_BYTES:
        return kept
    try:
        text = _exact(
            dump([encode(job.envelope), None if job.payload is job.envelope.payload else encode(job.payload)])
        )
    except TypeError:
        return kept
    return _Over(kept, text) if len(text) <= _PACKED_BYTES else kept


def _exact(text: bytes) -> bytes:
    """A text to be kept: orjson gives one in the room that it was written in, of kilobytes."""
    return bytes(memoryview(text))


def _is_held(record: TaskRecord, now: float) -> bool:
    """Whether a record still stands for its key: while it is kept, run, or waits for an answer or for a worker."""
    if is_final(record.status) or record.status is _WAITING:
        return now < record.expires
    return now < record.lease or not record.owner


def _bytes_of(event: TaskEvent) -> int:
    # What says no more than a status is part of what a record takes.
    return 0 if event.data is None else weight(dump_event(event))


def _owned(record: TaskRecord, owner: str, until: float) -> TaskRecord:
    return evolve(record, owner=owner, lease=until, version=record.version + 1)


class MemoryQuotas:
    """Quotas in memory. When full the caller unseen for longest is forgotten: it finds full buckets again.

    Agents and addresses are remembered apart: strangers, of whom one may come from many addresses, make no agent's
    spent quota be forgotten. Whose buckets are full needs no remembering.
    """

    def __init__(self, quota: Quota, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self._quota = quota
        self._most = limits.callers
        self._full = quota.full(0.0).levels
        self._untouched, _ = quota.spend(quota.full(0.0), now=0.0, cost=0)
        self._agents: OrderedDict[str, Buckets] = OrderedDict()
        self._addresses: OrderedDict[str, Buckets] = OrderedDict()

    def spend(self, caller: str, cost: int, *, now: float) -> Allowed | RetryAfter:
        known = self._agents if caller.startswith("urn:") else self._addresses
        buckets = known.pop(caller, None)
        if buckets is None:
            if not cost:  # whoever only looks finds all there is
                return self._untouched
            buckets = self._quota.full(now)
        answer, buckets = self._quota.spend(buckets, now=now, cost=cost)
        if buckets.levels != self._full:
            known[caller] = buckets
            if len(known) > self._most:
                known.popitem(last=False)
        return answer
