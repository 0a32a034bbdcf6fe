"""Plain values: slotted, compared, hashed and shown by their fields, and cheap to make and to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define, setters

__all__ = ["made", "plain", "same", "shown", "sum_of"]


def _fields(value: Any) -> tuple[Any, ...]:
    return tuple(getattr(value, field.name) for field in value.__class__.__attrs_attrs__)


def same(self: Any, other: object) -> bool:
    """Of one class, and equal field by field."""
    return _fields(self) == _fields(other) if other.__class__ is self.__class__ else NotImplemented


def sum_of(self: Any) -> int:
    """The hash of a value, as `same` compares."""
    return hash((self.__class__, _fields(self)))


def shown(self: Any) -> str:
    """The value as it would be written."""
    names = (field.name for field in self.__class__.__attrs_attrs__)
    return f"{self.__class__.__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


if TYPE_CHECKING:
    from attrs import frozen as plain

    T = TypeVar("T", bound=tuple[Any, ...])

    def made(cls: type[T], fields: tuple[Any, ...]) -> T:
        """A named tuple of all its fields."""
else:
    #: Past the Python function by which the class of a named tuple makes one: for hot paths.
    made = tuple.__new__

    def plain(cls: type) -> type:
        """A value class, frozen to the type checker alone.

        An exchange makes two dozen values, and a guard on their fields would cost more than all the rest of
        making them. Methods written for each class, too, would double the time that its import takes.
        """
        for name, method in (("__eq__", same), ("__hash__", sum_of), ("__repr__", shown)):
            setattr(cls, name, method)
        return define(cls, eq=False, repr=False, weakref_slot=False, on_setattr=setters.NO_OP)
