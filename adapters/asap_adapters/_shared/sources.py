"""Real time and real chance, for the core's roles."""

from __future__ import annotations

import os
import random
import secrets
import time
from datetime import UTC, datetime
from functools import partial

from asap_proto.model.ulid import chance_text, make_ulid, ulid_of
from asap_proto.sources import Sources

__all__ = ["SYSTEM"]


class _SystemClock:
    # Written so they cost no call of Python's own: each request asks four times.
    now = staticmethod(partial(datetime.now, UTC))
    elapsed = staticmethod(time.monotonic)


#: Ids for which chance is drawn at once: to ask the system for each makes it half as dear again.
_DRAWN_MOST = 256


class _SystemTokens:
    def __init__(self) -> None:
        self._drawn: list[str] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._drawn.clear)  # else two workers would draw the same

    def new_id(self, at: datetime) -> str:
        # Where callers are not known, whoever knows a task's id is let see it: so nobody may guess one.
        if not self._drawn:
            chance = chance_text(secrets.token_bytes(16 * _DRAWN_MOST))
            self._drawn.extend(chance[first : first + 16] for first in range(0, len(chance), 16))
        try:
            return ulid_of(at, self._drawn.pop())
        except IndexError:  # another thread has had the last
            return make_ulid(at, secrets.randbits(80))

    def nonce(self) -> str:
        return secrets.token_urlsafe(16)

    def jitter(self) -> float:
        return random.random()  # nosec B311  # spreads retries, hides nothing


#: The machine's clock and chance.
SYSTEM = Sources(_SystemClock(), _SystemTokens())
