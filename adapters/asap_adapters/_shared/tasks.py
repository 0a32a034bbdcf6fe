"""What a handler is told of its task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Any, TypeVar

from attrs import frozen

from asap_proto.errors import AsapError, MalformedReply, Misuse
from asap_proto.model import (
    Envelope,
    MessageRole,
    MessageSend,
    Payload,
    StateRestore,
    StateSnapshot,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    make_ulid,
)
from asap_proto.model import Task as ModelTask
from asap_proto.model._value import Value
from asap_proto.model.ulid import EPOCH
from asap_proto.roles import (
    ASYNC_PREFERENCE,
    INPUT_EXTENSION,
    PARENT_EXTENSION,
    PREFER_EXTENSION,
    ClientRole,
    TaskRole,
)
from asap_proto.rules.lifecycle import is_final
from asap_proto.sources import Clock
from asap_proto.stores import Job
from asap_proto.wire.nouns import decode, encode
from asap_proto.wire.replies import read_error

__all__ = [
    "BaseTask",
    "TaskState",
    "compose_message",
    "compose_news",
    "compose_request",
    "compose_restore",
    "response_of",
    "state_of",
]

V = TypeVar("V", bound=Value)


class BaseTask:
    """One request, as its handler sees it."""

    def __init__(self, job: Job, role: TaskRole, clock: Clock, until: float) -> None:
        self.job = job
        self._role = role
        self._clock = clock
        # By `Clock.elapsed`: few handlers ask what that is on the wall.
        self._until = until

    @cached_property
    def deadline(self) -> datetime:
        """When the handler will be cut off, where it can be: as `config.timeout` asks, within the agent's limits."""
        return self._clock.now() + timedelta(seconds=self._until - self._clock.elapsed())

    @property
    def id(self) -> str:
        """The id that the reply will name the task by."""
        return self.job.task_id

    @property
    def payload(self) -> Payload:
        """The payload, whatever its type."""
        return self.job.payload

    @property
    def envelope(self) -> Envelope:
        """The envelope that brought it."""
        return self.job.envelope

    @property
    def input(self) -> dict[str, Any]:
        """What the caller gave; raises `Misuse` where the payload is no task request."""
        return self._request().input

    @property
    def config(self) -> dict[str, Any]:
        """How the caller wants it done."""
        return self._request().config or {}

    @property
    def caller(self) -> str:
        """The agent that asks."""
        return self.job.envelope.sender

    @property
    def depth(self) -> int:
        """How many tasks are above this one."""
        return self.job.depth

    @property
    def cancelled(self) -> bool:
        """Whether the task is to be cancelled: the next call that waits raises `TaskCancelled`."""
        return self._role.cancelled

    @property
    def runs(self) -> int:
        """How often the handler was started for this task, this time included."""
        return self._role.record.runs

    def _request(self) -> TaskRequest:
        if not isinstance(self.job.payload, TaskRequest):
            raise Misuse(f"a {type(self.job.payload).__name__} has no input; see task.payload")
        return self.job.payload


def compose_request(
    role: ClientRole,
    to: str,
    skill: str,
    input: dict[str, Any],
    *,
    config: dict[str, Any] | None = None,
    conversation_id: str | None = None,
    trace_id: str | None = None,
    within: Job | None = None,
    at_once: bool = False,
    idempotency_key: str | None = None,
) -> Envelope:
    """A task request, to be answered `at_once` or at its end.

    Within a task it carries on the conversation, and names its parent. With a key of the caller's own it is the same
    request whenever it is made, by whatever process: what is new for each request is made of the key.
    """
    parent = within.payload if within is not None else None
    id = role.new_id() if idempotency_key is None else _id_of(to, idempotency_key)
    if conversation_id is None:
        conversation_id = parent.conversation_id if isinstance(parent, TaskRequest) else f"conv_{id}"
    parent_id = within.task_id if within is not None else None
    request = TaskRequest(conversation_id, skill, input, parent_task_id=parent_id, config=config)
    extensions = {PREFER_EXTENSION: ASYNC_PREFERENCE} if at_once else None
    return role.compose(to, request, within=within, trace_id=trace_id, extensions=extensions, id=id)


def _id_of(to: str, key: str) -> str:
    return make_ulid(EPOCH, int.from_bytes(blake2b(f"{to} {key}".encode(), digest_size=10).digest()))


def compose_news(role: ClientRole, job: Job, news: Payload) -> Envelope:
    """What happens to a task, to whoever asked for it."""
    parent = job.payload.parent_task_id if isinstance(job.payload, TaskRequest) else None
    extensions = {PARENT_EXTENSION: parent} if parent else None
    return role.compose(job.envelope.sender, news, within=job, extensions=extensions)


def compose_message(
    role: ClientRole, to: str, task_id: str, input: dict[str, Any] | None, parts: Sequence[str], me: str
) -> Envelope:
    """What a task that waits is told."""
    message = MessageSend(task_id, f"msg_{role.new_id()}", me, MessageRole.USER, tuple(parts))
    return role.compose(to, message, extensions=None if input is None else {INPUT_EXTENSION: input})


def compose_restore(role: ClientRole, to: str, task_id: str, snapshot_id: str, brought: TaskState | None) -> Envelope:
    """Go on from a snapshot; one that is `brought` along is of another agent's task."""
    extensions = None
    if brought is not None:
        if brought.snapshot is None or brought.request is None:
            raise Misuse("this state has no snapshot to go on from: the task has saved none")
        extensions = {"snapshot": encode(brought.snapshot), "request": encode(brought.request)}
    return role.compose(to, StateRestore(task_id, snapshot_id), extensions=extensions)


@frozen
class TaskState:
    """How a task stands, as its agent says it."""

    task_id: str
    status: TaskStatus
    result: dict[str, Any] | None
    #: The task itself, where the peer tells of it.
    task: ModelTask | None = None
    #: What it knew: the newest, or the version that was asked for.
    snapshot: StateSnapshot | None = None
    #: What it was asked, where it has a snapshot.
    request: TaskRequest | None = None
    #: What it waits to be told.
    question: dict[str, Any] | None = None
    #: Why it has failed.
    error: AsapError | None = None

    @property
    def is_final(self) -> bool:
        """Whether it is over."""
        return is_final(self.status)


def state_of(reply: Envelope) -> TaskState:
    """How a task stands; raises `MalformedReply`."""
    response, extensions = response_of(reply), reply.extensions or {}
    error = extensions.get("error")
    return TaskState(
        response.task_id,
        response.status,
        response.result,
        _told(ModelTask, extensions, "task"),
        _told(StateSnapshot, extensions, "snapshot"),
        _told(TaskRequest, extensions, "request"),
        extensions.get("input_request"),
        read_error(error) if error is not None else None,
    )


def _told(kind: type[V], extensions: Mapping[str, Any], name: str) -> V | None:
    value = extensions.get(name)
    return None if value is None else decode(kind, value, lenient=True, error=MalformedReply)


def response_of(reply: Envelope) -> TaskResponse:
    """The task response that a reply carries; raises `MalformedReply`."""
    if not isinstance(reply.payload, TaskResponse):
        raise MalformedReply(f"a task request was answered by a {reply.payload_type[:64]}", path="$.payload_type")
    return reply.payload
