"""Stores, workers and a network that break their promise, each in a way of its own: who checks them has to see it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from attrs import evolve

from asap_proto.limits import Limits
from asap_proto.model import StateSnapshot, TaskRequest, TaskStatus
from asap_proto.roles import (
    Accept,
    Invoke,
    Raised,
    Renew,
    ServerCommand,
    StoreCommand,
    TaskRole,
    Transmit,
    Write,
)
from asap_proto.rules.lifecycle import is_final
from asap_proto.rules.slot import Fresh
from asap_proto.stores import Accepted, Change, NonceClaim, TaskEvent, TaskRecord
from asap_proto.stores.nonces import Nonces

from .agents import Worker
from .network import Network, Towards
from .scheduler import WAITS, Process, Story
from .stores import Lossy, Survivor
from .world import Parts

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


class ForgetsTasks(Survivor):
    """Has accepted what it does not keep."""

    def __init__(self, agent: str, limits: Limits) -> None:
        super().__init__(agent, limits)
        self._accepted = 0

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        if record is not None:
            self._accepted += 1
            if self._accepted % 8 == 0:
                return super().accept(None, nonce, events, now=now)
        return super().accept(record, nonce, events, now=now)


class LosesSilently(Lossy):
    """Is said to be durable, and is not."""

    says_so = False


class ComesBackWithoutNonces(Survivor):
    """Has forgotten the nonces when it is there again, as a cache that was started anew."""

    def go_away(self) -> None:
        self._nonces = Nonces(self._limits)


class ComesBackWithoutTasks(Survivor):
    """Has lost what was under way when it is there again."""

    def go_away(self) -> None:
        for id in [*self._live]:
            self._drop(id)


class SaysItWasWritten(Worker):
    """Says of the end of a task, where the store was away, that it was written."""

    def unreached(self, command: StoreCommand) -> Any:
        is_end = isinstance(command, Write) and is_final(command.change.record.status)
        return True if is_end else super().unreached(command)


class LetsInWhatCannotBeKept(Worker):
    """Accepts what its store, which is away, has not."""

    def unreached(self, command: StoreCommand) -> Any:
        return Fresh() if isinstance(command, Accept) else super().unreached(command)


class AcceptsNothingAfterwards(Worker):
    """Says for ever, from 5 s after it first was, that its store is away where it is to accept something."""

    _refuses_from = math.inf

    def unreached(self, command: StoreCommand) -> Any:
        self._refuses_from = min(self._refuses_from, self.agent.world.now + 5.0)
        return super().unreached(command)

    def reaches(self, command: StoreCommand) -> bool:
        refuses = isinstance(command, Accept) and self.agent.world.now >= self._refuses_from
        return super().reaches(command) and not refuses


class KeepsNothingAfterwards(Worker):
    """Cares for its store no more, once that was away."""

    def unreached(self, command: StoreCommand) -> Any:
        return WAITS if isinstance(command, Renew) else super().unreached(command)


class RunsAgain(Worker):
    """Starts a handler once more when its task is over."""

    def perform(self, process: Process, command: ServerCommand) -> Any:
        answer = super().perform(process, command)
        if isinstance(command, Write) and answer and command.change.record.status is TaskStatus.COMPLETED:
            record = command.change.record
            if isinstance(record.job.payload, TaskRequest):
                invoke = Invoke(record.job.name, record.job, 1.0, self._task(record))
                self.start("again", self._again(invoke), lambda value, error: None)
        return answer

    def _task(self, record: TaskRecord) -> TaskRole:
        return TaskRole(record, self.agent.urn, self.agent.world.scheduler.sources(self.clock), self.agent.world.limits)

    def _again(self, command: Invoke) -> Story:
        yield command


class MovesAnyhow(Worker):
    """Has a task that works submitted again, where it tells of its progress."""

    def perform(self, process: Process, command: ServerCommand) -> Any:
        if isinstance(command, Write) and [event.kind for event in command.change.events] == ["progress"]:
            record = evolve(command.change.record, status=TaskStatus.SUBMITTED)
            command = Write(evolve(command.change, record=record))
        return super().perform(process, command)


class CountsNoDepth(Worker):
    """Accepts each task as if none were above it."""

    def perform(self, process: Process, command: ServerCommand) -> Any:
        if isinstance(command, Accept) and command.record is not None:
            job = evolve(command.record.job, depth=0)
            command = evolve(command, record=evolve(command.record, job=job))
        return super().perform(process, command)


class Shrugs(Worker):
    """Says of what went well that it failed, and not why."""

    def perform(self, process: Process, command: ServerCommand) -> Any:
        if isinstance(command, Invoke) and command.name == "echo":
            return Raised(ValueError("oh well"))
        return super().perform(process, command)


class NeverAnswers(Network):
    """Leaves one caller in twenty to wait for ever."""

    def perform(self, process: Process, asked: Towards) -> Any:
        if isinstance(asked.command, Transmit) and self._world.chances(0.05):
            return WAITS
        return super().perform(process, asked)


#: What each world is made of, what is said of it (a part of the failure), and a seed that is soon to show it.
BROKEN = {
    ComesBackWithoutNonces: (Parts(ComesBackWithoutNonces), "a nonce was taken twice", 60),
    ComesBackWithoutTasks: (Parts(ComesBackWithoutTasks), "", 12),
    ForgetsKeys: (Parts(ForgetsKeys), "", 1),
    ForgetsNonces: (Parts(ForgetsNonces), "a nonce was taken twice", 50),
    ForgetsTasks: (Parts(ForgetsTasks), "", 1),
    KeepsOldSnapshots: (Parts(KeepsOldSnapshots), "", 1),
    LosesLines: (Parts(LosesLines), "", 1),
    LosesSilently: (Parts(LosesSilently), "", 1),
    ReadsLate: (Parts(ReadsLate), "", 1),
    TakesNothing: (Parts(TakesNothing), "no end after", 1),
    TakesTooEarly: (Parts(TakesTooEarly), "", 1),
    TakesTwice: (Parts(TakesTwice), "", 1),
    WritesAfterTheEnd: (Parts(WritesAfterTheEnd), "", 17),
    WritesOver: (Parts(WritesOver), "", 17),
    AcceptsNothingAfterwards: (Parts(worker=AcceptsNothingAfterwards), "was last away until", 92),
    CountsNoDepth: (Parts(worker=CountsNoDepth), "is at depth 0, below", 1),
    KeepsNothingAfterwards: (Parts(worker=KeepsNothingAfterwards), "no end after", 17),
    LetsInWhatCannotBeKept: (Parts(worker=LetsInWhatCannotBeKept), "nobody has accepted it", 1),
    MovesAnyhow: (Parts(worker=MovesAnyhow), "no such move", 1),
    RunsAgain: (Parts(worker=RunsAgain), "is started by", 1),
    SaysItWasWritten: (Parts(worker=SaysItWasWritten), "is told", 12),
    Shrugs: (Parts(worker=Shrugs), "was told HandlerFailed", 1),
    NeverAnswers: (Parts(network=NeverAnswers), "no end after", 1),
}
