"""httpx's view of an exchange, as the core's values."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from asap_proto.errors import Misuse
from asap_proto.http import HttpRequest, TransportFailure, fold
from asap_proto.rules.targets import Targets

from .addresses import Forbidden
from .inflate import ENCODINGS
from .urls import shown

__all__ = ["ACCEPT_ENCODING", "Place", "check_given", "headers_of", "no_cookies"]

#: What we can undo within bounds ourselves; httpx would inflate without looking.
ACCEPT_ENCODING = {"accept-encoding": ", ".join(ENCODINGS)}


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
