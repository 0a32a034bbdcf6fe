"""Time and chance, handed in: the core never reads a clock nor rolls a die."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from .plain import plain

__all__ = ["Clock", "Sources", "Tokens"]


class Clock(Protocol):
    """Where a role learns the time."""

    def now(self) -> datetime:
        """The wall clock, aware and in UTC: for stamps that people compare."""

    def elapsed(self) -> float:
        """Monotonic seconds: for waits, windows and breakers."""


class Tokens(Protocol):
    """Where a role gets what must not repeat, or must not be guessed."""

    def new_id(self, at: datetime) -> str:
        """A ULID made at `at`."""

    def nonce(self) -> str:
        """An unguessable text, new each time."""

    def jitter(self) -> float:
        """A number in [0, 1)."""


@plain
class Sources:
    """The clock and the tokens of one role."""

    clock: Clock
    tokens: Tokens
