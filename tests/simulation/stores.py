"""What the agents of the simulation keep their tasks in: a store that outlives its workers, and one that may forget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import attrgetter
from typing import TypeVar

from attrs import fields

from asap_proto.errors import Overloaded
from asap_proto.limits import Limits
from asap_proto.model import StateSnapshot
from asap_proto.rules.slot import Fresh, look
from asap_proto.stores import Accepted, Change, MemoryState, NonceClaim, TaskEvent, TaskRecord

__all__ = ["Lossy", "Survivor"]

T = TypeVar("T")

_FIELDS = attrgetter(*(field.name for field in fields(TaskRecord)))


def copied(record: TaskRecord) -> TaskRecord:
    """As `evolve` without changes, which would be a good part of all that a store does."""
    return TaskRecord(*_FIELDS(record))


class Survivor(MemoryState):
    """A store that outlives its workers: a key stands for its task until that has expired, as in a database.

    What it gives out is a copy, so that a worker learns what others write by reading alone.
    """

    def __init__(self, agent: str, limits: Limits) -> None:
        super().__init__(limits)
        self.agent = agent
        self._keys: dict[tuple[str, str], str] = {}

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        if record is None or (slot := record.job.slot) is None:
            return super().accept(record, nonce, events, now=now)
        held = self.read(self._keys.get((slot.caller, slot.key), ""), now=now)
        if held is not None and (known := held.job.slot) is not None:
            return look(held.id, held.reply, known=known.digest, digest=slot.digest)
        answer = super().accept(record, nonce, events, now=now)
        if answer == Fresh():
            self._keys[slot.caller, slot.key] = record.id
        return answer

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        found = super().read(task_id, now=now)
        return found and copied(found)

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        return tuple(copied(record) for record in super().take_over(owner, now=now, until=until, most=most))

    def go_away(self) -> None:
        """Nobody reaches it for a while: what it has, it has still."""


class Lossy:
    """A store that tells what was written last, and loses it when the power goes, as a file without fsync does.

    What was written until it was synced stays. It remembers what it was told to do, and does that again up to there.
    """

    #: Whether it says so, and nobody counts on what was not synced.
    says_so = True

    def __init__(self, agent: str, limits: Limits) -> None:
        self._make: Callable[[], Survivor] = lambda: Survivor(agent, limits)
        self._store = self._make()
        self._told: list[Callable[[Survivor], object]] = []
        self._synced = 0

    def sync(self) -> None:
        self._synced = len(self._told)

    def lose(self) -> int:
        """The power goes; answers how much is lost."""
        lost = len(self._told) - self._synced
        del self._told[self._synced :]
        self._store = self._make()
        for tell in self._told:
            with suppress(Overloaded):
                tell(self._store)
        return lost

    # Each time it is told with records of its own: a store writes leases into those it holds.

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        return self._do(lambda store: store.accept(record and copied(record), nonce, events, now=now))

    def write(self, change: Change) -> bool:
        return self._do(lambda store: store.write(Change(copied(change.record), change.events, change.snapshot)))

    def renew(self, owner: str, *, until: float) -> Mapping[str, int]:
        return self._do(lambda store: store.renew(owner, until=until))

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        return self._do(lambda store: store.take_over(owner, now=now, until=until, most=most))

    def forget(self, *, now: float, most: int = 1000) -> int:
        return self._do(lambda store: store.forget(now=now, most=most))

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        return self._store.read(task_id, now=now)

    def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        return self._store.events(task_id, after=after, most=most)

    def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        return self._store.snapshot(task_id, which)

    def _do(self, tell: Callable[[Survivor], T]) -> T:
        self._told.append(tell)
        return tell(self._store)
