"""The rules of evolution find what they are for, and say what to do; each planted change is one that breaks peers."""

import copy
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from asap_proto.wire.schema import BESIDE, SCHEMAS, schema_of
from asap_testkit.schemas import documents
from evolution.rules import gaps, verdicts

STATUSES = ["submitted", "working", "completed", "failed", "cancelled", "input_required"]


def schema_now(noun):
    return BESIDE[noun]() if noun in BESIDE else schema_of(SCHEMAS[noun])


def changed(noun, *path, to=None):
    """The schema of a noun with one place of it changed, by a value or a function; None takes it out."""
    schema = copy.deepcopy(schema_now(noun))
    place = schema
    for step in path[:-1]:
        place = place[step]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to(place[path[-1]]) if callable(to) else to
    return schema


class Break(NamedTuple):
    """A schema with something changed that breaks peers, and what must be said of it."""

    new: dict[str, Any]
    line: str


BREAKS = [
    Break(
        changed("TaskCancel", "required", to=["task_id", "reason"]),
        "TaskCancel $.reason, backward to 9.9.9: the field may be left out, and is required; "
        "old peers may leave this field out: give it a default",
    ),
    Break(
        changed("TaskCancel", "properties", "reason"),
        "TaskCancel $.reason, backward to 9.9.9: the field is not among what is read; "
        "old peers send this field: keep it in the noun, or among the additions that are passed over",
    ),
    Break(
        changed("TaskResponse", "properties", "status", "enum", to=STATUSES[:-1]),
        'TaskResponse $.status, backward to 9.9.9: "input_required" is not among what is read; '
        "old peers send this value: keep reading it",
    ),
    Break(
        changed("StateQuery", "properties", "version", to={"type": "integer"}),
        "StateQuery $.version, backward to 9.9.9: null is sent, integer is read; "
        "old peers send the other type: keep reading it, and add a field for the new one",
    ),
    Break(
        changed("Skill", "properties", "description", to={"type": "object"}),
        "Skill $.description, backward to 9.9.9: string is sent, object is read; "
        "old peers send the other type: keep reading it, and add a field for the new one",
    ),
    Break(
        changed("Task", "properties", "depth", "maximum", to=5),
        "Task $.depth, backward to 9.9.9: maximum is 10 for what is sent, 5 for what is read; "
        "old peers send up to their own bound: keep reading that much",
    ),
    Break(
        changed("Task", "properties", "depth", "minimum", to=1),
        "Task $.depth, backward to 9.9.9: minimum is 0 for what is sent, 1 for what is read; "
        "old peers send up to their own bound: keep reading that much",
    ),
    Break(
        changed("Manifest", "$defs", "Skill", "properties", "id", "pattern", to="^[a-z]+$"),
        "Manifest $.capabilities.skills[*].id, backward to 9.9.9: "
        "pattern is none for what is sent, ^[a-z]+$ for what is read; "
        "old peers send up to their own bound: keep reading that much",
    ),
    Break(
        changed("TaskRequest", "properties", "urgent", to={"type": "boolean"}),
        "TaskRequest $.urgent, forward to 9.9.9: the field is not among what is read; "
        "old peers refuse this field: do not send it to them, or send it in `extensions`",
    ),
    Break(
        changed("TaskRequest", "required", to=["conversation_id", "input"]),
        "TaskRequest $.skill_id, forward to 9.9.9: the field may be left out, and is required; "
        "old peers require this field: keep sending it",
    ),
    Break(
        changed("TaskResponse", "properties", "status", "enum", to=[*STATUSES, "lost"]),
        'TaskResponse $.status, forward to 9.9.9: "lost" is not among what is read; '
        "old peers do not know this value: send it to those alone that have said that they do",
    ),
    Break(
        changed("TaskRequest", "properties", "skill_id", "maxLength", to=8192),
        "TaskRequest $.skill_id, forward to 9.9.9: maxLength is 8192 for what is sent, 4096 for what is read; "
        "old peers refuse more than their own bound: send no more than that",
    ),
    Break(
        changed("Endpoints", "properties", "asap", to={"anyOf": [{"type": "string"}, {"type": "null"}]}),
        "Endpoints $.asap, forward to 9.9.9: null is sent, string is read; "
        "old peers read the other type alone: keep it, and add a field for the new one",
    ),
    Break(
        changed("Envelope", "properties", "requires_ack"),
        "Envelope $.requires_ack, backward to 9.9.9: the field is not among what is read; "
        "old peers send this field: keep it in the noun, or among the additions that are passed over",
    ),
    Break(
        changed("Manifest", "required", to=lambda names: [name for name in names if name != "capabilities"]),
        "Manifest $.capabilities, forward to 9.9.9: the field may be left out, and is required; "
        "old peers require this field: keep sending it",
    ),
    Break(
        changed("Extensions", "properties", "nonce", "maxLength", to=8),
        "Extensions $.nonce, backward to 9.9.9: maxLength is 256 for what is sent, 8 for what is read; "
        "old peers send up to their own bound: keep reading that much",
    ),
    Break(
        changed("Error", "properties", "data", "required", to=["error", "path"]),
        "Error $.data.code, forward to 9.9.9: the field may be left out, and is required; "
        "old peers require this field: keep sending it",
    ),
    Break(
        changed("Error", "properties", "code", "type", to="string"),
        "Error $.code, forward to 9.9.9: string is sent, integer is read; "
        "old peers read the other type alone: keep it, and add a field for the new one",
    ),
    Break(
        changed("Health", "properties", "status", "enum", to=["healthy", "unhealthy", "so so"]),
        'Health $.status, forward to 9.9.9: "so so" is not among what is read; '
        "old peers do not know this value: send it to those alone that have said that they do",
    ),
    Break(
        changed("Health", "properties", "mood", to={"type": "string"}),
        "Health $.mood, forward to 9.9.9: the field is not among what is read; "
        "old peers refuse this field: do not send it to them, or send it in `extensions`",
    ),
]


