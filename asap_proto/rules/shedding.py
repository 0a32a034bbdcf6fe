"""When to turn work away: what is let in follows how late the work is that was let in before."""

from __future__ import annotations

from typing import Final

from attrs import evolve, frozen

__all__ = ["SAMPLE_SECONDS", "Shedding"]

#: How often it is felt how late things are.
SAMPLE_SECONDS: Final = 0.1
#: A queue that was short once in this time is a burst, and goes by itself.
_WINDOW_SECONDS: Final = 0.5
#: Of what is let in so much stays after a window that was late throughout; what one that was not adds.
_LESS: Final = 0.7
_MORE: Final = 0.05
#: Some are always let in: they show whether it is better.
_LEAST: Final = 0.05


@frozen
class Shedding:
    """A value; every happening answers the next one.

    Of all requests a `share` is let in, evenly: none is drawn by lot. `lowest` is the shortest delay of the window
    that ends at `until`.
    """

    target: float
    share: float = 1.0
    credit: float = 0.0
    lowest: float = float("inf")
    until: float = 0.0

    def felt(self, delay: float, *, now: float) -> Shedding:
        """Something was late by `delay`, at `now` (monotonic seconds)."""
        lowest = min(self.lowest, max(0.0, delay))
        if now < self.until:
            return evolve(self, lowest=lowest)
        until = now + _WINDOW_SECONDS
        if lowest > self.target:
            return evolve(self, share=max(_LEAST, self.share * _LESS), lowest=float("inf"), until=until)
        return evolve(self, share=min(1.0, self.share + _MORE), lowest=float("inf"), until=until)

    def admit(self) -> tuple[float | None, Shedding]:
        """Nothing where a request may go ahead, else how many seconds it should wait; and what then holds."""
        if self.share >= 1.0:
            return None, self
        credit = self.credit + self.share
        if credit >= 1.0:
            return None, evolve(self, credit=credit - 1.0)
        # When everybody is let in again, if it is not late any more from now on.
        return (1.0 - self.share) / _MORE * _WINDOW_SECONDS, evolve(self, credit=credit)
