"""What each field of a noun accepts, read once from its annotation.

The decoder, the explainer and the schema derive from this, so they can't disagree.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, Final, Literal, ParamSpec, TypeVar, cast

import attrs

from ..model import Capabilities, Envelope, Manifest
from ..model._value import Rule, Value
from ..plain import plain

__all__ = ["MISSING", "Shape", "known_names", "once", "shapes", "tag_of"]

P = ParamSpec("P")
R = TypeVar("R")

MISSING: Final = object()

#: Fields that releases after 1.0 add: accepted where unknown fields are refused, and never sent (ASAP: versions).
ADDITIONS: Mapping[type[Value], frozenset[str]] = {
    Envelope: frozenset({"requires_ack"}),
    Manifest: frozenset({"supported_versions", "sla", "verification", "ttl_seconds"}),
    Capabilities: frozenset({"hardware", "inference"}),
}

#: Fields that we fill in when we make a noun, and that a peer may not leave out (ASAP: envelope).
_SPELT_OUT: Mapping[type[Value], frozenset[str]] = {Envelope: frozenset({"asap_version"})}

Sort = Literal["text", "integer", "flag", "stamp", "choice", "object", "sealed", "texts", "noun", "nouns"]

#: A payload of any type, or the object it is while its type is unknown.
_SEALED: tuple[Sort, None] = ("sealed", None)

_SORTS: Mapping[Any, Sort] = {str: "text", int: "integer", bool: "flag", datetime: "stamp"}


@plain
class Shape:
    """One field. `of` is the enum or the noun that it holds; `default` is `MISSING` where it is required."""

    name: str
    sort: Sort
    of: Any
    nullable: bool
    default: Any
    rule: Rule | None

    @property
    def required(self) -> bool:
        return self.default is MISSING


def once(function: Callable[P, R]) -> Callable[P, R]:
    """`functools.cache`, without forgetting the types of the parameters."""
    return cast(Callable[P, R], cache(function))


@once
def shapes(cls: type[Value]) -> tuple[Shape, ...]:
    """The fields of a noun, in order."""
    hints = typing.get_type_hints(cls)
    spelt_out = _SPELT_OUT.get(cls, frozenset())
    fields = attrs.fields(cast(Any, cls))
    return tuple(_shape(field, hints[field.name], spelt_out=field.name in spelt_out) for field in fields)


def known_names(cls: type[Value]) -> frozenset[str]:
    """The keys that a JSON object of this noun may have."""
    names = {shape.name for shape in shapes(cls)} | ({"type"} if tag_of(cls) else set())
    return ADDITIONS.get(cls, frozenset()) | names


def tag_of(cls: type[Value]) -> str | None:
    """What stands in ``type`` for a part; nothing for other nouns."""
    return getattr(cls, "tag", None)


def _shape(field: attrs.Attribute[Any], hint: Any, *, spelt_out: bool) -> Shape:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    nullable = types.NoneType in options
    solid = [option for option in options if option is not types.NoneType]
    sort, of = _sort(solid[0]) if len(solid) == 1 else _SEALED
    default = MISSING if spelt_out or field.default is attrs.NOTHING else field.default
    rule = field.validator if isinstance(field.validator, Rule) else None
    return Shape(field.name, sort, of, nullable, default, rule)


def _sort(hint: Any) -> tuple[Sort, Any]:
    if hint in _SORTS:
        return _SORTS[hint], None
    if typing.get_origin(hint) is dict:
        return "object", None
    if typing.get_origin(hint) is tuple:
        item = typing.get_args(hint)[0]
        return ("texts", None) if item is str else ("nouns", item)
    return ("choice" if issubclass(hint, StrEnum) else "noun"), hint
