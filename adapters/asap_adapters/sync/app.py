"""The agent as a WSGI app (PEP 3333)."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NoReturn

from asap_proto.errors import AsapError, BadEncoding, Overloaded
from asap_proto.http import HttpResponse
from asap_proto.roles import Admitted, AnyCommand, Authenticate, Outcome, Renew, Returned
from asap_proto.rules.shedding import SAMPLE_SECONDS
from asap_proto.sources import Clock
from asap_proto.stores import MemoryState
from asap_proto.wire.body import BodyGauge
from asap_proto.wire.digests import BodyDigest

from .._shared.agents import Served
from .._shared.heads import KnownHeads, changed
from .._shared.inflate import inflater
from .._shared.logs import Exchange, exchanges
from .._shared.performing import performed_first
from .._shared.streams import is_stream
from .drive import drive, side_by_side
from .heads import Reading, head_of, is_simple, lines_of
from .server import Performer

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["App"]

_CHUNK = 64 * 1024

#: Sets of names that heads come with which are remembered: clients of a kind have the same ones.
_READINGS_MOST: Final = 64

_STATUS_LINES: Final = {int(status): f"{int(status)} {status.phrase}" for status in HTTPStatus}


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
        self._admission = self._role.admission
        self._known = KnownHeads()
        # By the names of an environ, of heads that are known.
        self._readings: dict[tuple[str, ...], Reading] = {}
        # A store that answers at once, as memory does, needs no story for what is usual.
        is_at_once = isinstance(served.stores.state, MemoryState)
        turns: Any = self._performer  # which asks the store in turn
        self._straight = self._role.straight(turns, served.metrics.count) if is_at_once else None
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
        exchange = Exchange() if exchanges.level else None
        parts: Iterator[HttpResponse | bytes] | None = None
        response: HttpResponse | bytes
        try:
            answer = self._answer(environ, exchange)
            if isinstance(answer, HttpResponse):
                response = answer
            else:
                parts, response = answer, next(answer)
        except Exception as error:  # noqa: BLE001  (an error of ours, and nothing is said yet)
            response = self._performer.ours(error)
        assert isinstance(response, HttpResponse)
        if exchange is not None:
            exchange.answered(response)
        headers = lines_of(response.headers)
        is_whole = parts is None or not is_stream(response.headers)
        if is_whole and "content-length" not in response.headers and response.status not in (204, 304):
            headers.append(("content-length", str(len(response.body))))
        start_response(_STATUS_LINES[response.status], headers)
        return [response.body] if is_whole else parts  # type: ignore[return-value]

    def _answer(
        self, environ: dict[str, Any], exchange: Exchange | None
    ) -> HttpResponse | Iterator[HttpResponse | bytes]:
        admitted = self._enter(environ)
        if isinstance(admitted, HttpResponse):
            if exchange is not None:
                exchange.heard(head_of(environ))
            return admitted
        try:
            body = [_read(environ, admitted)]
        except AsapError as error:
            return drive(self._role.unread(admitted, error), self._perform)
        if exchange is not None:
            exchange.heard(head_of(environ), body[0])
        if admitted.streams:
            return self.stream(admitted, body.pop(), exchange or Exchange())
        return self.work(admitted, body.pop())  # a large one is not kept beside all that is made of it

    def _enter(self, environ: dict[str, Any]) -> Admitted | HttpResponse:
        """Who is admitted, or an answer."""
        reading = self._readings.get(tuple(environ))
        if reading is None:
            return self._look(environ)
        looked = self._known.find(reading.key(environ), environ.get("CONTENT_LENGTH") or None)
        if looked is None:
            return self._look(environ)
        admission, verdict = self._admission, None
        if not admission.asks:
            head = looked.head
            admitted = admission.let_in(looked, None, self.charge)
        else:
            head = changed(looked.head, {**looked.head.headers, **reading.said(environ)})
            if not admission.may_guess(looked, self.charge):
                return drive(admission.enter(looked, head), self._perform)
            verdict = self._performer.authenticate(Authenticate(head, admission.now()))
            admitted = None if verdict is None else admission.let_in(looked, verdict, self.charge)
        return drive(admission.enter(looked, head, verdict), self._perform) if admitted is None else admitted

    def _look(self, environ: dict[str, Any]) -> Admitted | HttpResponse:
        """The same where it is told from the beginning: of a head that is new, or is to be looked at each time."""
        head = head_of(environ)
        looked = self._admission.look(head) if is_simple(environ) else None
        if looked is None:
            return drive(self._role.admit(head), self._perform)
        reading = Reading(environ)
        if self._known.add(reading.key(environ), looked):
            if len(self._readings) >= _READINGS_MOST:
                self._readings.clear()
            self._readings[tuple(environ)] = reading
        return drive(self._admission.enter(looked, head), self._perform)

    def charge(self, caller: str, cost: int) -> Any:
        """Charges a caller within the agent's own quota, which there is."""
        return self._performer.charge(caller, cost)

    def perform(self, command: AnyCommand) -> Any:
        """What a story asks of whoever serves the agent."""
        return self._perform(command)

    def work(self, admitted: Admitted, body: bytes) -> HttpResponse:
        """Answers a request that was admitted and read."""
        if self._straight is None or admitted.proof is not None:
            return drive(self._role.receive(admitted, body), self._perform)
        try:
            document, held = self._role.load(admitted, body)
            size = len(body)
            del body  # nothing is kept of it beside what was read
            if document.__class__ is list:
                admitted, held = drive(self._role.open_batch(document, admitted, held), self._perform)
        except AsapError as error:
            return drive(self._role.unread(admitted, error), self._perform)
        if document.__class__ is not list:
            response = self._role.answer(self._item(document, "$", admitted, size, held), admitted)
        else:

            def begin(index: int) -> Any:
                return self._item(document[index], f"$[{index}]", admitted, size, held)

            items = side_by_side(begin, len(document), self._limits.batch_parallel, self._performer.submit)
            response = self._role.answer_batch(items, admitted)
        if admitted.coding is None:
            return response
        return drive(self._role.compressed(response, admitted.coding), self._perform)

    def _item(self, frame: Any, place: str, admitted: Admitted, size: int, held: int) -> Any:
        """What becomes of one request."""
        straight = self._straight
        assert straight is not None
        begun = straight.begin(frame, admitted, size, held)
        if begun is None:
            return drive(self._role.item(frame, place, admitted, size, held), self._perform)
        straight.take(begun)
        try:
            outcome: Outcome
            try:
                outcome = self._perform(begun[0])
            except BaseException as error:  # noqa: BLE001  (the story ends with it)
                first: Callable[[], Any] = functools.partial(_raise, error)
            else:
                if outcome.__class__ is Returned:
                    item = straight.end(begun, frame, outcome.value)
                    if item is not None:
                        return item
                first = functools.partial(_give, outcome)
            story = self._role.go_on(begun, frame, place, admitted)
            return drive(story, performed_first(first, self._perform))
        finally:
            straight.let_go(begun)

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


