"""The envelope's own rules."""

import pytest

from asap_proto.errors import InvalidValue
from asap_proto.model import TaskResponse, TaskStatus
from asap_testkit import letter

ANSWER = TaskResponse("t", TaskStatus.COMPLETED)


@pytest.mark.proves("envelope.correlation")
@pytest.mark.parametrize("name", ["TaskResponse", "McpToolResult", "McpResourceData"])
@pytest.mark.parametrize("correlation_id", [None, ""])
def test_what_answers_needs_a_correlation_id(name, correlation_id):
    """In the class-name spelling every release insists on it."""
    with pytest.raises(InvalidValue, match="is required") as caught:
        letter(ANSWER, payload_type=name, correlation_id=correlation_id)
    assert caught.value.path == "$.correlation_id"


@pytest.mark.proves("envelope.correlation")
@pytest.mark.parametrize("name", ["task.response", "task_response", "TaskRequest", "custom"])
def test_other_names_may_leave_it_out(name):
    """In every other spelling releases before 1.4 leave it out."""
    assert letter(ANSWER, payload_type=name).correlation_id is None


def test_an_answer_with_a_correlation_id():
    """With one, every spelling passes."""
    assert letter(ANSWER, payload_type="TaskResponse", correlation_id="x").payload == ANSWER


@pytest.mark.proves("envelope.urns")
@pytest.mark.parametrize("field", ["sender", "recipient"])
def test_sender_and_recipient_are_urns(field):
    """Both are checked where the envelope is made."""
    with pytest.raises(InvalidValue) as caught:
        letter(**{field: "x"})
    assert caught.value.path == f"$.{field}"
