"""Whether something grows with what is done: its slope, and between what it lies."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from math import sqrt
from typing import Final

from attrs import frozen

__all__ = ["SEGMENTS", "Growth", "growth"]

#: Stretches of equal length that a measurement is cut into.
SEGMENTS: Final = 30
#: Student's t for 29 degrees of freedom: 95 of 100 such intervals hold the slope.
_T: Final = 2.045


@frozen
class Growth:
    """What is added for each, in the mean, and the ends of its confidence interval of 95 %."""

    mean: float
    low: float
    high: float


def growth(added: Sequence[float], each: Sequence[int]) -> Growth:
    """The growth for each, of `SEGMENTS` stretches in which so much was `added` while so many were done.

    Each stretch is one observation: what an allocator takes in steps, and gives back, widens the interval.
    """
    if len(added) != SEGMENTS:
        raise ValueError(f"{len(added)} stretches; expected {SEGMENTS}")
    slopes = [more / many for more, many in zip(added, each, strict=True)]
    mean = statistics.fmean(slopes)
    half = _T * statistics.stdev(slopes) / sqrt(SEGMENTS)
    return Growth(mean, mean - half, mean + half)
