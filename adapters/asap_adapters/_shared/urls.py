"""Which addresses a client may talk to."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from asap_proto.errors import Misuse
from asap_proto.rules.targets import Targets, targets_of

__all__ = ["check_base_url", "is_here", "shown", "targets_for", "without_user"]


def check_base_url(url: str, *, allow_http: bool = False) -> str:
    """`url` without a slash at its end; raises `Misuse` for what is no http(s) URL.

    Clear text is for this machine alone: elsewhere it needs `allow_http`.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise Misuse(f"{shown(url)!r} is no http or https URL")
    if parts.query or parts.fragment:
        raise Misuse(f"{shown(url)} has a query or a fragment; a base URL has neither")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise Misuse(f"{shown(url)} is not encrypted; use https, or allow_http=True if you must")
    return url.rstrip("/")


def is_here(url: str) -> bool:
    """Whether this URL names this machine."""
    return _is_loopback(urlsplit(url).hostname or "")


def targets_for(url: str, targets: Targets | None) -> Targets:
    """Where this URL may lead: as was said, else by what it names itself."""
    return targets_of(urlsplit(url).hostname or "") if targets is None else targets


def shown(url: str) -> str:
    """`url` as it may stand in a message: without user, password, query or fragment."""
    rest = url.split("?", maxsplit=1)[0].split("#", maxsplit=1)[0]
    scheme, mark, place = rest.partition("://")
    host, slash, path = place.partition("/")
    return (scheme + mark + host.rpartition("@")[2] + slash + path)[:200]


def without_user(url: str) -> str:
    """`url` as a request names it: without user and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
