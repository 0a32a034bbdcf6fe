"""Heads that came before: what a client says with each of its requests is looked at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asap_proto.http import Headers
from asap_proto.roles import Admitted

__all__ = ["KnownHeads", "lines_of"]

#: How many are kept, and the bytes that one may have: together some megabyte.
_HEADS_MOST: Final = 256
_HEAD_BYTES: Final = 4096

#: What is another for each request, and decides nothing.
_KEY_HEADER: Final = b"x-idempotency-key"


class KnownHeads:
    """What was admitted of the very same head, for a role that admits all alike."""

    __slots__ = ("_admitted", "_lines")

    def __init__(self) -> None:
        self._admitted: dict[tuple[Any, ...], Admitted] = {}
        # By the identity of the headers that are answered, which are held so that it stays theirs.
        self._lines: dict[int, tuple[Headers, list[tuple[bytes, bytes]]]] = {}

    @staticmethod
    def key(scope: Mapping[str, Any]) -> tuple[Any, ...]:
        """All of a head that decides whether it is admitted, and how."""
        lines, client = scope["headers"], scope.get("client")
        # Some servers have lists of two, which can't be looked up.
        said = tuple([line if line.__class__ is tuple else tuple(line) for line in lines if line[0] != _KEY_HEADER])
        peer = client[0] if client else ""
        return scope["method"], scope["path"], scope.get("root_path", ""), peer, len(lines), said

    def find(self, key: tuple[Any, ...]) -> Admitted | None:
        """What was admitted, if it is still known."""
        return self._admitted.get(key)

    def add(self, key: tuple[Any, ...], admitted: Admitted) -> None:
        """Remembers it, where it is small."""
        _, path, root, *_, said = key
        if len(path) + len(root) + sum(len(name) + len(value) for name, value in said) > _HEAD_BYTES:
            return
        if len(self._admitted) >= _HEADS_MOST:
            self._admitted.clear()
            self._lines.clear()
        self._admitted[key] = admitted
        self._lines[id(admitted.headers)] = (admitted.headers, lines_of(admitted.headers))

    def lines(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Headers of an answer as a server takes them."""
        kept = self._lines.get(id(headers))
        return [*kept[1]] if kept is not None else lines_of(headers)


def lines_of(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as pairs of bytes."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
