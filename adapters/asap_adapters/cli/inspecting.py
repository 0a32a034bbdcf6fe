"""What may be learnt of tasks, and done to them, from outside: in their store, with no agent running."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from attrs import evolve, frozen

from asap_proto.errors import TakenOver, TaskNotFound
from asap_proto.limits import Limits
from asap_proto.model import StateSnapshot, TaskCancel, TaskRequest, TaskStatus
from asap_proto.roles import Cancelled, Interrupt, Observe, Pause, ReadTask, Steps, Write
from asap_proto.roles.answering import Answering, Question, outcome_of
from asap_proto.roles.running import TaskRole
from asap_proto.rules.lifecycle import is_final
from asap_proto.stores import NEVER, TaskEvent, TaskRecord
from asap_proto.stores.records import seconds_of, task_of, time_of
from asap_proto.wire.nouns import encode

from .._shared.sources import SYSTEM
from .outcome import FAILED, Stop

__all__ = ["Inspector", "event_document", "outcome_document", "record_document"]

#: Read at once, of what there may be much of.
_PAGE = 100


@frozen
class Inspector:
    """Looks into one agent's store. Writes as the agent's own stories do, so no worker is overtaken."""

    state: Any
    agent: str
    limits: Limits = Limits()  # noqa: RUF009  (frozen)

    def tasks(self, status: TaskStatus | None, *, all: bool) -> Iterator[TaskRecord]:
        """Tasks, oldest first; with `all` also what was asked besides tasks and is kept for a retry."""
        after = ""
        while found := self.state.tasks(status=status, after=after, most=_PAGE):
            yield from (record for record in found if all or isinstance(record.job.payload, TaskRequest))
            after = found[-1].id

    def task(self, task_id: str) -> TaskRecord:
        """One task; raises `TaskNotFound`."""
        record: TaskRecord | None = self.state.read(task_id, now=_now())
        if record is None:
            raise TaskNotFound(f"{self.agent} has no task {task_id}")
        return record

    def log(self, record: TaskRecord) -> tuple[TaskEvent, ...]:
        """Its whole log."""
        events: list[TaskEvent] = []
        while found := self.state.events(record.id, after=events[-1].number if events else 0, most=_PAGE):
            events += found
        return tuple(events)

    def snapshots(self, record: TaskRecord) -> tuple[StateSnapshot, ...]:
        """Its snapshots, oldest first; the oldest of many may be gone."""
        found = []
        for version in range(record.snapshots, 0, -1):
            snapshot: StateSnapshot | None = self.state.snapshot(record.id, version)
            if snapshot is None:
                break
            found.append(snapshot)
        return tuple(reversed(found))

    def cancel(self, task_id: str, reason: str | None, wait: float) -> TaskRecord:
        """Cancels what nobody runs, asks the worker of what runs; answers how the task stands after `wait` seconds."""
        record, now = self.task(task_id), _now()
        if record.status is TaskStatus.WORKING and record.owner and record.lease <= now:
            # Its worker is lost: nobody would hear that it is to stop.
            role = self._role(evolve(record, cancel=reason or ""))
            self._tell(role.settle(Cancelled()))
            return role.record
        question = Question(TaskCancel(task_id, reason), record.job.envelope, None, now)
        limits = evolve(self.limits, cancel_seconds=wait)
        self._tell(Answering(self.agent, "", SYSTEM, limits, 0.0, _never).answer(question))
        return self.task(task_id)

    def resume(self, task_id: str, *, force: bool) -> TaskRecord:
        """Gives a task back whose worker is lost, for the next live one to take it over; raises `Stop`."""
        record = self.task(task_id)
        if is_final(record.status):
            remedy = (
                f"What it knew can go on as a new task: `asap task export {task_id}`, and restore a snapshot of it."
            )
            raise Stop(FAILED, f"the task is {record.status}: nothing is left to resume", remedy=remedy)
        if record.status is TaskStatus.INPUT_REQUIRED:
            remedy = "Tell it what it asks for; `asap task show` has its question."
            raise Stop(FAILED, "the task waits for input, not for a worker", remedy=remedy)
        if not record.owner:
            return record  # it is nobody's already
        left = record.lease - _now()
        if left > 0 and not force:
            raise Stop(
                FAILED,
                f"{record.owner} was heard of, and holds the task for another {left:.1f} s",
                remedy="Ask again then, or with --force if you know that it is lost.",
            )
        role = self._role(record)
        self._tell(role.release())
        return role.record

    def export(self, task_id: str) -> dict[str, Any]:
        """All that is known of a task, for another agent to go on with."""
        record = self.task(task_id)
        return {
            "task": _noun(record),
            "request": encode(record.job.payload),
            "snapshots": [encode(snapshot) for snapshot in self.snapshots(record)],
            "log": [event_document(event) for event in self.log(record)],
            **outcome_document(record),
        }

    def _role(self, record: TaskRecord) -> TaskRole:
        return TaskRole(record, self.agent, SYSTEM, self.limits)

    def _tell(self, steps: Steps[Any]) -> None:
        """Tells a story; raises `Stop` where a worker wrote at the same time."""
        answer: Any = None
        try:
            while True:
                answer = self._perform(steps.send(answer))
        except StopIteration:
            return
        except TakenOver as error:
            raise Stop(
                FAILED, "a worker has just taken this task", remedy="See `asap task show`.", code=error.code
            ) from None

    def _perform(self, command: Any) -> Any:
        match command:
            case ReadTask():
                return self.state.read(command.task_id, now=command.now)
            case Write():
                return self.state.write(command.change)
            case Interrupt():
                return False  # whoever runs it sees the flag at its next beat
            case Pause():
                return time.sleep(command.seconds)
            case Observe():
                return None
            case _:
                raise TypeError(f"nobody here can {type(command).__name__}")


def event_document(event: TaskEvent) -> dict[str, Any]:
    """One line of a log, for machines."""
    document = {
        "number": event.number,
        "at": time_of(event.at),
        "kind": event.kind,
        "status": event.status,
        "data": event.data,
    }
    return {name: value for name, value in document.items() if value is not None}


def outcome_document(record: TaskRecord) -> dict[str, Any]:
    """What a task was answered, under ``result`` or ``error``; nothing while it is not over."""
    result, error = outcome_of(record)
    return {"error": error} if error is not None else {"result": result} if result is not None else {}


def record_document(record: TaskRecord) -> dict[str, Any]:
    """A record, for machines; what it does not have is left out."""
    job, over = record.job, is_final(record.status)
    document = {
        "id": record.id,
        "skill": job.name,
        "status": record.status,
        "caller": job.envelope.sender,
        "created_at": time_of(job.created),
        "updated_at": time_of(record.updated),
        "expires_at": time_of(record.expires) if record.expires != NEVER else None,
        "runs": record.runs,
        "owner": record.owner or None,
        "lease_until": time_of(record.lease) if not over and 0 < record.lease != NEVER else None,
        "cancel": record.cancel,
        "progress": record.progress,
        "question": record.question,
        "answers": list(record.answers) or None,
        "snapshots": record.snapshots,
        "idempotency_key": job.slot.key if job.slot else None,
    }
    return {name: value for name, value in document.items() if value is not None}


def _noun(record: TaskRecord) -> dict[str, Any]:
    return encode(task_of(record))


def _never(*_: Any) -> Any:
    raise TypeError("a cancel starts no task")


def _now() -> float:
    return seconds_of(SYSTEM.clock.now())
