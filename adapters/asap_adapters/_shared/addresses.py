"""Which of the addresses of a name are connected to, and how long each is tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from asap_proto.errors import ForbiddenTarget
from asap_proto.rules.targets import Targets

__all__ = ["Forbidden", "Refused", "Resolved", "addresses_of", "turns"]

#: What a resolver answers, as `socket.getaddrinfo` does.
Resolved = Sequence[tuple[Any, Any, Any, Any, tuple[Any, ...]]]

#: How long an address may leave a connection unanswered before the next one has its turn: the packet that asks for it
#: is sent again after one second, should it be lost. A way to IPv6 that leads nowhere costs no more than this.
_TURN_SECONDS: Final = 2.0


class Forbidden(OSError):
    """The peer's name leads where no connection may go."""


class Refused(OSError):
    """The peer takes no connection."""


def addresses_of(found: Resolved, host: str, targets: Targets | None) -> list[str]:
    """The addresses that a name was said to lead to, if each may be connected to; raises `Forbidden` or `Refused`.

    The connection has to go to one of them: who asks a resolver again may be told another.
    """
    addresses = list(dict.fromkeys(_address(one[4]) for one in found))
    if targets is not None:
        try:
            targets.check(host, addresses)
        except ForbiddenTarget as error:
            raise Forbidden(error.message) from None
    if not addresses:
        raise Refused
    return addresses


def _address(place: tuple[Any, ...]) -> str:
    """With its zone, where it has one: a link-local address (RFC 4007) leads nowhere without."""
    address = str(place[0])
    return f"{address}%{place[3]}" if len(place) == 4 and place[3] and "%" not in address else address


def turns(addresses: Sequence[str], seconds: float) -> list[tuple[str, float]]:
    """How long each address is tried, one after the other; the last has what the others leave."""
    seconds = max(0.0, seconds)  # whoever was cut off already has less than none
    turn = min(seconds / len(addresses), _TURN_SECONDS)
    *others, last = addresses
    return [*((address, turn) for address in others), (last, seconds - turn * len(others))]
