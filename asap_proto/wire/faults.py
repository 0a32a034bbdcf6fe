"""What exactly is wrong with a value that was refused: every fault with its JSON path.

Runs on failure alone, so it may be slow and thorough. Types of faults carry the names that users of
pydantic, and so of the reference, know: ``missing``, ``extra_forbidden``, ``string_type``...
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from ..errors import AsapError, Fault
from ..model._value import Value
from .shapes import Shape, known_names, shapes, tag_of
from .stamps import read_stamp

__all__ = ["FAULTS_MOST", "every_fault", "explained", "step", "unknown_tag", "wrong"]

#: Faults told of one value: a hostile document can't make the answer to it grow.
FAULTS_MOST = 20

_EXPECTED = {
    "text": ("string_type", str, "a string"),
    "integer": ("int_type", int, "an integer"),
    "flag": ("bool_type", bool, "true or false"),
    "object": ("dict_type", dict, "an object"),
    "sealed": ("dict_type", dict, "an object"),
    "choice": ("enum", str, "a string"),
    "texts": ("list_type", list, "an array"),
    "nouns": ("list_type", list, "an array"),
}

_NAMES = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer"}


def step(path: str, key: str | int) -> str:
    """`path`, one step further; a key that is no plain name is quoted, and cut when long."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    plain = len(key) <= 64 and key.isascii() and key.isidentifier()
    return f"{path}.{key}" if plain else f"{path}[{key[:64]!r}]"


def wrong(path: str, expected: str, value: Any) -> Fault:
    """A value of the wrong JSON type."""
    sort, _, words = _EXPECTED[expected]
    return Fault(path, sort, f"is {_name(value)}; expected {words}")


def unknown_tag(known: list[str]) -> Fault:
    """A part whose ``type`` is none of ours."""
    return Fault("$.type", "union_tag_invalid", f"expected one of {', '.join(known)}")


def every_fault(cls: type[Value], value: Any, *, lenient: bool = False) -> Iterator[Fault]:
    """All that is wrong with `value` as a `cls`, without a bound: for documents of one's own."""
    return _faults(cls, value, "$", lenient)


def explained(cls: type[Value], value: Any, *, lenient: bool, error: type[AsapError]) -> AsapError:
    """The error that tells what is wrong with `value` as a `cls`."""
    found = []
    for fault in every_fault(cls, value, lenient=lenient):
        found.append(fault)
        if len(found) == FAULTS_MOST:
            break
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    field = first.path.removeprefix("$").removeprefix(".")
    return error(f"{cls.__name__}: {field} {first.problem}{more}".replace(":  ", ": "), faults=found)


def _faults(cls: type[Value], value: Any, path: str, lenient: bool) -> Iterator[Fault]:
    if value.__class__ is not dict:
        yield wrong(path, "object", value)
        return
    if not lenient:
        known = known_names(cls)
        for key in value:
            if key not in known:
                yield Fault(step(path, key), "extra_forbidden", "is no field here")
    if (tag := tag_of(cls)) and value.get("type") != tag:
        yield Fault(f"{path}.type", "literal_error" if "type" in value else "missing", f"expected {tag!r}")
    sound: dict[str, Any] = {}
    for shape in shapes(cls):
        found = list(_field_faults(shape, value, path, lenient))
        yield from found
        if not found:
            sound[shape.name] = value.get(shape.name, shape.default)
    if flaw := _flaw(cls, sound):
        yield flaw.under(path)


def _field_faults(shape: Shape, value: dict[str, Any], path: str, lenient: bool) -> Iterator[Fault]:
    place = f"{path}.{shape.name}"
    if shape.name not in value:
        if shape.required:
            yield Fault(place, "missing", "is required")
        return
    item = value[shape.name]
    if item is None and shape.nullable:
        return
    if shape.sort == "noun":
        yield from _faults(shape.of, item, place, lenient)
        return
    if shape.sort == "stamp":
        if read_stamp(item) is None:
            yield Fault(place, "datetime_type", "is no time; expected RFC 3339, such as 2026-01-02T03:04:05Z")
        return
    if item.__class__ is not _EXPECTED[shape.sort][1]:
        yield wrong(place, shape.sort, item)
        return
    yield from _inner_faults(shape, item, place, lenient)


def _inner_faults(shape: Shape, item: Any, place: str, lenient: bool) -> Iterator[Fault]:
    if shape.sort == "choice" and item not in {member.value for member in shape.of}:
        yield Fault(place, "enum", f"expected one of {', '.join(shape.of)}")
    elif shape.sort == "nouns":
        for index, inner in enumerate(item):
            yield from _faults(shape.of, inner, step(place, index), lenient)
    elif shape.sort == "texts" and any(inner.__class__ is not str for inner in item):
        for index, inner in enumerate(item):
            if inner.__class__ is not str:
                yield wrong(step(place, index), "text", inner)
    elif shape.rule and (problem := shape.rule.check(item)):
        yield Fault(place, shape.rule.type, problem)


def _flaw(cls: type[Value], sound: dict[str, Any]) -> Fault | None:
    """What the noun itself says of its fields taken together, as far as those it looks at are sound.

    It sees texts, numbers and objects, as JSON has them: none looks at a time or at a choice.
    """
    try:
        return cls.flaw(SimpleNamespace(**sound))  # type: ignore[arg-type]
    except AttributeError:
        return None


def _name(value: Any) -> str:
    return "null" if value is None else _NAMES.get(value.__class__, "a number")
