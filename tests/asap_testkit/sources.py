"""Time that moves only when told to, and chance that counts."""

from datetime import UTC, datetime, timedelta

from asap_proto.model import make_ulid
from asap_proto.sources import Sources

NOW = datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)


class FixedClock:
    """Stands still until it is moved; the monotonic clock starts at 1000 seconds."""

    def __init__(self, now: datetime = NOW) -> None:
        self._start = now
        self._passed = 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self._passed)

    def elapsed(self) -> float:
        return 1000.0 + self._passed

    def move(self, seconds: float) -> None:
        self._passed += seconds


class CountingTokens:
    """Ids and nonces that count up; no jitter."""

    def __init__(self) -> None:
        self._ids = 0
        self._nonces = 0

    def new_id(self, at: datetime) -> str:
        self._ids += 1
        return make_ulid(at, self._ids)

    def nonce(self) -> str:
        self._nonces += 1
        return f"nonce-{self._nonces}"

    def jitter(self) -> float:
        return 0.0


def fixed_sources(clock: FixedClock | None = None) -> Sources:
    """A fresh clock that stands still, or the one given, and fresh counting tokens."""
    return Sources(clock or FixedClock(), CountingTokens())
