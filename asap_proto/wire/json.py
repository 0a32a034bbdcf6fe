"""JSON text to plain values and back, within bounds (RFC 8259).

orjson refuses NaN, lone surrogates, a byte-order mark and whatever is not UTF-8.
Integers beyond 64 bits arrive as floats: it reads them so.
"""

from __future__ import annotations

import json as _json
import re
from typing import Any

import orjson

from ..errors import MalformedJson

__all__ = ["WRITE", "WRITTEN_MOST", "dump", "keys", "load", "load_weighed", "refuse_any_duplicate", "weight"]

# What never closes ends with the text, or each of its quotes would be looked at as if it opened one.
_strings = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL).finditer

#: What begins a character for which Python takes four bytes, and then for each other of its text too.
_WIDE = (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4", b"\\ud", b"\\uD")
#: Bytes that a value takes besides its text, about: an object with one member is the largest, with its two.
_VALUE_BYTES = 110

#: Up to here marks are counted by taking them out: that leaps from one to the next, where `bytes.count` looks at each
#: byte, but copies the text.
_SHORT = 4096

#: How many levels `dump` writes.
WRITTEN_MOST = 254

#: How `dump` writes.
WRITE = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC


def dump(value: Any) -> bytes:
    """The compact text; raises `TypeError` for what is no JSON: a set, a key that is no string, 2**64."""
    return orjson.dumps(value, None, WRITE)


def keys(*names: str) -> tuple[str, ...]:
    """The very texts that `load` gives for these keys of objects.

    orjson keeps the keys it has seen, and to look up the same text again takes no comparison: for hot paths.
    """
    return tuple(orjson.loads(orjson.dumps(dict.fromkeys(names))))


def load(text: bytes, *, depth: int, values: int | None = None, unique: bool = False) -> Any:
    """The value; raises what `load_weighed` does."""
    return _load(text, depth, values, unique)[0]


def load_weighed(text: bytes, *, depth: int, values: int | None = None, unique: bool = False) -> tuple[Any, int]:
    """The value, and the `weight` of its text.

    Raises `MalformedJson`, also for more than `depth` levels, or than so many `values`.
    Values are counted before they are made, for of each byte of ``[],`` a parser makes some fifty.
    With `unique`, for whoever must trust what the text says of its sender: where two keys could name a
    sender, no key may stand twice in a request, its params, its envelope or its extensions. Of two equal
    keys one parser keeps the first, another the last, so that a gateway and we could read different ones.
    """
    value, marks = _load(text, depth, values, unique)
    return value, _weight(text, marks)


def _load(text: bytes, depth: int, values: int | None, unique: bool) -> tuple[Any, int]:
    """The value, and how many marks its text has that open or part values."""
    size = len(text)
    if values is not None and size > 2 * values and _too_many(text, values):
        raise MalformedJson(f"more than {values} values")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"not JSON: {error.msg} at character {error.pos}") from None
    marks = _marks(text) if size > _SHORT else size - len(text.replace(b",", b"").replace(b"[", b"").replace(b"{", b""))
    # Each level costs a bracket, which is a mark: few of them can't be deep.
    if marks > depth and text.count(b"{") + text.count(b"[") > depth and _too_deep(value, depth):
        raise MalformedJson(f"nested deeper than {depth} levels")
    if unique:
        _refuse_duplicates(text)
    return value, marks


def _too_many(text: bytes, most: int) -> bool:
    """Whether there are more than so many values: each but the first follows a comma or opens what it stands in."""
    found = 1 + _marks(text)
    if found <= most:
        return False
    # What stands in strings is no mark. Each string is a key or a value, and no value has more than one key.
    for number, string in enumerate(_strings(text)):
        found -= _marks(text, *string.span())
        if found <= most or number >= 2 * most:
            break
    return found > most


def weight(text: bytes) -> int:
    """How many bytes the values of a text take in memory, about, and rather more than less."""
    return _weight(text, _marks(text))


def _weight(text: bytes, marks: int) -> int:
    each = 1
    # One character is found much faster than two.
    if not text.isascii() or (b"\\" in text and b"\\u" in text):
        each = 4 if any(lead in text for lead in _WIDE) else 2
    return each * len(text) + _VALUE_BYTES * marks


def _marks(text: bytes, *span: int) -> int:
    return text.count(b",", *span) + text.count(b"[", *span) + text.count(b"{", *span)


def _too_deep(value: Any, depth: int) -> bool:
    # The encoder counts levels as it writes, three times faster than a walk here could: wrapped in as many lists
    # as make up the difference, what is too deep for us is too deep for it.
    for _ in range(WRITTEN_MOST - depth):
        value = [value]
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        return True
    return False


class _Pairs(dict[str, Any]):
    """An object that remembers whether a key stood in it twice."""

    twice: str | None = None


def _pairs(pairs: list[tuple[str, Any]]) -> _Pairs:
    found = _Pairs(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        found.twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
    return found


def refuse_any_duplicate(text: bytes) -> None:
    """Raises `MalformedJson` where a key stands twice, at any place: for a text that was signed (RFC 8785 section 3.1).

    It has to be one that `load` took: how deep and how large it is, is not looked at again.
    """

    def pairs(given: list[tuple[str, Any]]) -> _Pairs:
        found = _pairs(given)
        if found.twice is not None:
            raise MalformedJson(f"the key {found.twice[:64]!r} stands twice")
        return found

    _json.loads(text, object_pairs_hook=pairs)


def _refuse_duplicates(text: bytes) -> None:
    # Two params, two envelopes or two senders show as two senders, unless a key hides behind an escape.
    if text.count(b'"sender"') < 2 and not (b"\\" in text and b"\\u00" in text):
        return
    value = _json.loads(text, object_pairs_hook=_pairs)
    for index, inner in enumerate(value if isinstance(value, list) else [value]):
        place = f"$[{index}]" if isinstance(value, list) else "$"
        for key in ("params", "envelope", "extensions", ""):
            if not isinstance(inner, _Pairs):
                break
            if inner.twice is not None:
                raise MalformedJson(f"the key {inner.twice[:64]!r} stands twice", path=place)
            inner, place = inner.get(key), f"{place}.{key}"  # noqa: PLW2901  (one step down)
