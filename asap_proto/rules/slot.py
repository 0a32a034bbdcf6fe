"""The reply slot: absent, busy, kept. It makes a lost reply right: what was accepted runs once.

A retry carries the same idempotency key. A busy slot answers "later", a kept slot the kept reply; a slot
remembers a digest of its request, so one key can't fetch the reply to another request.
"""

from __future__ import annotations

from ..plain import plain

__all__ = ["Busy", "Fresh", "Kept", "Reused", "SlotAnswer", "look"]


@plain
class Fresh:
    """Nobody asked this before: run it."""


@plain
class Busy:
    """It is running, as this task."""

    task_id: str


@plain
class Kept:
    """It was answered so, as this task."""

    task_id: str
    reply: bytes


@plain
class Reused:
    """The key stands for another request."""


SlotAnswer = Fresh | Busy | Kept | Reused


def look(task_id: str, reply: bytes | None, *, known: bytes, digest: bytes) -> Busy | Kept | Reused:
    """What a request with this digest finds in a slot whose request had the digest `known`."""
    if known != digest:
        return Reused()
    return Busy(task_id) if reply is None else Kept(task_id, reply)
