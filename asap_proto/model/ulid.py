"""ULIDs: 48 bits of time, 80 bits of chance, 26 characters that sort by age."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ..errors import InvalidValue

__all__ = ["EPOCH", "is_ulid", "make_ulid", "ulid_time"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(a + b for a in _ALPHABET for b in _ALPHABET)
_FORTY_BITS = (1 << 40) - 1
_matches = re.compile(rf"[0-7][{_ALPHABET}]{{25}}").fullmatch


def make_ulid(at: datetime, chance: int) -> str:
    """The ULID of the millisecond `at` (aware) and 80 bits of `chance`."""
    since = at - EPOCH
    millis = (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000
    if millis < 0 or not 0 <= chance < 1 << 80:
        raise InvalidValue("a ULID needs a time since 1970 and 80 bits of chance")
    time = _PAIRS[millis >> 40] + _eight(millis & _FORTY_BITS)
    return time + _eight(chance >> 40) + _eight(chance & _FORTY_BITS)


def _eight(bits: int) -> str:
    # Spelt out, as two ids are made in each exchange: half the time of a loop.
    return f"{_PAIRS[bits >> 30]}{_PAIRS[bits >> 20 & 1023]}{_PAIRS[bits >> 10 & 1023]}{_PAIRS[bits & 1023]}"


def is_ulid(text: str) -> bool:
    """Whether `text` is a ULID in its canonical, upper-case form."""
    return _matches(text) is not None


def ulid_time(text: str) -> datetime:
    """When this ULID was made, to the millisecond; raises `InvalidValue` for what is no ULID."""
    if not is_ulid(text):
        raise InvalidValue(f"{text[:40]!r} is no ULID; expected 26 characters of Crockford's base 32")
    millis = 0
    for character in text[:10]:
        millis = millis * 32 + _ALPHABET.index(character)
    try:
        return EPOCH + timedelta(milliseconds=millis)
    except OverflowError:
        raise InvalidValue(f"{text} was made beyond the year 9999") from None
