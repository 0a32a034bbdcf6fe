"""What an agent remembers of one task: who asked for what, how far it has come, what it was answered."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ..model import Envelope, Payload, StateSnapshot, Task, TaskRequest, TaskStatus
from ..model._value import JsonObject
from ..model.ulid import EPOCH
from ..plain import plain
from ..rules.identity import Identity

__all__ = [
    "NEVER",
    "RECORD_BYTES",
    "TASK_PREFIX",
    "Change",
    "Job",
    "Slot",
    "Started",
    "TaskEvent",
    "TaskRecord",
    "seconds_of",
    "task_of",
    "time_of",
]

#: When a record expires whose task is not over.
NEVER = float("inf")

#: What the ids of tasks begin with, as every release writes them.
TASK_PREFIX = "task_"

#: Bytes that a record takes in memory beside its request, its reply, its log and its snapshots.
RECORD_BYTES = 2048


@plain
class Slot:
    """What a retry finds its first try by: who asks, its idempotency key, and a digest of what it asks."""

    caller: str
    key: str
    digest: bytes


@plain
class Job:
    """What a handler is given: the request, and where it stands in the chain of tasks. It never changes.

    `name` is the handler's: a skill's id for a task request, else the payload's dotted name. `created` is in
    Unix seconds, `size` what the request takes in memory, in bytes.
    """

    payload: Payload
    envelope: Envelope
    task_id: str
    depth: int
    caller: Identity | None
    name: str = ""
    slot: Slot | None = None
    created: float = 0.0
    size: int = 0


@plain
class TaskRecord:
    """A task as it stands. Times are Unix seconds.

    `version` counts the writes: each is made against the version before, so that no two overtake each other.
    `owner` is the worker that runs the task, until `lease`. `events` and `snapshots` are the numbers of the newest.
    """

    job: Job
    status: TaskStatus
    owner: str
    lease: float
    updated: float
    version: int = 1
    expires: float = NEVER
    events: int = 0
    snapshots: int = 0
    #: How often a handler was started.
    runs: int = 0
    progress: JsonObject | None = None
    #: What the task waits to be told, while its status is ``input_required``.
    question: JsonObject | None = None
    #: What it was told, in order.
    answers: tuple[JsonObject, ...] = ()
    #: Why it is to be cancelled, once somebody asked for that.
    cancel: str | None = None
    #: The snapshot that the next run starts from, where it is not the newest.
    restored: int | None = None
    #: The member (``"result":…`` or ``"error":…``) that the request is answered with.
    reply: bytes | None = None

    @property
    def id(self) -> str:
        """The task's id."""
        return self.job.task_id


@plain
class TaskEvent:
    """One line of a task's log, numbered from 1; `data` is what an update says beside the status."""

    number: int
    at: float
    kind: str
    status: TaskStatus
    data: JsonObject | None = None


@plain
class Change:
    """What is written in one step: the record as it stands now, and what is added to its log and its snapshots."""

    record: TaskRecord
    events: tuple[TaskEvent, ...] = ()
    snapshot: StateSnapshot | None = None


class Started(NamedTuple):
    """A task that is accepted to run at once, as long as nobody has written of it: nearly all are over by then.

    It is made a record, and the first line of its log, for whoever asks. `lease` is when that ends.
    """

    job: Job
    owner: str
    lease: float

    @property
    def slot(self) -> Slot | None:
        return self.job.slot

    @property
    def size(self) -> int:
        """Bytes that it takes in memory, about."""
        return RECORD_BYTES + self.job.size

    @property
    def expires(self) -> float:
        return NEVER

    @property
    def snapshots(self) -> None:
        """It has none yet."""

    @property
    def record(self) -> TaskRecord:
        created = self.job.created
        return TaskRecord(self.job, TaskStatus.WORKING, self.owner, self.lease, created, 1, NEVER, 1, 0, 1)

    @property
    def events(self) -> tuple[TaskEvent, ...]:
        return (TaskEvent(1, self.job.created, "status_change", TaskStatus.WORKING),)


def seconds_of(at: datetime) -> float:
    """Unix seconds."""
    return at.timestamp()


def time_of(seconds: float) -> datetime:
    """The other way round."""
    return datetime.fromtimestamp(seconds, EPOCH.tzinfo)


def task_of(record: TaskRecord) -> Task:
    """The record as the protocol's own noun."""
    job = record.job
    request = job.payload if isinstance(job.payload, TaskRequest) else None
    return Task(
        id=job.task_id,
        conversation_id=request.conversation_id if request else "",
        status=record.status,
        created_at=time_of(job.created),
        updated_at=time_of(record.updated),
        parent_task_id=request.parent_task_id if request else None,
        depth=job.depth,
        progress=record.progress,
    )
