"""httpx's view of an exchange, as the core's values."""

from __future__ import annotations

import ssl
from functools import cache

import httpx

from asap_proto.http import TransportFailure, fold

from .urls import shown

__all__ = ["ACCEPT_ENCODING", "failure", "headers_of", "shared_tls"]

#: What we can undo within bounds ourselves; httpx would inflate without looking.
ACCEPT_ENCODING = {"accept-encoding": "gzip, br"}


@cache
def shared_tls() -> ssl.SSLContext:
    """One context for all clients: to load the certificates takes tens of milliseconds."""
    return ssl.create_default_context()


def headers_of(response: httpx.Response) -> dict[str, str]:
    """The headers, with the coding in a form that can be looked up."""
    headers = fold(response.headers.raw)
    if coding := headers.get("content-encoding"):
        headers["content-encoding"] = coding.strip().lower()
    return headers


def failure(error: httpx.HTTPError | TimeoutError, base_url: str) -> TransportFailure:
    """Why no answer came; a URL's credentials stay out of it."""
    place = shown(base_url)
    if isinstance(error, httpx.ConnectError):
        return TransportFailure("refused", f"{place} takes no connection")
    if isinstance(error, httpx.TimeoutException | TimeoutError):
        return TransportFailure("timed_out", f"{place} did not answer in time")
    return TransportFailure("broken", f"{place} broke off: {type(error).__name__}")
