"""The agent as a WSGI app (PEP 3333)."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from asap_proto.errors import AsapError, BadEncoding, Overloaded
from asap_proto.http import HttpResponse, RequestHead, fold_joined
from asap_proto.roles import Admitted, Renew
from asap_proto.wire.body import BodyGauge

from .._shared.agents import Served
from .._shared.inflate import inflater
from .._shared.logs import Exchange
from .._shared.streams import is_stream
from .drive import drive
from .server import Performer

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["App"]

_CHUNK = 64 * 1024


class App:
    """A plain WSGI callable; any server runs it, any framework mounts it.

    A thread cares for its store, from the first request on, and tasks that nobody waits for run in threads of its own:
    `close` ends them, in time for what runs. One that goes out of use unclosed has its thread ended too.
    """

    def __init__(self, agent: Agent, served: Served) -> None:
        self._role = served.role
        #: The most bytes of a request, for a server that takes the body before it asks.
        self.request_bytes = served.limits.request_bytes
        self._limits = served.limits
        self._performer = Performer(agent, served)
        self._perform = self._performer.perform
        self._keeper: threading.Thread | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        # Each stream takes a thread of the server's: some have to be left for whoever wants to cancel its task.
        self._free_streams = threading.BoundedSemaphore(served.limits.handler_threads)

    def start(self) -> None:
        """Cares for the store from now on, until `close`: renews leases, takes over tasks of workers that are lost.

        WSGI has no word for when a server starts: the first request does it, where nobody has done it before.
        """
        with self._lock:
            if self._keeper is None and not self._over.is_set():
                weakref.finalize(self, self._over.set)
                care = (weakref.ref(self._performer), self._over, self._limits.beat_seconds)
                self._keeper = threading.Thread(target=_keep, args=care, name="asap-keeper", daemon=True)
                self._keeper.start()

    def close(self) -> None:
        """Takes no more work, and lets what runs in the background end within `Limits.grace_seconds`."""
        self._performer.close()
        self._performer.wind_up(self._limits.grace_seconds)
        self._over.set()
        if self._keeper is not None:
            self._keeper.join()

    def give_back(self) -> None:
        """Lets others take over at once what still runs: for a process that ends here and now, after `close`."""
        self._performer.perform(Renew(self._role.worker, 0.0))

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
    ) -> Iterable[bytes]:
        if self._keeper is None:
            self.start()
        exchange = Exchange(_head(environ))
        parts = self._answer(environ, exchange)
        try:
            response = next(parts)
        except Exception as error:  # noqa: BLE001  (an error of ours, and nothing is said yet)
            response = self._performer.ours(error)
        assert isinstance(response, HttpResponse)
        exchange.answered(response)
        headers = list(response.headers.items())
        is_whole = not is_stream(response.headers)
        if is_whole and "content-length" not in response.headers and response.status not in (204, 304):
            headers.append(("content-length", str(len(response.body))))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [response.body] if is_whole else parts  # type: ignore[return-value]

    def _answer(self, environ: dict[str, Any], exchange: Exchange) -> Iterator[HttpResponse | bytes]:
        admitted = drive(self._role.admit(exchange.head), self._perform)
        if isinstance(admitted, HttpResponse):
            exchange.heard()
            yield admitted
            return
        try:
            body = _read(environ, admitted)
        except AsapError as error:
            yield self._role.refuse(admitted, error)
            return
        exchange.heard(body)
        if not admitted.streams:
            yield drive(self._role.receive(admitted, body), self._perform)
        elif self._free_streams.acquire(blocking=False):
            try:
                yield from self._performer.tell_stream(self._role.stream(admitted, body), exchange)
            finally:
                self._free_streams.release()
        else:
            busy = Overloaded("every thread for streams is taken", facts={"retry_after": 1})
            yield self._role.refuse(admitted, busy)


def _keep(performer: weakref.ref[Performer], over: threading.Event, beat_seconds: float) -> None:
    """Cares for the store until it is over. Holds nothing between beats, so that what goes out of use is let go."""
    while not over.is_set():
        if (performing := performer()) is not None:
            performing.keep()
        del performing
        over.wait(beat_seconds)


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
