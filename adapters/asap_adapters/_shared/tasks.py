"""What a handler is told of its task."""

from __future__ import annotations

from typing import Any

from asap_proto.errors import MalformedReply, Misuse
from asap_proto.model import (
    Envelope,
    Payload,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    UpdateType,
)
from asap_proto.roles import ClientRole, Job

__all__ = ["BaseTask", "compose_progress", "compose_request", "response_of"]


class BaseTask:
    """One request, as its handler sees it."""

    def __init__(self, job: Job) -> None:
        self.job = job

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
) -> Envelope:
    """A task request; within a task it carries on the conversation, and names its parent."""
    parent = within.payload if within is not None else None
    if conversation_id is None:
        conversation_id = parent.conversation_id if isinstance(parent, TaskRequest) else f"conv_{role.new_id()}"
    parent_id = within.task_id if within is not None else None
    request = TaskRequest(conversation_id, skill, input, parent_task_id=parent_id, config=config)
    return role.compose(to, request, within=within, trace_id=trace_id)


def compose_progress(role: ClientRole, job: Job, percent: float, message: str | None) -> Envelope:
    """How far a task has come, to whoever asked for it."""
    progress: dict[str, Any] = {"percent": percent} if message is None else {"percent": percent, "message": message}
    update = TaskUpdate(job.task_id, UpdateType.PROGRESS, TaskStatus.WORKING, progress)
    return role.compose(job.envelope.sender, update, within=job)


def response_of(reply: Envelope) -> TaskResponse:
    """The task response that a reply carries; raises `MalformedReply`."""
    if not isinstance(reply.payload, TaskResponse):
        raise MalformedReply(f"a task request was answered by a {reply.payload_type[:64]}", path="$.payload_type")
    return reply.payload
