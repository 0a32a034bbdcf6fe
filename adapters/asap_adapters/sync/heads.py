"""Heads as WSGI has them."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Final

from asap_proto.http import Headers, RequestHead, fold_joined

from .._shared.heads import CHANGING

__all__ = ["Reading", "head_of", "is_simple", "lines_of"]

_SPECIAL: Final = ("CONTENT_TYPE", "CONTENT_LENGTH")

#: What decides besides headers whether a head is admitted.
_DECIDING: Final = ("REQUEST_METHOD", "PATH_INFO", "REMOTE_ADDR")


class Reading:
    """How heads are read whose environ has these very names: looked for once, and then one look each."""

    __slots__ = ("_changing", "_deciding", "_lines", "_values")

    def __init__(self, environ: dict[str, Any]) -> None:
        headers = _headers_of(environ)
        self._changing = {name: header for name, header in headers.items() if header in CHANGING}
        self._lines = sum(name not in _SPECIAL for name in headers)  # those that `head_of` counts
        looked_at = (*_DECIDING, *[name for name in headers if name not in self._changing])
        self._deciding = tuple(name for name in looked_at if name in environ)
        self._values = itemgetter(*self._deciding)

    def key(self, environ: dict[str, Any]) -> tuple[Any, ...]:
        """All of a head that decides whether it is admitted, and how."""
        return self._deciding, self._lines, self._values(environ)

    def said(self, environ: dict[str, Any]) -> dict[str, str]:
        """What is `CHANGING` in it; a length that is empty is none."""
        return {
            header: environ[name]
            for name, header in self._changing.items()
            if environ[name] or header != "content-length"
        }


def is_simple(environ: dict[str, Any]) -> bool:
    """Whether each header stands under its one name: what another means is not for whoever is in a hurry.

    So it is with two names for one header, and with a length where it is not looked for: some servers hand it on so if
    a client spells it ``Content_Length``.
    """
    headers = _headers_of(environ)
    said = headers.values()
    return len(set(said)) == len(headers) and ("CONTENT_LENGTH" in headers or "content-length" not in said)


def _headers_of(environ: dict[str, Any]) -> dict[str, str]:
    """The names of headers in an environ, and what they are called."""
    headers = {name: name[5:].replace("_", "-").lower() for name in environ if name.startswith("HTTP_")}
    return headers | {name: name.replace("_", "-").lower() for name in _SPECIAL if name in environ}


def head_of(environ: dict[str, Any]) -> RequestHead:
    """The head of a request."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    lines = len(headers)
    for name in _SPECIAL:
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    path, peer = environ.get("PATH_INFO", ""), environ.get("REMOTE_ADDR", "")
    return RequestHead(environ["REQUEST_METHOD"], path, fold_joined(headers), peer, lines)


def lines_of(headers: Headers) -> list[tuple[str, str]]:
    """Headers as WSGI takes them: whether the connection goes on is the server's own affair, says PEP 3333."""
    lines = list(headers.items())
    return [line for line in lines if line[0] != "connection"] if "connection" in headers else lines
