"""The task lifecycle: one table, and the questions derived from it."""

from datetime import timedelta

import pytest

from asap_proto.errors import IllegalMove
from asap_proto.model import Task, TaskStatus
from asap_proto.rules.lifecycle import MOVES, is_final, may_cancel, may_move, move
from asap_testkit import NOW

LEGAL = {
    ("submitted", "working"), ("submitted", "cancelled"),
    ("working", "completed"), ("working", "failed"), ("working", "cancelled"), ("working", "input_required"),
    ("input_required", "working"), ("input_required", "cancelled"),
}  # fmt: skip
LATER = NOW + timedelta(seconds=1)


@pytest.mark.proves("lifecycle.table", "lifecycle.no-self-moves")
@pytest.mark.parametrize("to", TaskStatus)
@pytest.mark.parametrize("status", TaskStatus)
def test_every_move_is_legal_or_refused(status, to):
    """A task moves along the table, and nowhere else; not even to where it stands."""
    task = Task("t", "c", status, NOW, NOW)
    if (status, to) in LEGAL:
        moved = move(task, to=to, at=LATER)
        assert (moved.status, moved.updated_at, moved.created_at) == (to, LATER, NOW)
    else:
        with pytest.raises(IllegalMove) as caught:
            move(task, to=to, at=LATER)
        assert caught.value.facts == {"from_state": status, "to_state": to, "task_id": "t"}
        assert caught.value.path == "$.status"
    assert may_move(status, to=to) == ((status, to) in LEGAL)


@pytest.mark.proves("lifecycle.final")
def test_three_states_are_final():
    """From completed, failed and cancelled no move leads out, and the error says so."""
    assert {status for status in MOVES if is_final(status)} == {"completed", "failed", "cancelled"}
    with pytest.raises(IllegalMove, match=r"may go to nothing: it is final$"):
        move(Task("t", "c", TaskStatus.FAILED, NOW, NOW), to=TaskStatus.WORKING, at=LATER)


@pytest.mark.proves("lifecycle.cancel")
def test_what_is_not_over_can_be_cancelled():
    """A task waiting for input can be cancelled too, as the table says."""
    assert {status for status in MOVES if may_cancel(status)} == {"submitted", "working", "input_required"}


@pytest.mark.proves("lifecycle.table")
def test_whoever_is_refused_is_told_where_the_task_may_go():
    """By name, in one order."""
    with pytest.raises(IllegalMove, match=r"may go to cancelled, working$"):
        move(Task("t", "c", TaskStatus.SUBMITTED, NOW, NOW), to=TaskStatus.COMPLETED, at=LATER)


def test_the_table_is_whole():
    """Every status has its row."""
    assert set(MOVES) == set(TaskStatus)
