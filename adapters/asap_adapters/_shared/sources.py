"""Real time and real chance, for the core's roles."""

from __future__ import annotations

import os
import random
import secrets
import time
from datetime import UTC, datetime

from asap_proto.model import make_ulid
from asap_proto.sources import Sources

__all__ = ["SYSTEM"]


class _SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def elapsed(self) -> float:
        return time.monotonic()


#: Ids for which chance is drawn at once: to ask the system for each makes it half as dear again.
_DRAWN_MOST = 256


class _SystemTokens:
    def __init__(self) -> None:
        self._drawn: list[int] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._drawn.clear)  # else two workers would draw the same

    def new_id(self, at: datetime) -> str:
        # Where callers are not known, whoever knows a task's id is let see it: so nobody may guess one.
        if not self._drawn:
            chance = secrets.token_bytes(10 * _DRAWN_MOST)
            self._drawn.extend(int.from_bytes(chance[first : first + 10]) for first in range(0, len(chance), 10))
        try:
            return make_ulid(at, self._drawn.pop())
        except IndexError:  # another thread has had the last
            return make_ulid(at, secrets.randbits(80))

    def nonce(self) -> str:
        return secrets.token_urlsafe(16)

    def jitter(self) -> float:
        return random.random()  # nosec B311  # spreads retries, hides nothing


#: The machine's clock and chance.
SYSTEM = Sources(_SystemClock(), _SystemTokens())
