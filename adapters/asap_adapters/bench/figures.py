"""A measured promise, and how it comes to be: subjects take turns, round after round, and medians count."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping

from attrs import frozen

__all__ = ["Figure", "Rounds", "Void"]

#: One measurement of one subject: quantities by name.
Measured = Mapping[str, float]


class Void(Exception):
    """What was measured is not what should have been: an error, say, in place of an answer."""


@frozen
class Figure:
    """One measured promise: `value` is ours, `ratio` how many times the `baseline`.

    `floor` is the most that the ratio may be, or with `at_least` the least; where there is no ratio, the value.
    Without a value it was not measured, and `note` says why; if that is for an error, it does not hold.
    """

    name: str
    value: float | None
    unit: str
    baseline: str | None
    ratio: float | None
    floor: float | None
    holds: bool | None
    at_least: bool = False
    note: str | None = None
    suite: str = "core"


class Rounds:
    """Measures subjects in turn: A B A B, so that all see the same machine."""

    def __init__(self, count: int, progress: Callable[[str], None]) -> None:
        self._count = count
        self._progress = progress
        self._measured: dict[str, list[Measured]] = defaultdict(list)
        self._void: dict[str, str] = {}
        self._absent: dict[str, str] = {}

    def leave_out(self, subject: str, why: str) -> None:
        """What is compared to it is told without a ratio, and why."""
        self._absent[subject] = why

    def spoil(self, subject: str, why: str) -> None:
        """Whatever was measured of it counts no longer."""
        self._void[subject] = why

    def measure(self, subjects: Mapping[str, Callable[[], Measured]]) -> None:
        """All rounds of these; each round lets another begin."""
        names = list(subjects)
        for turn in range(self._count):
            at = turn % len(names) if names else 0
            for name in names[at:] + names[:at]:
                if name in self._void:
                    continue
                self._progress(f"{name}, round {turn + 1} of {self._count}")
                try:
                    self._measured[name].append(subjects[name]())
                except Void as error:
                    self.spoil(name, str(error))

    def figure(
        self,
        name: str,
        of: tuple[str, str],
        unit: str,
        *,
        to: tuple[str, str] | None = None,
        baseline: str | None = None,
        most: float | None = None,
        least: float | None = None,
        scale: float = 1.0,
    ) -> Figure:
        """The median of one quantity of one subject, and the median of its ratios to another, round by round.

        Parameters:
            of, to: a subject, and a quantity of it.
            baseline: what `to` is called; the name of its subject if not given.
            most, least: the bound of the ratio, or of the value where there is nothing to compare `to`.
            scale: what the value is multiplied by, for its unit.
        """
        floor, at_least = (most, False) if least is None else (least, True)
        if to is not None and baseline is None:
            baseline = to[0]
        for subject, _ in (of, *((to,) if to else ())):
            if subject in self._void:
                why = f"void: {subject}: {self._void[subject]}"
                return Figure(name, None, unit, baseline, None, floor, None if floor is None else False, at_least, why)
        if of[0] in self._absent:
            return Figure(name, None, unit, baseline, None, floor, None, at_least, self._absent[of[0]])
        values = self._values(*of)
        value = statistics.median(values) * scale
        if math.isnan(value):
            return Figure(name, None, unit, baseline, None, floor, None, at_least, "told by Linux alone")
        if to is not None and to[0] in self._absent:
            return Figure(name, value, unit, baseline, None, floor, None, at_least, self._absent[to[0]])
        ratio = None
        if to is not None:
            ratio = statistics.median(ours / other for ours, other in zip(values, self._values(*to), strict=True))
        judged = value if ratio is None else ratio
        holds = None if floor is None else judged >= floor if at_least else judged <= floor
        return Figure(name, value, unit, baseline, ratio, floor, holds, at_least)

    def _values(self, subject: str, quantity: str) -> list[float]:
        return [each[quantity] for each in self._measured[subject]]
