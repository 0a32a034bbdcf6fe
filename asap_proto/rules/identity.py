"""Whether a caller may speak for the sender an envelope names."""

from __future__ import annotations

from attrs import frozen

from ..errors import SenderMismatch

__all__ = ["Identity", "check_sender"]


@frozen
class Identity:
    """Who the credentials say is calling."""

    urn: str
    scopes: frozenset[str] = frozenset()


def check_sender(sender: str, *, caller: Identity | None) -> None:
    """An authenticated caller speaks for itself alone; raises `SenderMismatch`."""
    if caller is not None and sender != caller.urn:
        raise SenderMismatch("the sender is not the agent that the credentials name", path="$.sender")
