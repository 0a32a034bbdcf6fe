"""The reply slot: absent, busy, kept. It makes a lost reply right: what was accepted runs once.

A retry carries the same idempotency key. A busy slot answers "later", a kept slot the kept reply; a slot
remembers a digest of its request, so one key can't fetch the reply to another request.
Every slot ends at its time: a busy one too, or work that was cut off would block its key for good.
"""

from __future__ import annotations

from typing import Literal

from ..plain import plain

__all__ = ["Busy", "Fresh", "Kept", "Reused", "Slot", "SlotAnswer", "keep", "look"]


@plain
class Slot:
    """What is remembered of one request, until `until` (monotonic seconds)."""

    digest: bytes
    until: float
    state: Literal["busy", "kept"] = "busy"
    reply: bytes = b""


@plain
class Fresh:
    """Nobody asked this before: run it."""


@plain
class Busy:
    """It is running."""


@plain
class Kept:
    """It was answered so."""

    reply: bytes


@plain
class Reused:
    """The key stands for another request."""


SlotAnswer = Fresh | Busy | Kept | Reused


def look(slot: Slot | None, *, digest: bytes, now: float) -> SlotAnswer:
    """What a request with this digest finds."""
    if slot is None or now >= slot.until:
        return Fresh()
    if slot.digest != digest:
        return Reused()
    return Busy() if slot.state == "busy" else Kept(slot.reply)


def keep(slot: Slot, reply: bytes, *, until: float) -> Slot:
    """The slot with its reply."""
    return Slot(slot.digest, until, "kept", reply)
