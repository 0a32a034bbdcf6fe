"""What exactly is wrong, within bounds."""

import pytest

from asap_proto.errors import Fault, MalformedEnvelope
from asap_proto.model import (
    Capabilities,
    Conversation,
    Manifest,
    McpToolResult,
    Task,
    TaskCancel,
    TaskUpdate,
    TextPart,
)
from asap_proto.wire.faults import FAULTS_MOST, every_fault, step, unknown_tag, wrong
from asap_proto.wire.nouns import decode
from asap_testkit import PEER, error_of


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a", "$.a"),
        ("_a1", "$._a1"),
        (0, "$[0]"),
        ("a-b", "$['a-b']"),
        ("", "$['']"),
        ("é", "$['é']"),
        ("a\n", "$['a\\n']"),
    ],
)
def test_a_path_goes_one_step_further(key, path):
    """Plain names after a dot, numbers and all else in brackets."""
    assert step("$", key) == path


@pytest.mark.proves("error.bounded")
@pytest.mark.parametrize("key", ["k" * 65, "-" * 65, "k" * 100_000])
def test_a_long_key_is_cut(key):
    """A hostile key can't make the answer grow, plain name or not."""
    assert step("$", key) == f"$[{key[:64]!r}]"
    assert step("$", "k" * 64) == "$." + "k" * 64


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "null"),
        ({}, "an object"),
        ([], "an array"),
        ("x", "a string"),
        (True, "a boolean"),
        (1, "an integer"),
        (1.5, "a number"),
    ],
)
def test_a_wrong_type_is_told_by_its_json_name(value, name):
    """In the words of JSON, not of Python; the value itself is not repeated."""
    assert wrong("$.a", "flag", value) == Fault("$.a", "bool_type", f"is {name}; expected true or false")


def test_an_unknown_tag_names_the_known_ones():
    """So that whoever mistyped sees what there is."""
    assert unknown_tag(["a", "b"]).problem == "expected one of a, b"


@pytest.mark.proves("error.bounded")
def test_only_so_many_faults_are_told():
    """A hostile document can't make the answer to it grow."""
    with pytest.raises(MalformedEnvelope) as caught:
        decode(TaskCancel, {f"k{number}": 1 for number in range(FAULTS_MOST + 1)})
    assert len(caught.value.faults) == FAULTS_MOST
    assert f"(and {FAULTS_MOST - 1} more)" in caught.value.message


def test_the_first_of_two_faults_is_said_and_that_there_is_one_more():
    """As many as are told with their paths."""
    with pytest.raises(MalformedEnvelope) as caught:
        decode(TaskCancel, {"task_id": 5, "reason": 5})
    assert caught.value.message == "TaskCancel: task_id is an integer; expected a string (and 1 more)"


def test_faults_stand_in_the_order_of_the_document():
    """The same bytes get the same answer, in every process."""
    with pytest.raises(MalformedEnvelope) as caught:
        decode(TaskCancel, {"task_id": "t", "z": 1, "a": 1, "m": 1})
    assert [fault.path for fault in caught.value.faults] == ["$.z", "$.a", "$.m"]


@pytest.mark.parametrize(("value", "message"), [
    (5, "TaskCancel: is an integer; expected an object"), ({}, "TaskCancel: task_id is required"),
])  # fmt: skip
def test_the_message_reads_as_a_sentence(value, message):
    """It says the noun, the field, and what is wrong."""
    with pytest.raises(MalformedEnvelope) as caught:
        decode(TaskCancel, value)
    assert caught.value.message == message


def test_fields_taken_together_are_judged_last():
    """As far as those that the rule looks at are right by themselves."""
    base = {"request_id": "r", "success": True}
    for value, paths in (
        (base, ["$.success"]),
        (base | {"error": 5}, ["$.error", "$.success"]),
        (base | {"success": 1}, ["$.success"]),
        (base | {"result": {}}, []),
    ):
        error = error_of(decode, McpToolResult, value)
        assert [fault.path for fault in (error.faults if error else ())] == paths


def test_rules_of_lists_and_ranges():
    """A list may have to hold something; a number may have its range."""
    with pytest.raises(MalformedEnvelope, match="at least one item"):
        decode(Conversation, {"id": "c", "participants": [], "created_at": 0})
    task = {"id": "t", "conversation_id": "c", "status": "working", "created_at": 0, "updated_at": 0}
    assert decode(Task, task | {"depth": 10}).depth == 10
    with pytest.raises(MalformedEnvelope, match="depth is 11; expected 0 to 10"):
        decode(Task, task | {"depth": 11})


def test_nouns_within_nouns_are_explained():
    """With the path through them; a null is no fault where it may stand."""
    plain = {
        "id": PEER,
        "name": "n",
        "version": "1",
        "description": "d",
        "auth": None,
        "signature": 5,
        "endpoints": {"asap": "/asap", "events": None, "x": 1},
        "capabilities": {"skills": [{"id": "a", "description": 5}]},
    }
    assert [fault.path for fault in every_fault(Manifest, plain)] == [
        "$.capabilities.skills[0].description", "$.endpoints.x", "$.signature",
    ]  # fmt: skip
    assert [fault.path for fault in every_fault(Manifest, plain, lenient=True)] == [
        "$.capabilities.skills[0].description",
        "$.signature",
    ]
    assert [
        fault.path for fault in every_fault(McpToolResult, {"request_id": "r", "success": False, "error": None})
    ] == ["$.success"]


def test_one_s_own_documents_are_explained_whole():
    """Without a bound: whoever wrote it wants to see all."""
    assert len(list(every_fault(TaskCancel, {f"k{number}": 1 for number in range(100)}))) == 101


@pytest.mark.parametrize(
    ("cls", "value", "problem"),
    [
        (TaskCancel, {"task_id": "t", "x": 1}, "is no field here"),
        (TaskCancel, {}, "is required"),
        (TextPart, {"type": "data", "content": ""}, "expected 'text'"),
        (Conversation, {"id": "c", "participants": [PEER], "created_at": "now"}, "is no time"),
        (Conversation, {"id": "c", "participants": [5], "created_at": 0}, "is an integer; expected a string"),
        (TaskUpdate, {"task_id": "t", "update_type": "x", "status": "working"}, "expected one of progress, "),
    ],
)
def test_each_fault_says_what_is_wrong(cls, value, problem):
    """In words, beside its type and its path."""
    [fault] = every_fault(cls, value)
    assert problem in fault.problem


def test_what_is_unknown_in_the_items_of_a_list_is_passed_over_with_all_else():
    """Whoever reads past unknown fields does so at each depth, also where something else is wrong."""
    skill = {"id": "a", "description": "d", "x": 1}
    assert [fault.path for fault in every_fault(Capabilities, {"skills": [skill]})] == ["$.skills[0].x"]
    assert not list(every_fault(Capabilities, {"skills": [skill]}, lenient=True))
    with pytest.raises(MalformedEnvelope) as caught:
        decode(TaskCancel, {"x": 1}, lenient=True)
    assert [fault.path for fault in caught.value.faults] == ["$.task_id"]
