"""Timestamps as peers write them (ASAP: envelope): RFC 3339, and the looser forms every release has accepted."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from ..model.ulid import EPOCH

__all__ = ["USUAL", "read_stamp"]

#: Whether ``{v}`` looks as every release writes times, 2026-01-02T03:04:05.123456Z. Nothing else that
#: `datetime.fromisoformat` takes has these characters in these places, so it alone can judge the rest.
USUAL = "{v}.__class__ is str and {v}[4:20:3] == '--T::.' and {v}[26:] == 'Z'"

_calendar = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt _]([0-9]{2}:[0-9]{2})(?:(:[0-9]{2})(?:[.,]([0-9]+))?)?([Zz]|[+\N{MINUS SIGN}-][0-9]{2}:?[0-5][0-9])?)?"
).fullmatch
# An exponent stands after a point alone, as Java writes larger numbers: the releases take no other.
_number = re.compile(r"[+-]?(?:[0-9]{1,20}|(?:[0-9]{1,20}\.[0-9]*|\.[0-9]+)(?:[Ee][+-]?[0-9]+)?)").fullmatch

#: Unix times above this many seconds (the year 2603) are milliseconds.
_SECONDS_MOST = 20_000_000_000


def read_stamp(value: Any) -> datetime | None:
    """An aware time; nothing for what is no time. Naive texts are UTC, numbers are Unix times."""
    if value.__class__ is str:
        return _from_text(value)
    return _from_number(value) if value.__class__ in (int, float) else None


def _from_text(text: str) -> datetime | None:
    if match := _calendar(text):
        day, time, seconds, fraction, zone = match.groups()
        zone = "Z" if zone in (None, "z") else zone.replace("\N{MINUS SIGN}", "-")
        return _iso(f"{day}T{time or '00:00'}{seconds or ':00'}.{fraction or '':0<6}{zone}")
    return _from_number(float(text)) if _number(text) else None


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _from_number(number: float) -> datetime | None:
    try:
        since = timedelta(milliseconds=number) if abs(number) > _SECONDS_MOST else timedelta(seconds=number)
        return (EPOCH + since).astimezone(UTC)
    except (OverflowError, ValueError):
        return None
