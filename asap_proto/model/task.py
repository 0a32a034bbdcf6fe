"""The things agents work on together: conversations, tasks, messages, artifacts, snapshots (ASAP: entities)."""

from __future__ import annotations

from datetime import datetime

from attrs import field

from ..limits import TASK_DEPTH
from ._value import ID, SOME, JsonObject, Value, between, noun
from .status import MessageRole, TaskStatus

__all__ = ["Artifact", "Conversation", "Message", "StateSnapshot", "Task"]


@noun
class Conversation(Value):
    """Whose tasks belong together."""

    id: str = field(validator=ID)
    participants: tuple[str, ...] = field(validator=SOME)
    created_at: datetime
    metadata: JsonObject | None = None


@noun
class Task(Value):
    """One piece of work; `depth` counts the tasks above it."""

    id: str = field(validator=ID)
    conversation_id: str = field(validator=ID)
    status: TaskStatus
    created_at: datetime
    updated_at: datetime
    parent_task_id: str | None = field(default=None, validator=ID)
    depth: int = field(default=0, validator=between(0, TASK_DEPTH))
    progress: JsonObject | None = None


@noun
class Message(Value):
    """Something said within a task; `parts` are ids."""

    id: str = field(validator=ID)
    task_id: str = field(validator=ID)
    sender: str
    role: MessageRole
    parts: tuple[str, ...]
    timestamp: datetime


@noun
class Artifact(Value):
    """Something a task has made; `parts` are ids."""

    id: str = field(validator=ID)
    task_id: str = field(validator=ID)
    name: str
    parts: tuple[str, ...]
    created_at: datetime


@noun
class StateSnapshot(Value):
    """What a task knew at one moment, enough to go on from there."""

    id: str = field(validator=ID)
    task_id: str = field(validator=ID)
    version: int = field(validator=between(1))
    data: JsonObject
    created_at: datetime
    checkpoint: bool = False
