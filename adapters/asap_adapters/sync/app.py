"""The agent as a WSGI app (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from asap_proto.errors import AsapError, BadEncoding
from asap_proto.http import HttpResponse, RequestHead, fold_joined
from asap_proto.roles import Admitted
from asap_proto.wire.body import BodyGauge

from .._shared.agents import Served
from .._shared.inflate import inflater
from .drive import drive
from .server import Performer

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["App"]

_CHUNK = 64 * 1024


class App:
    """A plain WSGI callable; any server runs it, any framework mounts it."""

    def __init__(self, agent: Agent, served: Served) -> None:
        self._role = served.role
        #: The most bytes of a request, for a server that takes the body before it asks.
        self.request_bytes = served.limits.request_bytes
        self._perform = Performer(agent, served).perform

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
    ) -> Iterable[bytes]:
        response = self._answer(environ)
        headers = list(response.headers.items())
        if "content-length" not in response.headers and response.status not in (204, 304):
            headers.append(("content-length", str(len(response.body))))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [response.body]

    def _answer(self, environ: dict[str, Any]) -> HttpResponse:
        admitted = drive(self._role.admit(_head(environ)), self._perform)
        if isinstance(admitted, HttpResponse):
            return admitted
        try:
            body = _read(environ, admitted)
        except AsapError as error:
            return self._role.refuse(admitted, error)
        return drive(self._role.receive(admitted, body), self._perform)


def _head(environ: dict[str, Any]) -> RequestHead:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    path, peer = environ.get("PATH_INFO", ""), environ.get("REMOTE_ADDR", "")
    return RequestHead(environ["REQUEST_METHOD"], path, fold_joined(headers), peer)


def _read(environ: dict[str, Any], admitted: Admitted) -> bytes:
    """The body, within bounds as sent and as inflated."""
    raw = BodyGauge(admitted.most_bytes, what="request")
    plain = inflater(admitted.encoding, BodyGauge(admitted.most_bytes, what="inflated request"))
    stream, left = environ["wsgi.input"], _announced(environ)
    chunks = []
    while left is None or left > 0:
        chunk = stream.read(_CHUNK if left is None else min(left, _CHUNK))
        if not chunk:
            break
        chunks.append(plain.feed(raw.feed(chunk)))
        left = None if left is None else left - len(chunk)
    if left:
        raise BadEncoding("the body is shorter than its Content-Length")
    plain.finish()
    return b"".join(chunks)


def _announced(environ: dict[str, Any]) -> int | None:
    """How many bytes may be read: a server that does not mark the end of its input would wait for more."""
    length = environ.get("CONTENT_LENGTH") or ""
    # Some servers hand on whatever the header said; int() would take "1_0" and " +5".
    if length.isascii() and length.isdecimal():
        return int(length)
    return None if environ.get("wsgi.input_terminated") or "HTTP_TRANSFER_ENCODING" in environ else 0
