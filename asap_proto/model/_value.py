"""What every noun has in common: compared and shown by its fields, checked when it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import Attribute, field, frozen

from ..errors import Fault, InvalidValue
from ..limits import ID_LENGTH
from ..plain import plain, same, shown, sum_of

__all__ = ["ID", "SOME", "JsonObject", "Rule", "Value", "between", "length", "noun"]

JsonObject = dict[str, Any]


class Value:
    """Base of the nouns."""

    __slots__ = ()

    __eq__, __hash__, __repr__ = same, sum_of, shown

    #: A Python expression over the fields' names and `flaw_names` that is true when `flaw` has to look.
    flaw_quick: ClassVar[str] = "True"
    flaw_names: ClassVar[Mapping[str, Any]] = {}

    def flaw(self) -> Fault | None:
        """What is wrong with the fields taken together, if anything."""
        return None

    def __attrs_post_init__(self) -> None:
        if fault := self.flaw():
            raise InvalidValue(fault.problem, faults=[fault])


if TYPE_CHECKING:
    from attrs import frozen as noun
else:

    def noun(cls: type | None = None, *, kw_only: bool = False) -> Any:
        """A class of nouns, frozen.

        Its slots stand in a base class of its own, the draft, which is not frozen: the decoder fills a draft and
        then makes it the noun by its ``__class__``. That costs a third of what a frozen ``__init__`` does.
        """
        if cls is None:
            return lambda cls: noun(cls, kw_only=kw_only)
        slots = [name for name, hint in cls.__annotations__.items() if not hint.startswith("ClassVar")]
        draft = type(f"{cls.__name__}Draft", cls.__bases__, {"__slots__": slots})
        body = {name: item for name, item in vars(cls).items() if name not in ("__dict__", "__weakref__")}
        drafted = type(cls.__name__, (draft,), body)
        return frozen(drafted, eq=False, repr=False, weakref_slot=False, kw_only=kw_only)


@plain
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


#: What holds for every id.
ID = length(ID_LENGTH)


def between(least: int, most: int | None = None) -> Rule:
    """A whole number in a range, both ends included."""
    bounds = f"at least {least}" if most is None else f"{least} to {most}"

    def check(value: int) -> str | None:
        return None if value >= least and (most is None or value <= most) else f"is {value}; expected {bounds}"

    return Rule("out_of_range", check, {"minimum": least} | ({} if most is None else {"maximum": most}))


def _empty(value: Any) -> str | None:
    return None if value else "is empty; at least one item is required"


SOME = Rule("too_short", _empty, {"minItems": 1})
