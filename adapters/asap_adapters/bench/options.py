"""How a run measures: how often, how long, and beside whom."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import frozen

__all__ = ["RUNTIMES", "Options"]

RUNTIMES: Final = ("asyncio", "trio", "sync")


def _silent(words: str) -> None:
    """Says nothing."""


@frozen
class Options:
    """How a run measures."""

    #: How often each is measured, in turn with what it is compared to.
    rounds: int = 5
    #: How long one measurement takes, where it is not a count of things.
    seconds: float = 1.0
    #: The fronts that are measured.
    runtimes: tuple[str, ...] = RUNTIMES
    #: An interpreter that has the reference; without it one is looked for.
    reference: str | None = None
    #: Measure httpx2 too.
    peers: bool = False
    #: Told what is being measured.
    progress: Callable[[str], None] = _silent
