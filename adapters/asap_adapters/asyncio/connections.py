"""The connections of one server: whom it hangs up on when there are too many."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol

__all__ = ["Connection", "make_room"]


class Connection(Protocol):
    """One of them."""

    transport: asyncio.Transport
    #: When it was made, or something was answered that it asked: the loop's own time has too many moments alike.
    quiet_since: float

    @property
    def is_waiting(self) -> bool:
        """Whether nobody waits for us here; so it is with who comes, who goes if all others wait."""
        ...


def make_room(connections: Iterable[Connection]) -> None:
    """Hangs up on whoever was answered, or came, longest ago, and has asked nothing whole since then."""
    min((each for each in connections if each.is_waiting), key=lambda each: each.quiet_since).transport.abort()
