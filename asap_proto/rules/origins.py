"""Whom a request was meant for, and which page sent it: so that no web page drives an agent by a browser's hand.

A page of another origin is told by its ``Origin``. One whose name was made to lead to this machine, after the browser
had looked (DNS rebinding), has no other origin than ours: it is told by ``Host``, which is still its own name.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from ..errors import BadHead, ForeignOrigin, Misdirected, Misuse

__all__ = ["LOOPBACK_HOSTS", "check_host", "check_origin", "is_json", "names_of"]

#: The names of this machine, for an agent that listens for nobody else.
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "[::1]")

_authority = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{0,5}))?").fullmatch
_origin = re.compile(r"https?://([^/?#@]+)").fullmatch
_json_type = re.compile(r"application/json|[a-z]+/[a-z0-9!#$&^_.-]+\+json").fullmatch


def names_of(hosts: Collection[str]) -> frozenset[str]:
    """The hosts as they are compared: a port says nothing. Raises `Misuse` for what is none."""
    found = {host: _name_of(f"[{host}]" if host.count(":") > 1 and "[" not in host else host) for host in hosts}
    if wrong := [host for host, name in found.items() if name is None]:
        raise Misuse(f"{wrong[0]!r} is no host; expected such as agents.example.org or 192.0.2.1")
    return frozenset(name for name in found.values() if name is not None)


def _name_of(authority: str) -> str | None:
    """The host of ``host:port`` in lower case, without the dot that may end it; None for what is none."""
    found = _authority(authority.lower())
    if found is None or int(found[2] or 0) > 65535:
        return None
    return found[1].removesuffix(".")


def check_host(host: str | None, *, hosts: Collection[str]) -> None:
    """Raises `BadHead` for what names no host, or several, and `Misdirected` for one that is not of `hosts`."""
    name = _name_of(host or "")
    if name is None:
        raise BadHead("expected one Host")
    if name not in hosts:
        raise Misdirected("this agent is not asked by that name")


def check_origin(origin: str, *, hosts: Collection[str]) -> None:
    """Raises `ForeignOrigin` for a page that is not of `hosts`, on whichever port."""
    found = _origin(origin.lower())
    if found is None or _name_of(found[1]) not in hosts:
        raise ForeignOrigin("pages of that origin may not ask this agent")


def is_json(content_type: str) -> bool:
    """Whether a Content-Type says ``application/json`` or ends in ``+json`` (RFC 6839): what no form of a page can."""
    return _json_type(content_type.partition(";")[0].strip(" \t").lower()) is not None
