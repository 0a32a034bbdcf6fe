"""What came of a run, as whoever asked for it is told."""

from __future__ import annotations

from contextlib import suppress
from copy import copy
from datetime import datetime
from typing import Any

from ..errors import (
    AsapError,
    Fault,
    HandlerFailed,
    HandlerTimedOut,
    IllegalMove,
    InvalidInput,
    NestedTooDeep,
    Overloaded,
    SkillNotFound,
    TaskFinished,
    TaskNotFound,
)
from ..limits import Limits
from ..model import McpToolCall, McpToolResult, Payload, TaskRequest, TaskResponse, TaskStatus
from ..model._value import JsonObject, Value
from ..plain import plain
from ..rules.redaction import redact, redact_text
from ..stores import Job
from ..stores.records import TASK_PREFIX
from ..wire import jsonrpc
from ..wire.nouns import encode, encode_reply, encode_result
from .commands import Cancelled, Outcome, Raised, Returned, Saturated

__all__ = ["TOLD", "Settled", "error_id", "is_tool_call", "reply_payload", "respond", "settled_with"]

#: What a handler may raise to be told to the peer as it is. Any other exception is a failure of ours.
TOLD = (InvalidInput, TaskNotFound, TaskFinished, IllegalMove, SkillNotFound, NestedTooDeep)


@plain
class Settled:
    """What the request is answered with: the member, and where it failed, the error."""

    member: bytes
    error: AsapError | None


def settled_with(error: AsapError, place: str) -> Settled:
    """What a request is answered that failed, there where it stands."""
    error.under(place)
    return Settled(jsonrpc.failure(error), error)


def is_tool_call(job: Job) -> bool:
    """Whether a skill was called as an MCP tool: the job then is the task request that the call stands for."""
    return job.payload is not job.envelope.payload and isinstance(job.envelope.payload, McpToolCall)


def error_id(task_id: str) -> str:
    """What a failure of this task's handler goes by: its peer is told no more, and the agent's log has it too."""
    return f"err_{task_id.removeprefix(TASK_PREFIX)}"


def respond(
    job: Job,
    kind: type[Payload],
    payload: JsonObject,
    *,
    id: str,
    at: datetime,
    agent: str,
    extensions: JsonObject | None = None,
) -> bytes:
    """The member that answers a request; raises `HandlerFailed` for what is no JSON."""
    try:
        reply = encode_reply(job.envelope, kind, payload, id=id, at=at, sender=agent, extensions=extensions)
        return jsonrpc.success(reply)
    except TypeError as error:
        raise HandlerFailed("the handler returned something that is no JSON") from error


def reply_payload(job: Job, outcome: Outcome | AsapError, limits: Limits) -> tuple[type[Payload], JsonObject]:
    """What came of a run, as the payload of the reply: its kind, and the plain object; raises what the peer is told."""
    if isinstance(outcome, Returned):
        return _returned(job, outcome.value)
    if isinstance(outcome, AsapError):
        raise outcome
    if isinstance(outcome, Raised):
        raise _told(outcome)
    if isinstance(outcome, Cancelled):
        return TaskResponse, encode(TaskResponse(job.task_id, TaskStatus.CANCELLED))
    if isinstance(outcome, Saturated):
        raise Overloaded("every handler thread is busy", facts={"retry_after": 1})
    raise HandlerTimedOut("the handler ran longer than it may", facts={"most_seconds": limits.handler_seconds})


def _returned(job: Job, value: Any) -> tuple[type[Payload], JsonObject]:
    if isinstance(value, Value) and isinstance(value, Payload):
        return type(value), encode(value)
    if is_tool_call(job) and (value is None or isinstance(value, dict)):
        return McpToolResult, encode(McpToolResult(job.envelope.payload.request_id, True, value or {}))  # type: ignore[union-attr]
    if isinstance(job.payload, TaskRequest) and (value is None or isinstance(value, dict)):
        return TaskResponse, encode_result(job.task_id, value)
    if value is None and (task_id := getattr(job.payload, "task_id", None)) is not None:
        status = getattr(job.payload, "status", TaskStatus.WORKING)
        return TaskResponse, encode(TaskResponse(task_id, status))
    raise HandlerFailed("the handler returned neither an object nor a payload")


def _told(raised: Raised) -> AsapError:
    """What the peer hears of a handler's exception: a copy, for a handler may raise the same one again.

    Its words are the handler's, so they are told without the secrets that may be in them.
    """
    error = raised.error
    # What a peer reported to the handler (it has that peer's number) is about another request than ours.
    if isinstance(error, TOLD) and "rpc_code" not in error.facts:
        with suppress(TypeError):  # the facts are the handler's, and may be no JSON
            said = copy(error)
            said.message, said.facts = redact_text(error.message), redact(error.facts)
            said.faults = tuple(
                Fault(redact_text(each.path), each.type, redact_text(each.problem)) for each in error.faults
            )
            jsonrpc.failure(said)
            return said
    return HandlerFailed("the handler failed", facts={"traceback": raised.shown} if raised.shown else None)
