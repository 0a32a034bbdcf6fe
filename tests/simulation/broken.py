"""Stores that break their promise, each in a way of its own: who checks them has to see it."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from asap_proto.limits import Limits
from asap_proto.model import StateSnapshot
from asap_proto.rules.lifecycle import is_final
from asap_proto.stores import Accepted, Change, NonceClaim, TaskEvent, TaskRecord

from .agents import Survivor

__all__ = ["BROKEN"]


class WritesOver(Survivor):
    """Does not look at the version."""

    def write(self, change: Change) -> bool:
        found = self.read(change.record.id, now=0.0)
        if found is None or is_final(found.status):
            return False
        return super().write(evolve(change, record=evolve(change.record, version=found.version + 1)))


class WritesAfterTheEnd(Survivor):
    """Says of what is over that it was written."""

    def write(self, change: Change) -> bool:
        return super().write(change) or True


class ForgetsKeys(Survivor):
    """Runs a retry as if it were new."""

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        if record is not None:
            record = evolve(record, job=evolve(record.job, slot=None))
        return super().accept(record, nonce, events, now=now)


class ForgetsNonces(Survivor):
    """Lets an envelope in twice."""

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        return super().accept(record, None, events, now=now)


class TakesTooEarly(Survivor):
    """Gives away what its owner still runs."""

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        return super().take_over(owner, now=now + 3.0, until=until, most=most)


class TakesTwice(Survivor):
    """Gives the same task to whoever asks, without a new version."""

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        return tuple(
            evolve(record, version=record.version - 1)
            for record in super().take_over(owner, now=now, until=until, most=most)
        )


class TakesNothing(Survivor):
    """Leaves to the dead what they had."""

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        return ()


class ReadsLate(Survivor):
    """Reads what was written before the last write, as a replica that lags behind."""

    def __init__(self, agent: str, limits: Limits) -> None:
        super().__init__(agent, limits)
        self._before: dict[str, TaskRecord] = {}

    def write(self, change: Change) -> bool:
        found = super().read(change.record.id, now=0.0)
        if found is not None:
            self._before[found.id] = found
        return super().write(change)

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        return self._before.get(task_id) or super().read(task_id, now=now)


class LosesLines(Survivor):
    """Leaves a line out of each log."""

    def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        return tuple(event for event in super().events(task_id, after=after, most=most) if event.number != 3)


class KeepsOldSnapshots(Survivor):
    """Has the first snapshot for the newest."""

    def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        return super().snapshot(task_id, which or 1)


BROKEN = (
    ForgetsKeys,
    ForgetsNonces,
    KeepsOldSnapshots,
    LosesLines,
    ReadsLate,
    TakesNothing,
    TakesTooEarly,
    TakesTwice,
    WritesAfterTheEnd,
    WritesOver,
)
