"""Which failures deserve another try, and when."""

from __future__ import annotations

from attrs import frozen

from ..errors import AsapError

__all__ = ["RetryRule"]


@frozen
class RetryRule:
    """Up to `attempts` tries; the pause doubles from `base_seconds` to `most_seconds`, plus up to a tenth.

    The defaults are the reference's since 0.5 (ASAP: clients). A peer's Retry-After counts, but never beyond
    `most_seconds`: a hostile peer can't put us to sleep.
    """

    attempts: int = 3
    base_seconds: float = 1.0
    most_seconds: float = 60.0

    def again(self, error: AsapError, *, attempt: int) -> bool:
        """Whether to try again after the failure of try number `attempt`, counted from 1."""
        return error.retryable and attempt < self.attempts

    def pause(self, error: AsapError, *, attempt: int, jitter: float) -> float:
        """Seconds to wait after try number `attempt`; `jitter` in [0, 1) spreads those who wait together."""
        asked = error.retry_after
        if asked is not None and asked > 0:
            return min(asked, self.most_seconds)
        # Beyond 63 doublings any base has long passed any cap, and a float would overflow.
        wait = min(self.base_seconds * 2.0 ** min(attempt - 1, 63), self.most_seconds)
        return wait * (1 + jitter / 10)
