"""The agent as a WSGI app (PEP 3333)."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from math import isfinite
from typing import TYPE_CHECKING, Any

from asap_proto.errors import AsapError, BadEncoding, Overloaded
from asap_proto.http import HttpResponse, RequestHead, fold_joined
from asap_proto.roles import Admitted, AnyCommand, Renew, Steps
from asap_proto.rules.shedding import SAMPLE_SECONDS
from asap_proto.sources import Clock
from asap_proto.wire.body import BodyGauge
from asap_proto.wire.digests import BodyDigest

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
        self.agent = agent
        self.served = served
        self._role = served.role
        self._limits = served.limits
        self._performer = Performer(agent, served)
        self._stopped: float | None = None
        self._perform = self._performer.perform
        self._keeper: threading.Thread | None = None
        self._over = threading.Event()
        self._lock = threading.Lock()
        # Each stream takes a thread of the server's: some have to be left for whoever wants to cancel its task.
        self._free_streams = threading.BoundedSemaphore(served.limits.handler_threads)

    def start(self, *, feels: bool = True) -> None:
        """Cares for the store from now on, until `close`: renews leases, takes over tasks of workers that are lost.

        Looks how late things are, too, unless a server of ours does so itself.
        WSGI has no word for when a server starts: the first request does it, where nobody has done it before.
        """
        with self._lock:
            if self._keeper is None and not self._over.is_set():
                weakref.finalize(self, self._over.set)
                care = (weakref.ref(self._performer), self._over, self._limits.beat_seconds)
                self._keeper = threading.Thread(target=_keep, args=care, name="asap-keeper", daemon=True)
                self._keeper.start()
                if feels and isfinite(self._limits.late_seconds):
                    sense = (weakref.ref(self._performer), self._over, self.served.clock)
                    threading.Thread(target=_feel, args=sense, name="asap-sense", daemon=True).start()

    def feel(self, due: float) -> None:
        """Looks how late a request would be that was due at a time of the agent's clock, just now."""
        self._performer.feel(due)

    def stop(self) -> None:
        """Takes no more work; what runs may end within `Limits.grace_seconds` from now, for which `close` waits."""
        if self._stopped is None:
            self._stopped = self.served.clock.elapsed()
            self._performer.close()

    def close(self) -> None:
        """Takes no more work, and lets what runs in the background end within `Limits.grace_seconds`."""
        self.stop()
        passed = self.served.clock.elapsed() - (self._stopped or 0.0)
        self._performer.wind_up(self._limits.grace_seconds - passed)
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
        exchange = Exchange()
        parts = self._answer(environ, exchange)
        try:
            response = next(parts)
        except Exception as error:  # noqa: BLE001  (an error of ours, and nothing is said yet)
            response = self._performer.ours(error)
        assert isinstance(response, HttpResponse)
        exchange.answered(response)
        # Whether the connection goes on is the server's own affair, says PEP 3333.
        headers = [(name, value) for name, value in response.headers.items() if name != "connection"]
        is_whole = not is_stream(response.headers)
        if is_whole and "content-length" not in response.headers and response.status not in (204, 304):
            headers.append(("content-length", str(len(response.body))))
        start_response(f"{response.status} {HTTPStatus(response.status).phrase}", headers)
        return [response.body] if is_whole else parts  # type: ignore[return-value]

    def _answer(self, environ: dict[str, Any], exchange: Exchange) -> Iterator[HttpResponse | bytes]:
        head = _head(environ)
        admitted = drive(self._role.admit(head), self._perform)
        if isinstance(admitted, HttpResponse):
            exchange.heard(head)
            yield admitted
            return
        try:
            body = _read(environ, admitted)
        except AsapError as error:
            yield drive(self._role.unread(admitted, error), self._perform)
            return
        exchange.heard(head, body)
        if admitted.streams:
            yield from self.stream(admitted, body, exchange)
        else:
            story = self._role.receive(admitted, body)
            del body  # a large one is not kept beside all that is made of it
            yield self.tell(story)

    def perform(self, command: AnyCommand) -> Any:
        """What a story asks of whoever serves the agent."""
        return self._perform(command)

    def tell(self, story: Steps[HttpResponse]) -> HttpResponse:
        """Tells the story of a request that was admitted and read."""
        return drive(story, self._perform)

    def stream(
        self, admitted: Admitted, body: bytes, exchange: Exchange, is_gone: Callable[[], bool] = lambda: False
    ) -> Iterator[HttpResponse | bytes]:
        """The answer in parts, its head first, or whole; it ends early where its reader `is_gone`."""
        if not self._free_streams.acquire(blocking=False):
            busy = Overloaded("every thread for streams is taken", facts={"retry_after": 1})
            yield self._role.refuse(admitted, busy)
            return
        try:
            yield from self._performer.tell_stream(self._role.stream(admitted, body), exchange, is_gone)
        finally:
            self._free_streams.release()

    def let_readers_look(self) -> None:
        """Wakes the streams: one whose reader is gone ends."""
        self._performer.let_all_look()

    def send_readers_away(self) -> None:
        """Ends the streams, also those of tasks that still run here."""
        self._performer.send_readers_away()


def _keep(performer: weakref.ref[Performer], over: threading.Event, beat_seconds: float) -> None:
    """Cares for the store until it is over. Holds nothing between beats, so that what goes out of use is let go."""
    while not over.is_set():
        if (performing := performer()) is not None:
            performing.keep()
        del performing
        over.wait(beat_seconds)


def _feel(performer: weakref.ref[Performer], over: threading.Event, clock: Clock) -> None:
    """Looks how late things are until it is over; holds nothing in between."""
    while True:
        due = clock.elapsed() + SAMPLE_SECONDS
        if over.wait(SAMPLE_SECONDS) or (performing := performer()) is None:
            return
        performing.feel(due)
        del performing


def _head(environ: dict[str, Any]) -> RequestHead:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    lines = len(headers)
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    path, peer = environ.get("PATH_INFO", ""), environ.get("REMOTE_ADDR", "")
    return RequestHead(environ["REQUEST_METHOD"], path, fold_joined(headers), peer, lines)


def _read(environ: dict[str, Any], admitted: Admitted) -> bytes:
    """The body, within bounds as sent and as inflated."""
    raw = BodyGauge(admitted.most_bytes, what="request")
    signed = BodyDigest(admitted.digests)
    plain = inflater(admitted.encoding, BodyGauge(admitted.most_bytes, what="inflated request"))
    stream, left = environ["wsgi.input"], _announced(environ)
    chunks = []
    while left is None or left > 0:
        chunk = stream.read(_CHUNK if left is None else min(left, _CHUNK))
        if not chunk:
            break
        chunks.append(plain.feed(signed.feed(raw.feed(chunk))))
        left = None if left is None else left - len(chunk)
    if left:
        raise BadEncoding("the body is shorter than its Content-Length")
    signed.finish()
    plain.finish()
    return b"".join(chunks)


def _announced(environ: dict[str, Any]) -> int | None:
    """How many bytes may be read: a server that does not mark the end of its input would wait for more."""
    length = environ.get("CONTENT_LENGTH") or ""
    # Some servers hand on whatever the header said; int() would take "1_0" and " +5".
    if length.isascii() and length.isdecimal():
        return int(length)
    return None if environ.get("wsgi.input_terminated") or "HTTP_TRANSFER_ENCODING" in environ else 0
