"""Plain JSON values to nouns and back, without coercion."""

from typing import Any

import pytest

from asap_proto.errors import InvalidRequest, MalformedEnvelope, MalformedPayload, MalformedReply
from asap_proto.model import (
    PARTS,
    Capabilities,
    Envelope,
    Manifest,
    StateQuery,
    StateSnapshot,
    TaskCancel,
    TaskRequest,
    TaskUpdate,
    TextPart,
)
from asap_proto.wire.nouns import decode, decode_envelope, decode_part, encode
from asap_testkit import echo_manifest, letter, request_frame

PLAIN: dict[Any, dict[str, Any]] = {
    StateSnapshot: {"id": "s", "task_id": "t", "version": 1, "data": {}, "created_at": "2026-01-02T03:04:05Z"},
    TaskUpdate: {"task_id": "t", "update_type": "progress", "status": "working"},
    Capabilities: {"skills": [{"id": "echo", "description": "d"}], "mcp_tools": ["x"]},
    StateQuery: {"task_id": "t", "version": 2},
}


def envelope(**changes):
    return request_frame(**changes)["params"]["envelope"]


def faults_of(cls, value, **options):
    """Path and type of each fault."""
    with pytest.raises(MalformedEnvelope) as caught:
        decode(cls, value, **options)
    return [(fault.path, fault.type) for fault in caught.value.faults]


@pytest.mark.proves("wire.no-coercion")
@pytest.mark.parametrize(("cls", "change", "fault"), [
    (StateSnapshot, {"version": "1"}, ("$.version", "int_type")),
    (StateSnapshot, {"version": 1.0}, ("$.version", "int_type")),
    (StateSnapshot, {"version": True}, ("$.version", "int_type")),
    (StateSnapshot, {"checkpoint": "false"}, ("$.checkpoint", "bool_type")),
    (StateSnapshot, {"checkpoint": 0}, ("$.checkpoint", "bool_type")),
    (StateSnapshot, {"id": 5}, ("$.id", "string_type")),
    (StateSnapshot, {"id": None}, ("$.id", "string_type")),
    (StateSnapshot, {"data": []}, ("$.data", "dict_type")),
    (StateSnapshot, {"created_at": True}, ("$.created_at", "datetime_type")),
    (StateSnapshot, {"created_at": "2026-13-02T03:04:05.123456Z"}, ("$.created_at", "datetime_type")),
    (StateSnapshot, {"version": 0}, ("$.version", "out_of_range")),
    (TaskUpdate, {"status": "WORKING"}, ("$.status", "enum")),
    (TaskUpdate, {"status": []}, ("$.status", "enum")),
    (TaskUpdate, {"progress": {"percent": 101}}, ("$.progress.percent", "out_of_range")),
    (Capabilities, {"mcp_tools": "abc"}, ("$.mcp_tools", "list_type")),
    (Capabilities, {"mcp_tools": ["a", 5]}, ("$.mcp_tools[1]", "string_type")),
    (Capabilities, {"skills": {}}, ("$.skills", "list_type")),
    (Capabilities, {"skills": [5]}, ("$.skills[0]", "dict_type")),
    (Capabilities, {"skills": [{"id": "a"}]}, ("$.skills[0].description", "missing")),
    (StateQuery, {"version": "2"}, ("$.version", "int_type")),
])  # fmt: skip
def test_nothing_is_coerced(cls, change, fault):
    """A value of another type than the field's is refused, at its path."""
    assert decode(cls, PLAIN[cls])
    assert faults_of(cls, PLAIN[cls] | change) == [fault]


@pytest.mark.parametrize("value", [None, 5, "x", [], True, 1.5])
@pytest.mark.parametrize("cls", [Envelope, TextPart, TaskCancel])
def test_only_objects_are_nouns(cls, value):
    """An object is checked to be one before anything else."""
    assert faults_of(cls, value) == [("$", "dict_type")]


def test_every_fault_is_told():
    """Not only the first: what is missing, what is unknown, what is wrong."""
    assert faults_of(TaskUpdate, {"task_id": 5, "update_type": "x", "extra": 1}) == [
        ("$.extra", "extra_forbidden"),
        ("$.task_id", "string_type"),
        ("$.update_type", "enum"),
        ("$.status", "missing"),
    ]


@pytest.mark.proves("wire.unknown-fields")
def test_unknown_fields_are_refused_in_what_we_are_asked():
    """And passed over in what a newer peer answers."""
    value = {"task_id": "t", "new": 1}
    assert faults_of(TaskCancel, value) == [("$.new", "extra_forbidden")]
    assert decode(TaskCancel, value, lenient=True) == TaskCancel("t")
    assert decode(Capabilities, {"skills": [{"id": "a", "description": "d", "tags": []}]}, lenient=True).skills


@pytest.mark.proves("wire.unknown-fields")
@pytest.mark.parametrize("size", [None, 1, 100_000])
def test_unknown_fields_of_an_envelope_and_its_payload(size):
    """Are refused or passed over in both, also where something else is wrong."""
    cancel = envelope(payload_type="task.cancel", payload={"task_id": "t", "new": 1})
    assert decode_envelope(cancel | {"new": 1}, size=size, lenient=True).payload == TaskCancel("t")
    with pytest.raises(MalformedPayload):
        decode_envelope(cancel, size=size)
    with pytest.raises(MalformedEnvelope):
        decode_envelope(cancel | {"new": 1}, size=size)
    with pytest.raises(MalformedPayload) as caught:
        decode_envelope(cancel | {"new": 1, "payload": {"new": 1}}, size=size, lenient=True)
    assert [fault.path for fault in caught.value.faults] == ["$.payload.task_id"]


