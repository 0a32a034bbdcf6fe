"""One story told for all who ask for it at the same time."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import anyio
from anyio.lowlevel import current_token

from asap_proto.errors import AsapError
from asap_proto.roles import Shared

from .drive import Perform, drive

__all__ = ["tell_once"]


class _Flight:
    """A story that is being told: its outcome, once it has one."""

    def __init__(self) -> None:
        self.over = anyio.Event()
        self.outcome: Any = None


async def tell_once(flights: dict[Hashable, Any], command: Shared, perform: Perform) -> Any:
    """The outcome of the story, or of the one with its key that is being told in this event loop."""
    key = current_token(), command.key
    while (flight := flights.get(key)) is not None:
        await flight.over.wait()
        if flight.outcome is not None:
            return flight.outcome
        # Whoever told it was cut off: the first of those who waited goes on, with its own.
    flight = flights[key] = _Flight()
    try:
        flight.outcome = await drive(command.story, perform)
    except AsapError as error:
        flight.outcome = error
    finally:
        del flights[key]
        flight.over.set()
    return flight.outcome
