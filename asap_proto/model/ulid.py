"""ULIDs: 48 bits of time, 80 bits of chance, 26 characters that sort by age."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from ..errors import InvalidValue

__all__ = ["EPOCH", "chance_text", "is_ulid", "make_ulid", "ulid_of", "ulid_time"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LETTERS = _ALPHABET.encode() * 8
_MILLISECOND = timedelta(milliseconds=1)
#: Ten bits as two characters. Of a time no more than the last few change from one request to the next.
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]
#: The lower and the upper halves of two groups of 40 bits, of four of 20, of eight of 10.
_LOW_20, _HIGH_20 = (sum(half << at for at in range(0, 128, 64)) for half in (0xFFFFF, 0xFFFFF << 20))
_LOW_10, _HIGH_10 = (sum(half << at for at in range(0, 128, 32)) for half in (0x3FF, 0x3FF << 10))
_LOW_5, _HIGH_5 = (sum(half << at for at in range(0, 128, 16)) for half in (0x1F, 0x1F << 5))
_matches = re.compile(rf"[0-7][{_ALPHABET}]{{25}}").fullmatch


def make_ulid(at: datetime, chance: int) -> str:
    """The ULID of the millisecond `at` (aware) and 80 bits of `chance`."""
    if not 0 <= chance < 1 << 80:
        raise InvalidValue("a ULID needs 80 bits of chance")
    return ulid_of(at, _text(chance))


def ulid_of(at: datetime, letters: str) -> str:
    """The same from 16 characters that stand for the chance, as `chance_text` makes them: for who makes many."""
    millis = (at - EPOCH) // _MILLISECOND
    if millis < 0:
        raise InvalidValue("a ULID needs a time since 1970")
    return _time_head(millis >> 20) + _PAIRS[millis >> 10 & 1023] + _PAIRS[millis & 1023] + letters


def chance_text(chance: bytes) -> str:
    """A character for each byte, of which five bits count: all are equally likely where the bytes are."""
    return chance.translate(_LETTERS).decode("ascii")


@lru_cache(maxsize=8)  # it is the same for a quarter of an hour
def _time_head(bits: int) -> str:
    return _text(bits)[-6:]


def _text(bits: int) -> str:
    """80 bits as 16 characters."""
    # Each step halves the groups and moves the halves apart, until there are five bits in each byte. The table of
    # pairs is no faster for so many, and drives everything else out of the processor's cache.
    bits = bits & 0xFF_FFFF_FFFF | bits >> 40 << 64
    bits = bits & _LOW_20 | (bits & _HIGH_20) << 12
    bits = bits & _LOW_10 | (bits & _HIGH_10) << 6
    bits = bits & _LOW_5 | (bits & _HIGH_5) << 3
    return bits.to_bytes(16, "big").translate(_LETTERS).decode("ascii")


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
