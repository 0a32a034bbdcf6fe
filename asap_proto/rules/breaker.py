"""When to stop asking a peer that keeps failing: closed, open, probing."""

from __future__ import annotations

from typing import Literal

from attrs import evolve, frozen

__all__ = ["Breaker"]


@frozen
class Breaker:
    """A value; every happening answers the next one.

    Closed until `threshold` failures in a row, then open for `rest_seconds`, then one caller probes.
    A probe that is never reported back (its caller was cancelled) is given up after `rest_seconds`.
    """

    threshold: int = 5
    rest_seconds: float = 60.0
    state: Literal["closed", "open", "probing"] = "closed"
    failures: int = 0
    open_until: float = 0.0

    def admit(self, now: float) -> tuple[bool, Breaker]:
        """Whether a caller may go ahead at `now` (monotonic seconds), and what then holds."""
        if self.state == "closed":
            return True, self
        if now < self.open_until:
            return False, self
        return True, evolve(self, state="probing", open_until=now + self.rest_seconds)

    def succeeded(self) -> Breaker:
        """The peer answered."""
        if self.state == "closed" and not self.failures:
            return self
        return evolve(self, state="closed", failures=0, open_until=0.0)

    def failed(self, now: float) -> Breaker:
        """The peer did not answer, or said that it can't."""
        failures = self.failures + 1
        if self.state == "closed" and failures < self.threshold:
            return evolve(self, failures=failures)
        return evolve(self, state="open", failures=failures, open_until=now + self.rest_seconds)
