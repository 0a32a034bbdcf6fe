"""What a handler's signature promises, and what can't be read is refused when it is registered."""

import functools
import json
from typing import Any

import attrs
import pytest

from asap_adapters._shared.signature import read_signature
from asap_adapters.sync import Agent
from asap_proto import Misuse
from asap_proto.errors import InvalidInput


@attrs.frozen
class Shapes:
    pair: tuple[int, str] = (0, "")
    many: tuple[int, ...] = ()
    none: tuple[()] = ()
    nested: list[tuple[str, bool]] = attrs.field(factory=list)


def take(task, shapes: Shapes):
    return {}


def test_tuples_are_as_long_as_they_say():
    """A tuple of fixed length promises each item by itself, and no more of them."""
    schema = read_signature(take, name="take").input_schema["properties"]
    assert schema["pair"] == {
        "type": "array",
        "prefixItems": [{"type": "integer"}, {"type": "string"}],
        "items": False,
        "minItems": 2,
    }
    assert schema["many"] == {"type": "array", "items": {"type": "integer"}}
    assert schema["none"] == {"type": "array", "items": False}
    assert schema["nested"]["items"]["prefixItems"] == [{"type": "string"}, {"type": "boolean"}]


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ({"pair": [1, "a"], "many": [1, 2, 3], "none": [], "nested": [["a", True], ["b", False]]}, None),
        ({"pair": [1, 2]}, "$.payload.input.pair[1]"),
        ({"pair": ["a", "a"]}, "$.payload.input.pair[0]"),
        ({"pair": [1]}, "$.payload.input.pair"),
        ({"pair": [1, "a", "b"]}, "$.payload.input.pair"),
        ({"many": [1, "a"]}, "$.payload.input.many[1]"),
        ({"none": [1]}, "$.payload.input.none"),
        ({"nested": [["a", True], ["b"]]}, "$.payload.input.nested[1]"),
    ],
)
def test_tuples_are_read_as_promised(given, path):
    """What the schema refuses is refused, at its place."""
    signature = read_signature(take, name="take")
    if path is None:
        shapes = signature.read(given)
        assert shapes == Shapes((1, "a"), (1, 2, 3), (), [("a", True), ("b", False)])
        assert json.loads(json.dumps(signature.write(shapes))) == given
        return
    with pytest.raises(InvalidInput) as caught:
        signature.read(given)
    assert caught.value.path == path


class Called:
    def __call__(self, task, shapes: Shapes) -> Shapes:
        return shapes


def unreadable(task, given: "Nowhere"):  # noqa: F821
    return {}


def test_objects_that_are_called():
    """An instance with a method for it is a handler like any other."""
    signature = read_signature(Called(), name="called")
    assert (signature.input_class, signature.output_class) == (Shapes, Shapes)


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (functools.partial(take, shapes=None), "functools.partial.*wrap it in a def"),
        (unreadable, "Nowhere.*at the top of their module"),
    ],
)
def test_what_can_not_be_read(handler: Any, words):
    """A handler whose types can't be read is a misuse, with what to do about it."""
    with pytest.raises(Misuse, match=words):
        read_signature(handler, name="odd")


def defaulted(task, shapes: Shapes = Shapes()):
    return {}


def several(task):
    yield {}


async def several_async(task):
    yield {}


class Several:
    def __call__(self, task):
        yield {}


def counted(task) -> int:
    return 1


def listed(task) -> list[Shapes]:
    return []


def unclassed(task, given: dict):
    return {}


def named(task, *, given):
    return {}


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (Shapes, "the class Shapes; register an instance"),
        (several, "yields; it has to return its result"),
        (several_async, "yields; it has to return its result"),
        (Several(), "yields; it has to return its result"),
        (defaulted, "has a default, and would never be read; take 'shapes' without one"),
        (counted, "returns <class 'int'>; a result is an object"),
        (listed, r"returns list\[.*Shapes\]; a result is an object"),
        (unclassed, "needs an attrs class as its annotation"),
        (named, "takes a task, or a task and its input"),
        (lambda task, first, second: {}, "takes a task, or a task and its input"),
        (5, "no signature.*wrap it in a def"),
    ],
)
def test_what_could_never_answer_is_refused_when_it_is_registered(handler: Any, words):
    """Not when the first peer asks: with what is wrong, and for which skill."""
    agent = Agent("urn:asap:agent:a")
    with pytest.raises(Misuse, match=words) as caught:
        agent.skill("odd")(handler)
    assert "'odd'" in str(caught.value)
    assert agent.manifest().capabilities.skills == ()


@attrs.frozen
class Numbered:
    by_number: dict[int, str]


@attrs.frozen
class Nested:
    inner: Numbered


def take_nested(task, nested: Nested):
    return {}


@pytest.mark.parametrize("schema", [None, {"type": "object"}])
def test_fields_that_no_json_fills_are_refused(schema):
    """However deep they are, and whatever the manifest says instead: JSON has no numbers for keys."""
    with pytest.raises(Misuse, match=r"dict\[int, str\]"):
        Agent("urn:asap:agent:a").skill("odd", input_schema=schema)(take_nested)


def test_a_skill_has_a_name():
    """A decorator without its parentheses would register nothing, and say nothing."""
    with pytest.raises(Misuse, match=r"@agent\.skill\('summarise'\)"):
        Agent("urn:asap:agent:a").skill(take)  # type: ignore[arg-type]


def test_a_quota_of_a_skill_is_read_when_it_is_registered():
    """One that can't be read registers nothing."""
    agent = Agent("urn:asap:agent:a")
    with pytest.raises(Misuse, match="10/second;100/minute"):
        agent.skill("odd", quota="often")(lambda task: {})
    assert agent.manifest().capabilities.skills == ()
