"""What every noun has in common: compared and shown by its fields, checked when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import Attribute, field, frozen

from ..errors import Fault, InvalidValue

JsonObject = dict[str, Any]


class Value:
    """Base of the nouns.

    One comparison and one repr for all: an attrs class that writes its own costs twice as long to import.
    """

    __slots__ = ()

    def flaw(self) -> Fault | None:
        """What is wrong with the fields taken together, if anything."""
        return None

    def __attrs_post_init__(self) -> None:
        if fault := self.flaw():
            raise InvalidValue(fault.problem, faults=[fault])

    def _fields(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in self.__class__.__attrs_attrs__)  # type: ignore[attr-defined]

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return self._fields() == other._fields()

    def __hash__(self) -> int:
        return hash((self.__class__, self._fields()))

    def __repr__(self) -> str:
        names = (field.name for field in self.__class__.__attrs_attrs__)  # type: ignore[attr-defined]
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__name__}({shown})"


@frozen
class Rule:
    """A rule for one field: an attrs validator that the wire's decoder, explainer and schema also read.

    `check` answers what is wrong, or nothing. `quick` is a Python expression over ``{v}`` and `names` that
    is true when `check` has to look: it spares the call on the hot path.
    """

    type: str
    check: Callable[[Any], str | None]
    schema: Mapping[str, Any]
    quick: str = "True"
    names: Mapping[str, Any] = field(factory=dict)

    def __call__(self, instance: object, attribute: Attribute[Any], value: Any) -> None:
        if value is not None and (problem := self.check(value)):
            fault = Fault(f"$.{attribute.name}", self.type, problem)
            raise InvalidValue(problem, faults=[fault])


def length(most: int) -> Rule:
    """At most this many characters."""

    def check(value: str) -> str | None:
        return f"has {len(value)} characters; at most {most} are allowed" if len(value) > most else None

    return Rule("too_long", check, {"maxLength": most}, f"len({{v}}) > {most}")


def between(least: int, most: int | None = None) -> Rule:
    """A whole number in a range, both ends included."""
    bounds = f"at least {least}" if most is None else f"{least} to {most}"

    def check(value: int) -> str | None:
        return None if value >= least and (most is None or value <= most) else f"is {value}; expected {bounds}"

    return Rule("out_of_range", check, {"minimum": least} | ({} if most is None else {"maximum": most}))


def _empty(value: Any) -> str | None:
    return None if value else "is empty; at least one item is required"


SOME = Rule("too_short", _empty, {"minItems": 1})
