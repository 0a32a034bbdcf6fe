"""Conversations, tasks, messages, artifacts and snapshots; and the closed sets of words."""

import pytest

from asap_proto.errors import InvalidValue
from asap_proto.model import Conversation, MessageRole, StateSnapshot, Task, TaskStatus, UpdateType
from asap_testkit import NOW, error_of


@pytest.mark.proves("entities.words")
def test_the_words():
    """The closed sets, as they stand on the wire."""
    assert {*TaskStatus} == {"submitted", "working", "completed", "failed", "cancelled", "input_required"}
    assert {*MessageRole} == {"user", "assistant", "system"}
    assert {*UpdateType} == {"progress", "input_required", "status_change"}


@pytest.mark.proves("task.depth")
@pytest.mark.parametrize(("depth", "fine"), [(-1, False), (0, True), (10, True), (11, False)])
def test_a_task_is_0_to_10_deep(depth, fine):
    """A task deeper than the protocol allows can't even be made."""
    error = error_of(Task, "t", "c", TaskStatus.WORKING, NOW, NOW, depth=depth)
    assert (error and error.path) == (None if fine else "$.depth")


@pytest.mark.proves("entities.snapshot-version")
@pytest.mark.parametrize(("version", "fine"), [(0, False), (1, True), (2**63, True)])
def test_snapshots_count_from_1(version, fine):
    """A snapshot's version is at least 1."""
    error = error_of(StateSnapshot, "s", "t", version, {}, NOW)
    assert (error and error.path) == (None if fine else "$.version")


@pytest.mark.proves("entities.not-empty")
def test_a_conversation_has_participants():
    """Nobody talks with nobody."""
    with pytest.raises(InvalidValue) as caught:
        Conversation("c", (), NOW)
    assert caught.value.path == "$.participants"
