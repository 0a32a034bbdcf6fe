"""The things agents work on together: conversations, tasks, messages, artifacts, snapshots (WIRE 7)."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from ..limits import ID_LENGTH, TASK_DEPTH
from ._value import SOME, JsonObject, Value, between, length
from .status import MessageRole, TaskStatus

__all__ = ["Artifact", "Conversation", "Message", "StateSnapshot", "Task"]

_ID = length(ID_LENGTH)


@frozen(eq=False, repr=False, weakref_slot=False)
class Conversation(Value):
    """Whose tasks belong together."""

    id: str = field(validator=_ID)
    participants: tuple[str, ...] = field(validator=SOME)
    created_at: datetime
    metadata: JsonObject | None = None


@frozen(eq=False, repr=False, weakref_slot=False)
class Task(Value):
    """One piece of work; `depth` counts the tasks above it."""

    id: str = field(validator=_ID)
    conversation_id: str = field(validator=_ID)
    status: TaskStatus
    created_at: datetime
    updated_at: datetime
    parent_task_id: str | None = field(default=None, validator=_ID)
    depth: int = field(default=0, validator=between(0, TASK_DEPTH))
    progress: JsonObject | None = None


@frozen(eq=False, repr=False, weakref_slot=False)
class Message(Value):
    """Something said within a task; `parts` are ids."""

    id: str = field(validator=_ID)
    task_id: str = field(validator=_ID)
    sender: str
    role: MessageRole
    parts: tuple[str, ...]
    timestamp: datetime


@frozen(eq=False, repr=False, weakref_slot=False)
class Artifact(Value):
    """Something a task has made; `parts` are ids."""

    id: str = field(validator=_ID)
    task_id: str = field(validator=_ID)
    name: str
    parts: tuple[str, ...]
    created_at: datetime


@frozen(eq=False, repr=False, weakref_slot=False)
class StateSnapshot(Value):
    """What a task knew at one moment, enough to go on from there."""

    id: str = field(validator=_ID)
    task_id: str = field(validator=_ID)
    version: int = field(validator=between(1))
    data: JsonObject
    created_at: datetime
    checkpoint: bool = False
