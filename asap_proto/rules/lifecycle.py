"""Which way a task may go: one table, every question derived from it (ASAP: task lifecycle)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from ..errors import IllegalMove
from ..model.status import TaskStatus
from ..model.task import Task

__all__ = ["MOVES", "check_move", "is_final", "may_cancel", "may_move", "move"]

_S = TaskStatus

MOVES: Mapping[TaskStatus, frozenset[TaskStatus]] = {
    _S.SUBMITTED: frozenset({_S.WORKING, _S.CANCELLED}),
    _S.WORKING: frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.INPUT_REQUIRED}),
    _S.INPUT_REQUIRED: frozenset({_S.WORKING, _S.CANCELLED}),
    _S.COMPLETED: frozenset(),
    _S.FAILED: frozenset(),
    _S.CANCELLED: frozenset(),
}


def may_move(status: TaskStatus, *, to: TaskStatus) -> bool:
    """Whether the table has this move."""
    return to in MOVES[status]


def is_final(status: TaskStatus) -> bool:
    """Whether no move leads out of `status`."""
    return not MOVES[status]


def may_cancel(status: TaskStatus) -> bool:
    """Whether a task that stands here can still be cancelled."""
    return may_move(status, to=TaskStatus.CANCELLED)


def check_move(task_id: str, status: TaskStatus, *, to: TaskStatus) -> None:
    """Raises `IllegalMove` for a move the table lacks."""
    if not may_move(status, to=to):
        allowed = ", ".join(sorted(MOVES[status])) or "nothing: it is final"
        raise IllegalMove(
            f"a task can't go from {status} to {to}; from {status} it may go to {allowed}",
            path="$.status",
            facts={"from_state": str(status), "to_state": str(to), "task_id": task_id},
        )


def move(task: Task, *, to: TaskStatus, at: datetime) -> Task:
    """`task`, moved; raises `IllegalMove` for a move the table lacks."""
    check_move(task.id, task.status, to=to)
    return attrs.evolve(task, status=to, updated_at=at)