@pytest.mark.proves("envelope.requires-ack", "manifest.additions")
def test_known_additions_pass_and_are_not_written():
    """What newer releases add is taken in whatever it holds, and never sent."""
    plain = encode(echo_manifest()) | {"ttl_seconds": 300, "sla": {}}
    assert decode(Manifest, _plain(plain)) == echo_manifest()
    assert decode_envelope(envelope(requires_ack=True)).id == "letter-1"
    assert "requires_ack" not in encode(letter())


def _plain(value):
    """As it comes from JSON: lists for tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.proves("envelope.required")
@pytest.mark.parametrize("name", ["asap_version", "sender", "recipient", "payload_type", "payload"])
def test_an_envelope_without_a_required_field(name):
    """Five fields are required of who sends; the rest may be left out or null."""
    value = envelope()
    del value[name]
    with pytest.raises(MalformedEnvelope) as caught:
        decode_envelope(value)
    assert [(fault.path, fault.type) for fault in caught.value.faults] == [(f"$.{name}", "missing")]


@pytest.mark.proves("envelope.optional")
@pytest.mark.parametrize("name", ["id", "timestamp", "correlation_id", "trace_id", "extensions"])
def test_an_envelope_without_an_optional_field(name):
    """Left out and null are the same."""
    value = envelope()
    value.pop(name, None)
    assert getattr(decode_envelope(value), name) is None
    assert decode_envelope({**value, name: None}) == decode_envelope(value)


@pytest.mark.proves("payload.fields")
def test_a_payload_is_read_by_its_type():
    """Its faults are told from the envelope's root, as a malformed payload."""
    assert decode_envelope(envelope()).payload == TaskRequest("conversation", "echo", {"message": "hi"})
    with pytest.raises(MalformedPayload) as caught:
        decode_envelope(envelope(payload={"skill_id": 5, "conversation_id": "c", "input": {}}))
    assert [fault.path for fault in caught.value.faults] == ["$.payload.skill_id"]
    assert "skill_id is an integer" in caught.value.message


@pytest.mark.proves("payload.unknown-type")
def test_a_payload_of_unknown_type_stays_an_object():
    """Whoever passes envelopes on need not know all; but an object it has to be."""
    assert decode_envelope(envelope(payload_type="custom", payload={"x": 1})).payload == {"x": 1}
    with pytest.raises(MalformedEnvelope):
        decode_envelope(envelope(payload_type="custom", payload=[]))


def test_the_caller_names_the_error():
    """The same faults are an InvalidRequest here, a MalformedReply there."""
    with pytest.raises(InvalidRequest):
        decode(TaskCancel, {}, error=InvalidRequest)
    with pytest.raises(MalformedReply):
        decode_envelope(envelope(payload={}), payload_error=MalformedReply)


@pytest.mark.proves("parts.tags")
def test_parts_are_read_by_their_type():
    """The tag decides, and is written again."""
    plain = {"type": "text", "content": "hi"}
    assert decode_part(plain) == TextPart("hi")
    assert encode(TextPart("hi")) == plain
    assert len(PARTS) == 5


@pytest.mark.proves("parts.tags")
@pytest.mark.parametrize(
    ("value", "fault", "told"),
    [
        (5, ("$", "dict_type"), "is an integer; expected an object"),
        ({}, ("$.type", "union_tag_invalid"), "expected one of text, data, file, resource, template"),
        ({"type": "video"}, ("$.type", "union_tag_invalid"), "expected one of text, data, file, resource, template"),
        ({"type": []}, ("$.type", "union_tag_invalid"), "expected one of text, data, file, resource, template"),
        ({"type": "text"}, ("$.content", "missing"), "is required"),
    ],
)
def test_parts_of_no_type(value, fault, told):
    """A part without a known type is refused with the types there are, by the error that the caller names."""
    with pytest.raises(MalformedReply) as caught:
        decode_part(value, error=MalformedReply)
    assert (caught.value.faults[0].path, caught.value.faults[0].type) == fault
    assert caught.value.faults[0].problem == told
    assert "part" in caught.value.message.lower()


@pytest.mark.parametrize(
    ("value", "fault"),
    [({"content": "x"}, ("$.type", "missing")), ({"type": "data", "content": "x"}, ("$.type", "literal_error"))],
)
def test_a_part_read_as_its_class_needs_its_tag(value, fault):
    """Whoever expects a text part gets no other."""
    assert faults_of(TextPart, value) == [fault]


def test_encode_writes_every_field():
    """Nulls included, as every release does; a payload of unknown type as it came."""
    assert encode(TaskCancel("t")) == {"task_id": "t", "reason": None}
    plain = encode(letter({"x": 1}, payload_type="custom"))
    assert plain["payload"] == {"x": 1}
    assert plain.keys() == {attribute.name for attribute in Envelope.__attrs_attrs__}
    assert encode(echo_manifest())["auth"] is None
