"""Heads that came before: what a client says with each of its requests is looked at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar

from asap_proto.http import Headers
from asap_proto.roles import Admitted

__all__ = ["KnownHeads"]

#: How many are kept, and the bytes that one may have: together some megabyte.
_HEADS_MOST: Final = 256
_HEAD_BYTES: Final = 4096

Line = TypeVar("Line")


class KnownHeads(Generic[Line]):
    """What was admitted of the very same head, for a role that admits all alike.

    The key of a head is all of it that decides whether it is admitted, and how; its headers come last. `lines_of` makes
    the headers of an answer what a server takes.
    """

    __slots__ = ("_admitted", "_lines", "_lines_of")

    def __init__(self, lines_of: Callable[[Headers], list[Line]]) -> None:
        self._lines_of = lines_of
        self._admitted: dict[tuple[Any, ...], Admitted] = {}
        # By the identity of the headers that are answered, which are held so that it stays theirs.
        self._lines: dict[int, tuple[Headers, list[Line]]] = {}

    def find(self, key: tuple[Any, ...]) -> Admitted | None:
        """What was admitted, if it is still known."""
        return self._admitted.get(key)

    def add(self, key: tuple[Any, ...], admitted: Admitted) -> None:
        """Remembers it, where it is small."""
        headers: Iterable[tuple[Any, Any]] = key[-1]
        size = sum(len(name) + len(value) for name, value in headers)
        if size + sum(len(each) for each in key if each.__class__ is str) > _HEAD_BYTES:
            return
        if len(self._admitted) >= _HEADS_MOST:
            self._admitted.clear()
            self._lines.clear()
        self._admitted[key] = admitted
        self._lines[id(admitted.headers)] = (admitted.headers, self._lines_of(admitted.headers))

    def lines(self, headers: Headers) -> list[Line]:
        """Headers of an answer as a server takes them."""
        kept = self._lines.get(id(headers))
        return [*kept[1]] if kept is not None else self._lines_of(headers)
