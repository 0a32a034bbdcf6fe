"""Heads as WSGI has them."""

from __future__ import annotations

from typing import Any, Final

from asap_proto.http import Headers, RequestHead, fold_joined

__all__ = ["head_of", "key_of", "lines_of"]

#: What is another for each request, and decides nothing.
_KEY_HEADER: Final = "HTTP_X_IDEMPOTENCY_KEY"


def key_of(environ: dict[str, Any]) -> tuple[Any, ...]:
    """All of a head that decides whether it is admitted, and how."""
    said = [item for item in environ.items() if item[0].startswith("HTTP_") and item[0] != _KEY_HEADER]
    said += [(name, environ.get(name) or "") for name in ("CONTENT_TYPE", "CONTENT_LENGTH")]
    path, peer = environ.get("PATH_INFO", ""), environ.get("REMOTE_ADDR", "")
    return environ["REQUEST_METHOD"], path, peer, _KEY_HEADER in environ, tuple(said)


def head_of(environ: dict[str, Any]) -> RequestHead:
    """The head of a request."""
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    lines = len(headers)
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    path, peer = environ.get("PATH_INFO", ""), environ.get("REMOTE_ADDR", "")
    return RequestHead(environ["REQUEST_METHOD"], path, fold_joined(headers), peer, lines)


def lines_of(headers: Headers) -> list[tuple[str, str]]:
    """Headers as WSGI takes them: whether the connection goes on is the server's own affair, says PEP 3333."""
    return [(name, value) for name, value in headers.items() if name != "connection"]