def _give(outcome: Outcome) -> Outcome:
    return outcome


def _raise(error: BaseException) -> NoReturn:
    raise error


def _read(environ: dict[str, Any], admitted: Admitted) -> bytes:
    """The body, within bounds as sent and as inflated."""
    stream, left = environ["wsgi.input"], _announced(environ)
    chunk = _next(stream, left)
    if admitted.is_plain and len(chunk) == left and left <= admitted.most_bytes:
        return chunk  # what comes as it is, in one piece, is counted at a glance
    raw = BodyGauge(admitted.most_bytes, what="request")
    signed = BodyDigest(admitted.digests)
    plain = inflater(admitted.encoding, BodyGauge(admitted.most_bytes, what="inflated request"))
    chunks = []
    while chunk:
        chunks.append(plain.feed(signed.feed(raw.feed(chunk))))
        left = None if left is None else left - len(chunk)
        chunk = _next(stream, left)
    if left:
        raise BadEncoding("the body is shorter than its Content-Length")
    signed.finish()
    plain.finish()
    return b"".join(chunks)


def _next(stream: Any, left: int | None) -> bytes:
    """What comes next of the body; nothing once it is over."""
    if left == 0:
        return b""
    chunk: bytes = stream.read(_CHUNK if left is None or left > _CHUNK else left)
    return chunk


def _announced(environ: dict[str, Any]) -> int | None:
    """How many bytes may be read: a server that does not mark the end of its input would wait for more."""
    length = environ.get("CONTENT_LENGTH") or ""
    # Some servers hand on whatever the header said; int() would take "1_0" and " +5".
    if length.isascii() and length.isdecimal():
        return int(length)
    return None if environ.get("wsgi.input_terminated") or "HTTP_TRANSFER_ENCODING" in environ else 0
