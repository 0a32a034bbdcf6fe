"""What an agent's OpenAPI document says of its skills, whatever schemas these bring."""

from hypothesis import example, given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from asap_proto.model import Capabilities, Endpoints, Manifest, Skill
from asap_proto.wire.openapi import describe

#: Names of members that are also words of JSON Schema: as a member each is a name like any other.
NAMES = st.sampled_from(["a", "b", "$ref", "$defs", "const", "enum", "properties"])
#: Data that looks like a reference, and is none.
DATA = st.sampled_from([1, "a", {"$ref": "#"}, {"$ref": "#/$defs/Leaf"}, [{"$ref": "#/elsewhere"}]])
LEAVES = st.one_of(
    st.sampled_from([{}, {"type": "string"}, {"type": "integer"}, {"$ref": "#"}, {"$ref": "#/$defs/Leaf"}]),
    DATA.map(lambda value: {"const": value}),
    st.lists(DATA, min_size=1, max_size=2).map(lambda values: {"enum": values}),
    DATA.map(lambda value: {"default": value}),
)


def composed(inner):
    members = st.dictionaries(NAMES, inner, max_size=3)
    return st.one_of(
        members.map(lambda drawn: {"type": "object", "properties": drawn}),
        inner.map(lambda drawn: {"type": "array", "items": drawn}),
        st.lists(inner, min_size=1, max_size=2).map(lambda drawn: {"anyOf": drawn}),
    )


@st.composite
def inputs(draw):
    """The schema of a skill's input: an object, some of whose members are defined apart."""
    parts = st.recursive(LEAVES, composed, max_leaves=5)
    return {
        "type": "object",
        "properties": draw(st.dictionaries(NAMES, parts, min_size=1, max_size=3)),
        "$defs": {"Leaf": draw(st.sampled_from([{"type": "string"}, {"type": "array", "items": {"$ref": "#"}}]))},
    }


SKILLS = st.lists(
    st.builds(Skill, st.sampled_from(["echo", "sum up!", "a/b~c", "é"]), st.just("Does it"), st.none() | inputs()),
    max_size=3,
).map(tuple)

#: What an input may have for its members: values of each kind, and those that `DATA` has.
VALUES = st.recursive(
    st.one_of(st.sampled_from([1, 1.5, None]), st.text(max_size=2), DATA),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(NAMES, inner, max_size=2),
    max_leaves=4,
)


def described(skills):
    made = {"capabilities": Capabilities(skills=skills), "endpoints": Endpoints("/asap")}
    return describe(Manifest(id="urn:asap:agent:a", name="A", version="1", description="A", **made))


def references(schema, *, named=False):
    """What the schema refers to; `named` are schemas by their names, and a constant is none."""
    for name, value in schema.items():
        if not named and name == "$ref":
            yield value
        elif named or name not in ("const", "default", "enum"):
            by_name = not named and name in ("$defs", "properties")
            for each in value if isinstance(value, list) else [value]:
                if isinstance(each, dict):
                    yield from references(each, named=by_name)


@given(SKILLS)
def test_each_reference_in_a_description_leads_somewhere(skills):
    """Whatever schemas the skills bring, and whatever they are called."""
    document = described(skills)
    for reference in references(document["components"]["schemas"], named=True):
        place, found = reference.removeprefix("#/"), document
        assert place != reference
        for step in place.split("/"):
            found = found[step.replace("~1", "/").replace("~0", "~")]


@given(inputs(), st.dictionaries(NAMES, VALUES, max_size=3))
@example({"type": "object", "properties": {"a": {"const": {"$ref": "#"}}}}, {"a": {"$ref": "#"}})
@example({"type": "object", "properties": {"const": {"$ref": "#"}}}, {"const": {"const": 1}})
def test_a_schema_says_in_the_description_what_it_says_alone(schema, value):
    """What fits the input of a skill by its manifest fits it by the document, and nothing else does."""
    document = described((Skill("other", "Is first", schema), Skill("echo", "Does it", schema)))
    registry = Registry().with_resource("urn:document", Resource.opaque(document))
    there = Draft202012Validator({"$ref": "urn:document#/components/schemas/2.echo.input"}, registry=registry)
    assert there.is_valid(value) == Draft202012Validator(schema).is_valid(value)
