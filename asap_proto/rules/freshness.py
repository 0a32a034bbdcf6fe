"""Whether an envelope was made just now, and how long its nonce must be remembered (ASAP: limits)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ..errors import InvalidNonce, InvalidTimestamp
from ..limits import NONCE_LENGTH, Limits
from ..model._value import JsonObject

__all__ = ["NONCE_EXTENSION", "check_fresh", "nonce_of"]

#: Where an envelope carries its nonce.
NONCE_EXTENSION = "nonce"


def check_fresh(stamp: datetime, *, now: datetime, limits: Limits) -> None:
    """Both ends of the window still pass; raises `InvalidTimestamp`."""
    age = (now - stamp).total_seconds()
    if age > limits.oldest_seconds:
        raise InvalidTimestamp(
            f"made {age:.0f} s ago; at most {limits.oldest_seconds:.0f} s are allowed",
            path="$.timestamp",
            facts={"age_seconds": age, "max_age_seconds": limits.oldest_seconds},
        )
    if -age > limits.ahead_seconds:
        raise InvalidTimestamp(
            f"made {-age:.0f} s in the future; at most {limits.ahead_seconds:.0f} s are allowed",
            path="$.timestamp",
            facts={"future_offset_seconds": -age, "max_future_tolerance_seconds": limits.ahead_seconds},
        )


def nonce_of(extensions: JsonObject | None) -> str | None:
    """The nonce an envelope carries, if any; raises `InvalidNonce` for one that is no usable text."""
    if not extensions or NONCE_EXTENSION not in extensions:
        return None
    nonce: Any = extensions[NONCE_EXTENSION]
    if nonce.__class__ is not str or not nonce.strip() or len(nonce) > NONCE_LENGTH:
        raise InvalidNonce(
            f"a nonce is a text of 1 to {NONCE_LENGTH} characters, not all blank",
            path=f"$.extensions.{NONCE_EXTENSION}",
        )
    return str(nonce)