@pytest.mark.parametrize(("new", "line"), BREAKS, ids=[case.line.partition(";")[0] for case in BREAKS])
def test_a_change_that_breaks_peers_is_told(new, line):
    """By its noun, its path and the direction, and in words that say what to do."""
    noun, _, direction, *_ = line.split()
    told = verdicts("9.9.9", {noun: schema_now(noun)}, {noun: new})
    assert [each for each in told if f" {direction} to " in each] == [line]


def test_a_noun_that_is_gone_is_told():
    """Old peers go on sending it."""
    assert verdicts("9.9.9", {"Skill": schema_of(SCHEMAS["Skill"])}, {}) == [
        "Skill $, backward to 9.9.9: the noun is gone; old peers send this noun: keep reading it"
    ]


@pytest.mark.parametrize(
    ("noun", "new"),
    [
        ("TaskRequest", changed("TaskRequest", "properties", "skill_id", "description", to="new words")),
        ("Envelope", changed("Envelope", "properties", "heard_of", to={})),
        ("Manifest", changed("Manifest", "properties", "motto", to={"type": "string"})),
        ("Error", changed("Error", "properties", "motto", to={"type": "string"})),
    ],
    ids=["words", "an addition that is passed over", "a new field of what clients read", "a new member of an error"],
)
def test_a_change_that_breaks_nobody_is_not_told(noun, new):
    """Words mean nothing to peers, and new fields are free where they are passed over or never sent."""
    assert verdicts("9.9.9", {noun: schema_now(noun)}, {noun: new}) == []


def test_a_gap_may_be_accepted_with_a_reason():
    """One row, one gap: in the other direction, or without a gap, it is told."""
    old = {"TaskRequest": schema_of(SCHEMAS["TaskRequest"])}
    new = {"TaskRequest": changed("TaskRequest", "properties", "urgent", to={"type": "boolean"})}
    row = ("9.9.9", "forward", "TaskRequest", "$.urgent")
    assert verdicts("9.9.9", old, new, accepted={row: "sent to those alone that name it in their manifest"}) == []
    assert verdicts("9.9.9", old, old, accepted={row: "no longer true"}) == [
        "TaskRequest $.urgent, forward to 9.9.9: nothing to excuse"
    ]
    assert verdicts("9.9.8", old, old, accepted={row: "of another release"}) == []


@pytest.mark.parametrize(
    "schema", [{"oneOf": []}, {"additionalProperties": {}}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}]
)
def test_a_keyword_that_the_rules_do_not_know_is_an_error(schema):
    """Else its changes would pass for compatible."""
    with pytest.raises(ValueError, match="the rules of evolution"):
        gaps(schema, {"type": "string"})


SHUT = {"additionalProperties": False}
DEFS = {
    "Thing": {"type": "object", "properties": {"n": {"type": "integer"}}, **SHUT},
    "Strict": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], **SHUT},
}
ATOMS = [
    {},
    {"type": "string"},
    {"type": "string", "maxLength": 3},
    {"type": "string", "pattern": "^[ab]{1,4}$"},
    {"type": "string", "format": "date-time"},
    {"type": "integer"},
    {"type": "integer", "minimum": 0, "maximum": 2},
    {"type": "number"},
    {"type": "boolean"},
    {"enum": ["a", "b"]},
    {"enum": ["a", "long word"]},
    {"const": "a"},
    {"$ref": "#/$defs/Thing"},
    {"$ref": "#/$defs/Strict"},
    {"type": "array"},
    {"type": "array", "items": {"type": "string"}},
    {"type": "array", "items": {"type": "string"}, "minItems": 1},
    {"type": "object"},
    {"type": "object", **SHUT},
    *(
        {"type": "object", "properties": {"a": a, **more}, "required": required, **shut}
        for a in ({}, {"type": "string"}, {"type": "integer"})
        for more in ({}, {"b": {"type": "string"}})
        for required in ([], ["a"])
        for shut in ({}, SHUT)
    ),
]
NULLABLE = [{"anyOf": [atom, {"type": "null"}]} for atom in ATOMS[1:14]]
KINDS = [{**schema, "$defs": DEFS} for schema in ATOMS + NULLABLE]


@pytest.mark.parametrize("sent", KINDS, ids=range(len(KINDS)))
def test_the_rules_miss_no_gap(sent):
    """What may be sent is valid for each schema to which the rules have found no gap."""
    takers = [Draft202012Validator(taken) for taken in KINDS if not gaps(sent, taken)]
    assert takers

    @given(documents(sent))
    def check(document):
        for taker in takers:
            taker.validate(document)

    check()


def test_a_schema_has_no_gap_to_itself():
    """No noun of ours is told to be incompatible with itself."""
    for noun in (*SCHEMAS, *BESIDE):
        assert gaps(schema_now(noun), schema_now(noun)) == []
