"""Whether a caller may speak for the sender an envelope names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from attrs import field, frozen

from ..errors import SenderMismatch

__all__ = ["Identity", "SignedIdentity", "check_sender"]


@frozen
class Identity:
    """Who the credentials say is calling."""

    urn: str
    scopes: frozenset[str] = frozenset()


@frozen
class SignedIdentity(Identity):
    """Who signed a request, and what is left to check of it: its nonce, and its body, which nobody has read yet."""

    #: Unique among the requests that were signed with this key, for as long as a signature is valid.
    nonce: str = field(kw_only=True)
    #: The name of the key: others of the same agent have nonces of their own.
    key_id: str = field(kw_only=True)
    #: When it was signed.
    created: datetime = field(kw_only=True)
    #: The digests of the body as sent, before its content coding is undone, by their names in RFC 9530.
    digests: Mapping[str, bytes] = field(kw_only=True)


def check_sender(sender: str, *, caller: Identity | None) -> None:
    """An authenticated caller speaks for itself alone; raises `SenderMismatch`."""
    if caller is not None and sender != caller.urn:
        raise SenderMismatch("the sender is not the agent that the credentials name", path="$.sender")
