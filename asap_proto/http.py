"""HTTP as plain values: what arrived, what to answer, and why nothing came back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from attrs import field

from .plain import plain

__all__ = ["Headers", "HttpRequest", "HttpResponse", "RequestHead", "TransportFailure", "fold", "fold_joined"]

#: Header names in lower case to values.
Headers = Mapping[str, str]

#: Names whose values are joined when they are repeated; of any other the first counts.
_JOINED = frozenset(
    {
        *("accept-encoding", "asap-version", "authorization", "connection", "content-digest", "content-encoding"),
        *("content-length", "content-type", "host", "if-none-match", "origin", "signature", "signature-input"),
        *("forwarded", "transfer-encoding", "x-forwarded-for"),
    }
)

#: What most requests and answers say, as texts that need not be made.
_COMMON = ("accept", "date", "ratelimit", "ratelimit-policy", "server", "user-agent", "x-idempotency-key")
_NAMES = {name.encode(): name for name in (*_JOINED, *_COMMON)}


def fold(pairs: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers from raw pairs (RFC 9112: latin-1).

    What is a list may come in several headers, and is joined (RFC 9110 section 5.3); else the first counts.
    Two credentials, lengths, hosts, origins or types are joined too: so they are none, whichever of the two a gateway
    in front has looked at.
    """
    pairs = list(pairs)
    headers = {_NAMES.get(raw) or raw.decode("latin-1").lower(): value.decode("latin-1") for raw, value in pairs}
    if len(headers) == len(pairs):  # nearly always none is repeated
        return fold_joined(headers)
    headers = {}
    for raw, value in pairs:
        name = _NAMES.get(raw) or raw.decode("latin-1").lower()
        text = value.decode("latin-1")
        if name not in headers:
            headers[name] = text
        elif name in _JOINED:
            headers[name] += f", {text}"
    return fold_joined(headers)


def fold_joined(headers: dict[str, str]) -> dict[str, str]:
    """Headers whose repeated names were joined on their way, as WSGI has it: what `fold` makes of the same request."""
    coding = headers.get("content-encoding")
    if coding is not None and "," in coding:
        # "gzip" and then "identity" is gzip; two real codings stay two, which nobody undoes.
        real = [one.strip() for one in coding.split(",") if one.strip().lower() not in ("", "identity")]
        headers["content-encoding"] = ", ".join(real) or "identity"
    return headers


@plain
class RequestHead:
    """A request before its body was read; `path` without the query, `peer` the address it came from.

    `lines` is how many lines its headers came in, where the front knows: repeated ones are one in `headers`.
    """

    method: str
    path: str
    headers: Headers
    peer: str = ""
    lines: int = 0


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
    """No answer: the peer did not take the connection, was too slow, or broke off; or it may not be connected to.

    After ``refused`` and ``forbidden`` the peer can't have heard us; after the others it may have.
    """

    kind: Literal["refused", "timed_out", "broken", "forbidden"]
    detail: str
