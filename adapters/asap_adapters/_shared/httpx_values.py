"""httpx's view of an exchange, as the core's values."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, Final

import httpx

from asap_proto.errors import ForbiddenTarget, Misuse
from asap_proto.http import HttpRequest, TransportFailure, fold
from asap_proto.rules.targets import Targets

from .inflate import ENCODINGS
from .urls import shown

__all__ = [
    "ACCEPT_ENCODING",
    "Forbidden",
    "Place",
    "Resolved",
    "addresses_of",
    "check_given",
    "headers_of",
    "no_cookies",
    "shared_tls",
    "turns",
]

#: What a resolver answers, as `socket.getaddrinfo` does.
Resolved = Sequence[tuple[Any, Any, Any, Any, tuple[Any, ...]]]

#: How long an address may leave a connection unanswered before the next one has its turn: the packet that asks for it
#: is sent again after one second, should it be lost. A way to IPv6 that leads nowhere costs no more than this.
_TURN_SECONDS: Final = 2.0

#: What we can undo within bounds ourselves; httpx would inflate without looking.
ACCEPT_ENCODING = {"accept-encoding": ", ".join(ENCODINGS)}


@cache
def shared_tls() -> ssl.SSLContext:
    """One context for all clients: to load the certificates takes tens of milliseconds."""
    return ssl.create_default_context()


class Forbidden(OSError):
    """The peer's name leads where no connection may go."""


def addresses_of(found: Resolved, host: str, targets: Targets) -> list[str]:
    """The addresses that a name was said to lead to, if each may be connected to; raises `Forbidden`.

    The connection has to go to one of them: who asks a resolver again may be told another.
    """
    addresses = list(dict.fromkeys(str(one[4][0]) for one in found))
    try:
        targets.check(host, addresses)
    except ForbiddenTarget as error:
        raise Forbidden(error.message) from None
    return addresses


def turns(addresses: Sequence[str], seconds: float) -> list[tuple[str, float]]:
    """How long each address is tried, one after the other; the last has what the others leave."""
    seconds = max(0.0, seconds)  # whoever was cut off already has less than none
    turn = min(seconds / len(addresses), _TURN_SECONDS)
    *others, last = addresses
    return [*((address, turn) for address in others), (last, seconds - turn * len(others))]


def check_given(client: Any, targets: Targets | None) -> None:
    """Raises `Misuse` where an httpx client that was handed in would connect to wherever it likes."""
    if client is not None and targets is not None:
        raise Misuse("targets hold for connections of ours: leave the httpx client out, or the targets")


class Place:
    """Where a peer is, read once. A URL's user and password become a header, so that no log of httpx shows them."""

    def __init__(self, base_url: str) -> None:
        try:
            url = httpx.URL(base_url)
        except httpx.InvalidURL:
            raise Misuse(f"{shown(base_url)!r} is no http or https URL") from None
        self._auth = httpx.BasicAuth(url.username, url.password) if url.userinfo else None
        self._base = str(url.copy_with(userinfo=b"")).rstrip("/")

    def request(self, request: HttpRequest, timeout: float) -> dict[str, Any]:
        """The arguments of `httpx.Client.stream`."""
        return {
            "method": request.method,
            "url": self._base + request.target,
            "headers": {**ACCEPT_ENCODING, **request.headers},
            "content": request.body or None,
            "auth": None if "authorization" in request.headers else self._auth,
            "timeout": timeout,
            "follow_redirects": False,
        }

    def failure(self, error: Exception) -> TransportFailure:
        """Why no answer came."""
        if isinstance(error, Forbidden):
            return TransportFailure("forbidden", str(error))
        if isinstance(error, httpx.ConnectError):
            return TransportFailure("refused", f"{self._base} takes no connection")
        if isinstance(error, httpx.TimeoutException | TimeoutError):
            return TransportFailure("timed_out", f"{self._base} did not answer in time")
        return TransportFailure("broken", f"{self._base} broke off: {type(error).__name__}")


def no_cookies() -> CookieJar:
    """A jar that takes nothing: what one peer sets, no request carries, and no memory fills up."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def headers_of(response: httpx.Response) -> dict[str, str]:
    """The headers, with the coding in a form that can be looked up."""
    headers = fold(response.headers.raw)
    if coding := headers.get("content-encoding"):
        headers["content-encoding"] = coding.strip().lower()
    return headers
