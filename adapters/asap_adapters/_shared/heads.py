"""Heads that came before: what a client says with each of its requests is looked at once."""

from __future__ import annotations

from typing import Any, Final

from asap_proto.http import RequestHead
from asap_proto.roles import Looked
from asap_proto.rules.redaction import redact

__all__ = ["CHANGING", "KnownHeads", "changed"]

#: What may be another for each request, and decides nothing but who calls, and how long the body may be.
CHANGING: Final = frozenset(
    {
        *("api-key", "authorization", "content-digest", "content-length", "cookie", "date", "proxy-authorization"),
        *("signature", "signature-input", "traceparent", "tracestate"),
        *("x-api-key", "x-idempotency-key", "x-request-id"),
    }
)

#: How many are kept, and the bytes that one may have: together some megabyte.
_HEADS_MOST: Final = 256
_HEAD_BYTES: Final = 4096

#: So many digits, or more, nobody writes.
_LENGTH_DIGITS: Final = 16


class KnownHeads:
    """What was found of the very same head, but for what is `CHANGING`: of that nothing is kept.

    The key of a head is all of it that decides whether it is admitted, and how: texts, and tuples of such.
    """

    __slots__ = ("_looked",)

    def __init__(self) -> None:
        self._looked: dict[tuple[Any, ...], Looked] = {}

    def find(self, key: tuple[Any, ...] | None, length: str | bytes | None) -> Looked | None:
        """What was found, if it is still known, and a body may be announced to be so long."""
        looked = self._looked.get(key)  # type: ignore[arg-type]  # None is the key of nothing
        if looked is None or length is None:
            return looked
        if length.isdigit() and len(length) < _LENGTH_DIGITS and length.isascii() and int(length) <= looked.most_length:
            return looked
        return None

    def add(self, key: tuple[Any, ...], looked: Looked) -> bool:
        """Remembers it, where it is small, and says no secret but where secrets are said."""
        head = looked.head
        kept = {name: value for name, value in head.headers.items() if name not in CHANGING}
        if _size(key) > _HEAD_BYTES or redact(kept) != kept:
            return False
        if len(self._looked) >= _HEADS_MOST:
            self._looked.clear()
        self._looked[key] = Looked(changed(head, kept), looked.address, looked.admitted, looked.most_length)
        return True


def changed(head: RequestHead, headers: dict[str, str]) -> RequestHead:
    """A head that is known, with what this request says."""
    return RequestHead(head.method, head.path, headers, head.peer, head.lines)


def _size(key: Any) -> int:
    if isinstance(key, tuple):
        return sum(map(_size, key))
    return len(key) if isinstance(key, str | bytes) else 0
