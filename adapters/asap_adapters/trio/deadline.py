"""How long a handler may run."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import trio

from asap_proto.roles import Returned, TimedOut

__all__ = ["within"]


async def within(seconds: float, running: Coroutine[Any, Any, Any]) -> Returned | TimedOut:
    """Awaits for at most so many seconds."""
    with trio.move_on_after(seconds):
        return Returned(await running)
    return TimedOut()
