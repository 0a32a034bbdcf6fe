"""Heads as ASGI has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asap_proto.http import Headers

__all__ = ["key_of", "lines_of"]

#: What is another for each request, and decides nothing.
_KEY_HEADER: Final = b"x-idempotency-key"


def key_of(scope: Mapping[str, Any]) -> tuple[Any, ...]:
    """All of a head that decides whether it is admitted, and how."""
    lines, client = scope["headers"], scope.get("client")
    # Some servers have lists of two, which can't be looked up.
    said = tuple([line if line.__class__ is tuple else tuple(line) for line in lines if line[0] != _KEY_HEADER])
    peer = client[0] if client else ""
    return scope["method"], scope["path"], scope.get("root_path", ""), peer, len(lines), said


def lines_of(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as pairs of bytes."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
