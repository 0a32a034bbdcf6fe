"""Rate limits as arithmetic: token buckets over monotonic seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import InvalidValue
from ..plain import plain

__all__ = ["Allowed", "Buckets", "Left", "Quota", "Rate", "RetryAfter", "parse_quota"]

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
#: A token that is there but for the rounding of its parts is there.
_TOLERANCE = 1e-6
_rate = re.compile(r"\s*([0-9]{1,9})\s*/\s*(second|minute|hour|day)s?\s*", re.ASCII).fullmatch


@plain
class Rate:
    """`count` requests in each `seconds`; as many may come at once."""

    count: int
    seconds: int


@plain
class Quota:
    """All of these hold at once."""

    rates: tuple[Rate, ...]
    text: str

    def full(self, now: float) -> Buckets:
        """The buckets of a caller never seen."""
        return Buckets(tuple(float(rate.count) for rate in self.rates), now)

    def spend(self, buckets: Buckets, *, now: float, cost: int = 1) -> tuple[Allowed | RetryAfter, Buckets]:
        """Takes `cost` tokens from every bucket, or none and says when they will be there.

        A cost of 0 looks whether one more could be spent, and takes nothing; a negative one gives tokens back. A cost
        that some bucket can never hold is told the time to fill that bucket, and how much it holds.
        """
        asked = cost or 1  # a negative one is there whatever the level
        at, wait, levels = buckets.at, -1.0, []
        now = max(at, now)  # threads may come out of order
        for rate, level in zip(self.rates, buckets.levels, strict=True):
            count = rate.count
            level += (now - at) * count / rate.seconds  # noqa: PLW2901  (as it is by now)
            levels.append(level := min(level, count))
            if level + _TOLERANCE < asked:
                wait = max(wait, (min(asked, count) - level) * rate.seconds / count)
        if wait >= 0.0:
            most = min(rate.count for rate in self.rates)
            return RetryAfter(wait, self.text, most, self._left(levels)), Buckets(tuple(levels), now)
        if cost:
            levels = [min(rate.count, max(0.0, level - cost)) for rate, level in zip(self.rates, levels, strict=True)]
        return Allowed(self._left(levels)), Buckets(tuple(levels), now)

    def _left(self, levels: Sequence[float]) -> tuple[Left, ...]:
        left = []
        for rate, level in zip(self.rates, levels, strict=True):
            left.append(Left(rate, int(level + _TOLERANCE), (rate.count - level) * rate.seconds / rate.count))
        return tuple(left)


@plain
class Buckets:
    """One caller's tokens, a level for each rate, as of `at`."""

    levels: tuple[float, ...]
    at: float


@plain
class Left:
    """What a caller has of one rate: so many requests now, and its whole bucket again in so many seconds."""

    rate: Rate
    requests: int
    seconds: float


@plain
class Allowed:
    """Go ahead; this is left."""

    left: tuple[Left, ...] = ()


@plain
class RetryAfter:
    """Not before this many seconds; `limit` is the quota's text, `most` what can be spent at once."""

    seconds: float
    limit: str
    most: int
    left: tuple[Left, ...] = ()


def parse_quota(text: str) -> Quota:
    """A quota such as ``10/second;100/minute`` (ASAP: rate limits); raises `InvalidValue`."""
    rates = []
    for piece in text.split(";"):
        match = _rate(piece)
        if not match or not int(match[1]):
            raise InvalidValue(f"{piece.strip()[:40]!r} is no rate; expected something like 10/second;100/minute")
        rates.append(Rate(int(match[1]), _SECONDS[match[2]]))
    return Quota(tuple(rates), text)
