"""The closed sets of words: where a task stands, who speaks in it, what an update tells (ASAP: entities)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["MessageRole", "TaskStatus", "UpdateType"]


class TaskStatus(StrEnum):
    """Where a task stands; `rules.lifecycle.MOVES` says where it may go."""

    SUBMITTED = "submitted"
    WORKING = "working"
    INPUT_REQUIRED = "input_required"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class MessageRole(StrEnum):
    """Who speaks a message."""

    USER = "user"
    ASSISTANT = "assistant"
    SYSTEM = "system"


class UpdateType(StrEnum):
    """What a task update tells."""

    PROGRESS = "progress"
    INPUT_REQUIRED = "input_required"
    STATUS_CHANGE = "status_change"
