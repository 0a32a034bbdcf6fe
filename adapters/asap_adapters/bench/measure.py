"""Measuring: subjects take turns, so that all see the same machine, and ratios hold where times do not."""

from __future__ import annotations

import gc
import inspect
import statistics
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["import_cost", "in_turn", "in_turn_awaiting"]

T = TypeVar("T")

#: What is measured: a function, or a coroutine function, of one item.
Subject = Callable[[T], object] | Callable[[T], Awaitable[object]]


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No garbage is collected meanwhile: it would be counted against whoever has its turn."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def in_turn(subjects: Mapping[str, Callable[[T], object]], items: Sequence[T]) -> dict[str, float]:
    """Microseconds that each subject takes for one item: the median of its turns.

    Each item goes to all subjects, and each item lets another begin. So each meets the caches as the others left
    them, which is what a server's request meets; a tight loop over one subject shows less than half of that.
    """
    took: dict[str, list[int]] = {name: [] for name in subjects}
    names = list(subjects)
    with _undisturbed():
        for turn, item in enumerate(items):
            for name in _rotated(names, turn):
                subject = subjects[name]
                begin = perf_counter_ns()
                subject(item)
                took[name].append(perf_counter_ns() - begin)
    return _medians(took)


async def in_turn_awaiting(subjects: Mapping[str, Subject[T]], items: Sequence[T]) -> dict[str, float]:
    """The same, where a subject may be a coroutine function."""
    took: dict[str, list[int]] = {name: [] for name in subjects}
    names = list(subjects)
    with _undisturbed():
        for turn, item in enumerate(items):
            for name in _rotated(names, turn):
                subject = subjects[name]
                begin = perf_counter_ns()
                result = subject(item)
                if inspect.iscoroutine(result):
                    await result
                took[name].append(perf_counter_ns() - begin)
    return _medians(took)


def _rotated(names: list[str], turn: int) -> list[str]:
    at = turn % len(names)
    return names[at:] + names[:at]


def _medians(took: Mapping[str, list[int]]) -> dict[str, float]:
    idle = statistics.median(_idle() for _ in range(1000))  # what it costs to look at the clock
    return {name: (statistics.median(each) - idle) / 1000 for name, each in took.items()}


def _idle() -> int:
    begin = perf_counter_ns()
    return perf_counter_ns() - begin


def import_cost(statements: Mapping[str, str], rounds: int) -> dict[str, float]:
    """Milliseconds that each statement adds to the start of a bare interpreter, compiled: the median of `rounds`."""
    took: dict[str, list[float]] = {name: [] for name in ("", *statements)}
    for turn in range(rounds + 1):
        for name, statement in [("", "pass"), *statements.items()]:
            begin = perf_counter_ns()
            command = [sys.executable, "-c", statement]
            subprocess.run(command, check=True, env=_environment())  # nosec B603  # statements of ours
            if turn:  # the first one compiles
                took[name].append((perf_counter_ns() - begin) / 1e6)
    bare = statistics.median(took[""])
    return {name: statistics.median(took[name]) - bare for name in statements}


def _environment() -> dict[str, Any]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
