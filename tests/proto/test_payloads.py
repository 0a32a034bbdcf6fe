"""The twelve payloads: their names, and the rules that join several fields."""

import pytest

from asap_proto.errors import InvalidValue
from asap_proto.model import (
    PAYLOADS,
    SPELLINGS,
    McpToolCall,
    McpToolResult,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    UpdateType,
    payload_class,
    payload_name,
)
from asap_testkit import error_of


@pytest.mark.proves("payload.names")
def test_twelve_payloads_each_in_three_spellings():
    """A dotted name, a class name, a snake name: all mean the same class."""
    assert len(PAYLOADS) == 12
    for name, kind in PAYLOADS.items():
        assert payload_class(name) is payload_class(kind.__name__) is payload_class(name.replace(".", "_")) is kind
    assert len(SPELLINGS) == 36


@pytest.mark.proves("payload.names")
@pytest.mark.parametrize(
    "name", ["", "task", "Task.Request", "TASK.REQUEST", "taskrequest", "task-request", "task.request "]
)
def test_names_are_exact(name):
    """Any other spelling is another name."""
    assert payload_class(name) is None


@pytest.mark.proves("payload.answer-spelling")
@pytest.mark.parametrize(
    ("like", "name"),
    [
        ("task.request", "task.response"),
        ("TaskRequest", "TaskResponse"),
        ("task_request", "task_response"),
        ("", "task_response"),
    ],
)
def test_a_peer_is_answered_in_its_own_spelling(like, name):
    """The name of the answer is spelt like the name of the request."""
    assert payload_name(TaskResponse, like=like) == name


def test_names_are_dotted_unless_told():
    """What we send of our own is dotted: the one spelling that stock servers take."""
    assert payload_name(TaskRequest) == "task.request"
    assert payload_name(McpToolCall) == "mcp.tool_call"


@pytest.mark.proves("payload.update-percent")
@pytest.mark.parametrize("progress", [None, {}, {"percent": 0}, {"percent": 100}, {"percent": 0.5}, {"note": 1}])
def test_progress_that_passes(progress):
    """A percent is a number from 0 to 100, where there is one."""
    assert TaskUpdate("t", UpdateType.PROGRESS, TaskStatus.WORKING, progress).flaw() is None


@pytest.mark.proves("payload.update-percent")
@pytest.mark.parametrize("percent", [-0.1, -1, 100.1, 101, True, "5", [], float("nan"), float("inf")])
def test_progress_that_is_refused(percent):
    """What is no number, or out of range, is refused; true is no number."""
    with pytest.raises(InvalidValue) as caught:
        TaskUpdate("t", UpdateType.PROGRESS, TaskStatus.WORKING, {"percent": percent})
    assert caught.value.path == "$.progress.percent"


@pytest.mark.proves("payload.tool-result")
@pytest.mark.parametrize(
    ("success", "result", "error", "fine"),
    [
        (True, {}, None, True),
        (False, None, "", True),
        (True, None, None, False),
        (True, {}, "e", False),
        (False, None, None, False),
        (False, {}, "e", False),
        (False, {}, None, False),
    ],
)
def test_a_tool_answers_or_fails(success, result, error, fine):
    """A result and no error when it succeeded; an error and no result when it failed."""
    found = error_of(McpToolResult, "r", success, result, error)
    assert (found and found.path) == (None if fine else "$.success")
