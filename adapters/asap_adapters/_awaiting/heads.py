"""Heads as ASGI has them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from asap_proto.http import Headers

from .._shared.heads import CHANGING

__all__ = ["key_of", "lines_of", "said_with"]

_CHANGING: Final = {name.encode(): name for name in CHANGING}


def key_of(scope: Mapping[str, Any]) -> tuple[tuple[Any, ...] | None, dict[bytes, bytes]]:
    """All of a head that decides whether it is admitted, and how; and apart from that what is `CHANGING` in it.

    There is no key where a name comes twice: what that means is not for whoever is in a hurry.
    """
    lines, client = scope["headers"], scope.get("client")
    said: dict[bytes, bytes] = dict(lines)
    changing: dict[bytes, bytes] = {}
    if len(said) != len(lines):
        return None, changing
    for name in said.keys() & _CHANGING.keys():
        changing[name] = said.pop(name)
    peer = client[0] if client else ""
    return (scope["method"], scope["path"], scope.get("root_path", ""), peer, len(lines), tuple(said.items())), changing


def said_with(known: Headers, changing: dict[bytes, bytes]) -> dict[str, str]:
    """The headers of a head that is known, and beside them what is `CHANGING`."""
    said = dict(known)
    for name, value in changing.items():
        said[_CHANGING[name]] = value.decode("latin-1")
    return said


def lines_of(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as pairs of bytes."""
    return list(map(_line, headers.items()))


@lru_cache(maxsize=256)  # most answers say the same
def _line(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    return pair[0].encode("latin-1"), pair[1].encode("latin-1")
