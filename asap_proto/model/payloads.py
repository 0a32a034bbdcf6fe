"""The twelve payloads: what an envelope may carry (ASAP: payloads), and the names it goes by on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping

from attrs import field

from ..errors import Fault
from ._value import ID, JsonObject, Value, noun
from .status import MessageRole, TaskStatus, UpdateType

__all__ = [
    "PAYLOADS",
    "SPELLINGS",
    "ArtifactNotify",
    "McpResourceData",
    "McpResourceFetch",
    "McpToolCall",
    "McpToolResult",
    "MessageSend",
    "Payload",
    "StateQuery",
    "StateRestore",
    "TaskCancel",
    "TaskRequest",
    "TaskResponse",
    "TaskUpdate",
    "payload_class",
    "payload_name",
]


@noun
class TaskRequest(Value):
    """Do this."""

    conversation_id: str = field(validator=ID)
    skill_id: str = field(validator=ID)
    input: JsonObject
    parent_task_id: str | None = field(default=None, validator=ID)
    config: JsonObject | None = None


@noun
class TaskResponse(Value):
    """This came of it."""

    task_id: str = field(validator=ID)
    status: TaskStatus
    result: JsonObject | None = None
    final_state: JsonObject | None = None
    metrics: JsonObject | None = None


@noun
class TaskUpdate(Value):
    """It has come this far; ``progress.percent``, where present, is a number from 0 to 100."""

    task_id: str = field(validator=ID)
    update_type: UpdateType
    status: TaskStatus
    progress: JsonObject | None = None
    input_request: JsonObject | None = None

    def flaw(self) -> Fault | None:
        if not self.progress or "percent" not in self.progress:
            return None
        percent = self.progress["percent"]
        if percent.__class__ not in (int, float) or not 0 <= percent <= 100:
            return Fault("$.progress.percent", "out_of_range", "is not a number from 0 to 100")
        return None


@noun
class TaskCancel(Value):
    """Stop."""

    task_id: str = field(validator=ID)
    reason: str | None = None


@noun
class MessageSend(Value):
    """Someone says something within a task; `parts` are ids."""

    task_id: str = field(validator=ID)
    message_id: str = field(validator=ID)
    sender: str
    role: MessageRole
    parts: tuple[str, ...]


@noun
class StateQuery(Value):
    """What did the task know, newest or at `version`?"""

    task_id: str = field(validator=ID)
    version: int | None = None


@noun
class StateRestore(Value):
    """Go on from this snapshot."""

    task_id: str = field(validator=ID)
    snapshot_id: str = field(validator=ID)


@noun
class ArtifactNotify(Value):
    """Something was made."""

    artifact_id: str = field(validator=ID)
    task_id: str = field(validator=ID)
    name: str | None = None


@noun
class McpToolCall(Value):
    """Call this MCP tool."""

    request_id: str = field(validator=ID)
    tool_name: str = field(validator=ID)
    arguments: JsonObject
    mcp_context: JsonObject | None = None


@noun
class McpToolResult(Value):
    """The tool answered, or failed: exactly one of `result` and `error` is set, as `success` says."""

    request_id: str = field(validator=ID)
    success: bool
    result: JsonObject | None = None
    error: str | None = None

    def flaw(self) -> Fault | None:
        if self.success and (self.result is None or self.error is not None):
            return Fault("$.success", "result_or_error", "is true: a result and no error is expected")
        if not self.success and (self.error is None or self.result is not None):
            return Fault("$.success", "result_or_error", "is false: an error and no result is expected")
        return None


@noun
class McpResourceFetch(Value):
    """Fetch this MCP resource."""

    resource_uri: str


@noun
class McpResourceData(Value):
    """Here is the resource."""

    resource_uri: str
    content: JsonObject


Payload = (
    TaskRequest
    | TaskResponse
    | TaskUpdate
    | TaskCancel
    | MessageSend
    | StateQuery
    | StateRestore
    | ArtifactNotify
    | McpToolCall
    | McpToolResult
    | McpResourceFetch
    | McpResourceData
)

#: The registry: the dotted name of each payload to its class. Payload names live nowhere else.
PAYLOADS: Mapping[str, type[Payload]] = {
    "task.request": TaskRequest,
    "task.response": TaskResponse,
    "task.update": TaskUpdate,
    "task.cancel": TaskCancel,
    "message.send": MessageSend,
    "state.query": StateQuery,
    "state.restore": StateRestore,
    "artifact.notify": ArtifactNotify,
    "mcp.tool_call": McpToolCall,
    "mcp.tool_result": McpToolResult,
    "mcp.resource_fetch": McpResourceFetch,
    "mcp.resource_data": McpResourceData,
}

_DOTTED = {kind: name for name, kind in PAYLOADS.items()}

# Two spellings live side by side, and a third in examples: task.request, TaskRequest, task_request.
SPELLINGS: Mapping[str, type[Payload]] = {
    spelling: kind for name, kind in PAYLOADS.items() for spelling in (name, kind.__name__, name.replace(".", "_"))
}
_is_class_name = re.compile(r"[A-Z]\w*").fullmatch


def payload_class(name: str) -> type[Payload] | None:
    """The payload that goes by this name, in any of its spellings; none for a name unknown."""
    return SPELLINGS.get(name)


def payload_name(kind: type[Payload], *, like: str = "task.request") -> str:
    """The name of a payload, spelt like the name `like`: a peer is answered in its own spelling."""
    if "." in like:
        return _DOTTED[kind]
    return kind.__name__ if _is_class_name(like) else _DOTTED[kind].replace(".", "_")
