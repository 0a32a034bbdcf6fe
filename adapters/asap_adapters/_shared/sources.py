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


#: Ids, and nonces, for which chance is drawn at once: to ask the system for each makes it half as dear again.
_DRAWN_MOST = 256

#: Characters of a nonce, of five bits each.
_NONCE_LENGTH = 26


class _SystemTokens:
    def __init__(self) -> None:
        self._drawn: list[str] = []
        self._nonces: list[str] = []
        if hasattr(os, "register_at_fork"):
            # Else two workers would draw the same.
            os.register_at_fork(after_in_child=self._drawn.clear)
            os.register_at_fork(after_in_child=self._nonces.clear)

    def new_id(self, at: datetime) -> str:
        # Where callers are not known, whoever knows a task's id is let see it: so nobody may guess one.
        if not self._drawn:
            self._drawn.extend(_draw(16))
        try:
            return ulid_of(at, self._drawn.pop())
        except IndexError:  # another thread has had the last
            return make_ulid(at, secrets.randbits(80))

    def nonce(self) -> str:
        if not self._nonces:
            self._nonces.extend(_draw(_NONCE_LENGTH))
        try:
            return self._nonces.pop()
        except IndexError:  # another thread has had the last
            return secrets.token_urlsafe(16)

    def jitter(self) -> float:
        return random.random()  # nosec B311  # spreads retries, hides nothing


def _draw(length: int) -> list[str]:
    """Texts of so many characters, by chance."""
    chance = chance_text(secrets.token_bytes(length * _DRAWN_MOST))
    return [chance[first : first + length] for first in range(0, len(chance), length)]


#: The machine's clock and chance.
SYSTEM = Sources(_SystemClock(), _SystemTokens())
