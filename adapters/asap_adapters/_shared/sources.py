"""Real time and real chance, for the core's roles."""

from __future__ import annotations

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


class _SystemTokens:
    def new_id(self, at: datetime) -> str:
        # Ids need not be unguessable, and `random` is reseeded in forked workers.
        return make_ulid(at, random.getrandbits(80))

    def nonce(self) -> str:
        return secrets.token_urlsafe(16)

    def jitter(self) -> float:
        return random.random()


#: The machine's clock and chance.
SYSTEM = Sources(_SystemClock(), _SystemTokens())
