"""HTTP as plain values: what arrived, what to answer, and why nothing came back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from attrs import field

from .plain import plain

__all__ = ["Headers", "HttpRequest", "HttpResponse", "RequestHead", "TransportFailure", "fold"]

#: Header names in lower case to values.
Headers = Mapping[str, str]


def fold(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers from raw pairs (RFC 9112: latin-1); of a repeated name the first counts."""
    headers: dict[str, str] = {}
    for name, value in pairs:
        headers.setdefault(name.decode("latin-1").lower(), value.decode("latin-1"))
    return headers


@plain
class RequestHead:
    """A request before its body was read; `path` without the query, `peer` the address it came from."""

    method: str
    path: str
    headers: Headers
    peer: str = ""


@plain
class HttpRequest:
    """A request to send; `target` is a path, to be joined to the peer's base URL."""

    method: str
    target: str
    headers: Headers = field(factory=dict)
    body: bytes = b""


@plain
class HttpResponse:
    """An answer, whole."""

    status: int
    headers: Headers = field(factory=dict)
    body: bytes = b""


@plain
class TransportFailure:
    """No answer: the peer did not take the connection, was too slow, or broke off.

    After ``refused`` the peer can't have heard us; after the others it may have.
    """

    kind: Literal["refused", "timed_out", "broken"]
    detail: str
