"""JSON Schema of every public noun."""

import pytest

from asap_proto.errors import Fault, MalformedEnvelope
from asap_proto.model import Envelope, FilePart, Manifest, Task, TaskUpdate
from asap_proto.roles import ASYNC_PREFERENCE, INPUT_EXTENSION, PARENT_EXTENSION, PREFER_EXTENSION
from asap_proto.roles.answering import REQUEST_EXTENSION, SNAPSHOT_EXTENSION
from asap_proto.rules.freshness import NONCE_EXTENSION
from asap_proto.rules.nesting import DEPTH_EXTENSION
from asap_proto.wire.jsonrpc import error_member
from asap_proto.wire.schema import BESIDE, ERROR, EXTENSIONS, SCHEMAS, extensions_schema, schema_of


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_each_noun_has_a_closed_schema(name):
    """It says its dialect and its title, what is required, and that nothing else may stand there."""
    schema = schema_of(SCHEMAS[name])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == name
    assert (
        schema["description"].endswith(".")
        or schema["description"].endswith(":")
        or schema["description"].endswith("?")
    )
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) <= schema["properties"].keys()


def test_rules_of_fields_are_told():
    """Lengths, patterns, ranges, words; null where it may stand."""
    envelope = schema_of(Envelope)["properties"]
    assert envelope["sender"]["maxLength"] == 256
    assert envelope["id"] == {"anyOf": [{"type": "string", "maxLength": 4096}, {"type": "null"}]}
    assert schema_of(Task)["properties"]["depth"] == {"type": "integer", "minimum": 0, "maximum": 10}
    assert "working" in schema_of(TaskUpdate)["properties"]["status"]["enum"]


def test_nouns_within_nouns_stand_in_defs():
    """Each schema is complete in itself."""
    schema = schema_of(Manifest)
    assert schema["properties"]["capabilities"] == {"$ref": "#/$defs/Capabilities"}
    assert schema["$defs"]["Capabilities"]["properties"]["skills"]["items"] == {"$ref": "#/$defs/Skill"}
    assert "Skill" in schema["$defs"]
    assert "$defs" not in schema_of(Task)


def test_tags_and_additions():
    """A part's type is a constant; what newer releases add may hold anything."""
    assert schema_of(FilePart)["properties"]["type"] == {"const": "file"}
    assert schema_of(FilePart)["required"][0] == "type"
    assert schema_of(Envelope)["properties"]["requires_ack"] == {}


def test_extensions_have_a_schema():
    """Each member is described, by the name that the roles know it by; none is required, and others pass."""
    schema = extensions_schema()
    known = {DEPTH_EXTENSION, INPUT_EXTENSION, NONCE_EXTENSION, PARENT_EXTENSION, PREFER_EXTENSION}
    assert known | {REQUEST_EXTENSION, SNAPSHOT_EXTENSION} <= EXTENSIONS.keys()
    assert schema["properties"].keys() == EXTENSIONS.keys()
    assert all(member["description"].endswith(".") for member in schema["properties"].values())
    assert schema["properties"][PREFER_EXTENSION]["const"] == ASYNC_PREFERENCE
    assert schema["$defs"].keys() == {"StateSnapshot", "Task", "TaskRequest"}
    assert schema["properties"]["snapshot"]["$ref"] == "#/$defs/StateSnapshot"
    assert "required" not in schema
    assert "additionalProperties" not in schema


@pytest.mark.parametrize("name", BESIDE)
def test_what_is_no_noun_has_a_schema_as_well(name):
    """It says its dialect, its title and what it is."""
    schema = BESIDE[name]()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == name
    assert schema["description"].endswith(".")
    assert schema["type"] == "object"


def test_an_error_has_the_members_of_its_schema():
    """All that are required, and of its data none that is not described."""
    member = error_member(MalformedEnvelope("wrong", faults=[Fault("$.sender", "urn", "is none")], facts={"n": 1}))
    data = ERROR["properties"]["data"]
    assert member.keys() == {*ERROR["required"]}
    assert {*data["required"]} <= member["data"].keys() <= data["properties"].keys()
