"""The client's story: compose, send, wait, try again, and believe only the reply that fits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import Any, TypeVar

import attrs

from ..errors import (
    AsapError,
    BatchTooLarge,
    CircuitOpen,
    InvalidRequest,
    InvalidValue,
    MalformedJson,
    MalformedReply,
    MispairedReply,
    NoHandler,
    Overloaded,
    PeerTimedOut,
    PeerUnreachable,
)
from ..http import Headers, HttpRequest, HttpResponse, TransportFailure
from ..limits import KEY_LENGTH, SUPPORTED_VERSIONS, Limits
from ..model import (
    ArtifactNotify,
    Envelope,
    Manifest,
    MessageSend,
    Payload,
    TaskRequest,
    TaskResponse,
    TaskUpdate,
    agent_urn,
    payload_name,
)
from ..model._value import Value
from ..model.envelope import written
from ..rules.breaker import Breaker
from ..rules.caching import tells_of_change
from ..rules.compression import IDENTITY, Agreement, choose
from ..rules.freshness import NONCE_EXTENSION
from ..rules.lifecycle import is_final
from ..rules.nesting import DEPTH_EXTENSION, child_depth
from ..rules.pairing import check_pair
from ..rules.retry import RetryRule
from ..sources import Sources
from ..stores import Job, MemoryManifests
from ..wire import jsonrpc
from ..wire.json import dump, load
from ..wire.nouns import decode_envelope, encode
from ..wire.paths import ASAP_PATH, STREAM_PATH
from ..wire.replies import read_answer, read_error
from ..wire.sse import Event, EventReader
from .commands import Deliver, OpenStream, Pause, ReadStream, Together, Transmit
from .compressing import compressed_request
from .discovery import CheckManifest, Discovery
from .responses import ResponseReader, unanswered
from .steps import Steps, ask, told

__all__ = ["ClientRole"]

R = TypeVar("R")

#: Headers to add to one try of a request, by the time and a nonce of its own.
Sign = Callable[[HttpRequest, datetime, str], Headers]

#: What a stream may tell of a task before its end.
_NEWS = (ArtifactNotify, MessageSend, TaskUpdate)


class _Place:
    """How far a stream was read, over all its connections: the number last seen, and which try this is."""

    heard = False
    seen = -1
    attempt = 0


class ClientRole:
    """One agent's side of every exchange with one peer.

    Holds the peer's breaker, whether it takes batches, and by its `agreement`, if there is one, in which coding it is
    sent requests; nothing else changes.
    `encodings` are those that answers may have; without them the front says which it can undo. `timeout` is in seconds
    and holds for each try.
    `credentials` say what else stands in the headers of each try, by the time and a nonce that is new for each.
    A manifest has to name `agent`, where that is given, and to pass `check_manifest`: with that, nothing is sent to the
    peer before its manifest has passed, once, and the question for that carries no credentials.
    Manifests that are found are kept in `manifests`, which clients of several peers may share: `place` then tells the
    peer from all others. Where they survive, it is by the name `saved_as`.
    """

    def __init__(
        self,
        me: str,
        sources: Sources,
        *,
        token: str | None = None,
        credentials: Sign | None = None,
        agent: str | None = None,
        check_manifest: CheckManifest | None = None,
        manifests: MemoryManifests | None = None,
        place: Hashable = None,
        saved_as: str | None = None,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        retry: RetryRule = RetryRule(),  # noqa: B008  (frozen)
        breaker: Breaker | None = None,
        nonces: bool = True,
        timeout: float = 60.0,
        encodings: Sequence[str] = (),
        agreement: Agreement | None = None,
    ) -> None:
        self._me = agent_urn(me)
        self._sources = sources
        self._reader = ResponseReader(sources, limits)
        self._limits = limits
        self._retry = retry
        self._breaker = breaker
        self._nonces = nonces
        self._timeout = timeout
        self._headers = {
            "content-type": "application/json",
            "accept": "application/json",
            "asap-version": ", ".join(SUPPORTED_VERSIONS),
        }
        if token is not None:
            if not (token.isascii() and token.isprintable() and token.strip() == token != ""):
                raise InvalidValue("a token is visible ASCII text, without spaces or line ends around it")
            self._headers["authorization"] = f"Bearer {token}"
        if encodings:
            self._headers["accept-encoding"] = ", ".join(encodings)
        self._agreement = agreement
        self._credentials = credentials
        self._count = 0
        #: Whether the last answer was another's: what is sent from then on asks for its connection to be closed.
        self._leaves = False
        self._takes_batches = True
        self._batch_most = max(1, limits.batch_items)
        self._is_vetted = check_manifest is None
        self._discovery = Discovery(
            MemoryManifests() if manifests is None else manifests,
            sources.clock,
            self._reader,
            self._headers,
            self._attempts,
            place=place,
            saved_as=saved_as,
            agent=agent,
            check=check_manifest,
            is_known=token is not None or credentials is not None,
            patience=(timeout, retry),
        )

    def new_id(self) -> str:
        """An id for whatever the caller wants to name."""
        return self._sources.tokens.new_id(self._sources.clock.now())

    def compose(
        self,
        to: str,
        payload: Payload,
        *,
        within: Job | None = None,
        trace_id: str | None = None,
        extensions: dict[str, Any] | None = None,
        id: str | None = None,
    ) -> Envelope:
        """An envelope to `to`; `within` is the task that sends it, whose trace and depth it carries on.

        `id` is for whoever has made one; else it is a new one.

        Raises `NestedTooDeep` before a subtask is sent that any peer would refuse.
        """
        now = self._sources.clock.now()
        if within is not None:
            trace_id = trace_id or within.envelope.trace_id
            if isinstance(payload, TaskRequest):
                depth = child_depth(within.depth, most=self._limits.task_depth)
                extensions = {**(extensions or {}), DEPTH_EXTENSION: depth}
        return written(
            self._sources.tokens.new_id(now) if id is None else id,
            now,
            sender=self._me,
            recipient=agent_urn(to),
            payload_type=payload_name(type(payload)),
            payload=payload,
            trace_id=trace_id,
            extensions=dict(extensions) if extensions else None,
        )

    def send(
        self,
        envelope: Envelope,
        *,
        idempotency_key: str | None = None,
        retry: RetryRule | None = None,
        timeout: float | None = None,
    ) -> Steps[Envelope]:
        """The reply; raises `RemoteFault` as the peer reports it, or why none that fits came.

        All tries carry one idempotency key, so that a peer that keeps slots runs the request once.
        `retry` and `timeout` count instead of the role's own.
        """
        key = self.new_id() if idempotency_key is None else _checked_key(idempotency_key)

        def read(response: HttpResponse) -> Envelope:
            return check_pair(envelope, read_answer(self._reader.document(response.body), id=rpc_id))

        def post() -> HttpRequest:
            return self._post(self._frame(envelope, rpc_id, key), key)

        if not self._is_vetted:
            yield from self.discover()
        rpc_id = self._next_id()
        return (yield from self._attempts(post, read, retry, timeout))

    def send_batch(self, envelopes: Sequence[Envelope]) -> Steps[list[Envelope | AsapError]]:
        """The replies in order, each an envelope or its error: one that fails never loses the others.

        One JSON-RPC array for as many as the limit allows, ours and the peer's; for a peer that takes none,
        and from then on, single requests side by side.
        """
        results: list[Envelope | AsapError] = []
        while len(results) < len(envelopes):
            piece = envelopes[len(results) : len(results) + self._batch_most]
            if self._takes_batches:
                try:
                    results += yield from self._send_array(piece)
                    continue
                except BatchTooLarge as error:
                    if len(piece) > 1:
                        self._batch_most = _most_of(error, below=len(piece))
                    else:
                        self._takes_batches = False
                    continue
                except InvalidRequest:
                    self._takes_batches = False
                except AsapError as error:
                    results += [error] * len(piece)
                    continue
            stories = tuple(self.send(envelope) for envelope in piece)
            results += yield from ask(Together(stories, self._limits.batch_parallel))
        return results

    def stream(self, envelope: Envelope, *, idempotency_key: str | None = None) -> Steps[None]:
        """Delivers what the peer tells of a task, as it tells it, and its response last; raises as `send` does.

        A connection that drops is opened again with the same key from the event last seen, as the retry rule says:
        each that brings something new counts as a first try. A peer that knows no streams (before 2.2), or none of this
        request, is sent the request as it is. One that does not number what it tells, as the reference, would begin
        anew: once it has told something, its connection is not opened again, and its end is that of the stream.
        """
        key = self.new_id() if idempotency_key is None else _checked_key(idempotency_key)
        last = yield from self._followed(envelope, key)
        if last is None:
            return
        failed = (last.extensions or {}).get("error")
        if failed.__class__ is dict and isinstance(last.payload, TaskResponse):
            raise read_error(failed)
        yield from ask(Deliver(last))

    def _followed(self, envelope: Envelope, key: str) -> Steps[Envelope | None]:
        """The response, if there is one, once all before it is delivered."""
        if not self._is_vetted:
            yield from self.discover()
        rpc_id, place = self._next_id(), _Place()
        while True:
            place.attempt += 1
            self._ask_breaker()
            try:
                last = yield from self._listen(envelope, rpc_id, key, place)
            except AsapError as error:
                self._learn_from(error)
                if tells_of_change(error):
                    yield from self._discovery.forget()
                if not place.heard and (isinstance(error, NoHandler) or error.facts.get("status") in (404, 405)):
                    return (yield from self.send(envelope, idempotency_key=key))
                if place.heard and place.seen < 0:
                    raise
                if not self._retry.again(error, attempt=place.attempt):
                    raise
                pause = self._retry.pause(error, attempt=place.attempt, jitter=self._sources.tokens.jitter())
            else:
                self._learn_from(None)
                return last
            yield from ask(Pause(pause))

    def _listen(self, envelope: Envelope, rpc_id: str, key: str, place: _Place) -> Steps[Envelope | None]:
        """One connection: delivers what is new, and returns the response, if there is one."""
        before = place.seen
        while True:
            request = self._post(self._frame(envelope, rpc_id, key), key, path=STREAM_PATH, seen=before)
            request = yield from self._compressed(request)
            answer = yield from ask(OpenStream(self._vouched(request), self._timeout))
            self._learn(answer)
            try:
                head = self._reader.whole(answer)
                if not head.headers.get("content-type", "").startswith("text/event-stream"):
                    return check_pair(envelope, read_answer(self._reader.document(head.body), id=rpc_id))
                if head.headers.get("content-encoding", IDENTITY) != IDENTITY:
                    raise MalformedReply("the stream is compressed, which was not asked for")
                break
            except AsapError as error:
                if not self._gives_way(request, answer, error):
                    raise
        reader = EventReader(self._limits.reply_bytes)
        while (piece := (yield from ask(ReadStream(self._timeout)))) is not None:
            if isinstance(piece, TransportFailure):
                raise unanswered(piece)
            for event in reader.feed(piece):
                told = self._told(event, envelope)
                if _is_last(told):
                    return told
                number = _number(event.id)
                if number is not None:
                    if number <= before:
                        continue  # a peer that began anew: this was delivered by an earlier connection
                    place.seen, place.attempt = max(place.seen, number), 1
                place.heard = True
                yield from ask(Deliver(told))
        if place.heard and place.seen < 0:
            return None
        raise PeerUnreachable("the stream ended before the task did")

    def _told(self, event: Event, request: Envelope) -> Envelope:
        """The envelope of an event; raises `MalformedReply` or `MispairedReply`."""
        try:
            value = load(event.data, depth=self._limits.json_depth, values=self._limits.json_values)
        except MalformedJson as error:
            raise MalformedReply(f"an event is {error.message}") from None
        told = decode_envelope(value, lenient=True, error=MalformedReply, payload_error=MalformedReply)
        return check_pair(request, told)

    def discover(self) -> Steps[Manifest]:
        """The peer's manifest, asked again after `MANIFEST_TTL` seconds, or sooner where the peer says so.

        Raises `OtherAgent` for one of another agent than the one expected, `UnverifiedManifest` for one that is not
        signed as it has to be; neither is kept.
        """
        manifest = yield from self._discovery.manifest(is_vetted=self._is_vetted)
        self._is_vetted = True
        return manifest

    def _send_array(self, envelopes: Sequence[Envelope]) -> Steps[list[Envelope | AsapError]]:
        if not self._is_vetted:
            yield from self.discover()
        calls = [(self._next_id(), envelope, self.new_id()) for envelope in envelopes]

        def post() -> HttpRequest:
            return self._post([self._frame(envelope, id, key) for id, envelope, key in calls], None)

        def read(response: HttpResponse) -> list[Envelope | AsapError]:
            answers = self._reader.document(response.body)
            if answers.__class__ is not list:
                read_answer(answers, id=None)
                raise MalformedReply("a batch is answered by an array")
            by_id = {answer["id"]: answer for answer in answers if _has_id(answer)}
            return [_one(envelope, by_id.get(id), id) for id, envelope, _ in calls]

        results = yield from self._attempts(post, read)
        self._leaves = any(isinstance(one, MispairedReply) for one in results)
        if any(isinstance(one, AsapError) and tells_of_change(one) for one in results):
            yield from self._discovery.forget()
        return results

    def _attempts(
        self,
        make: Callable[[], HttpRequest],
        read: Callable[[HttpResponse], R],
        retry: RetryRule | None = None,
        timeout: float | None = None,
        *,
        vouches: bool = True,
        conditional: bool = False,
    ) -> Steps[R]:
        """Sends until an answer can be read, the retry rule gives up, or the breaker opens."""
        retry = retry or self._retry
        timeout = self._timeout if timeout is None else timeout
        attempt = 1
        while True:
            request = make()
            if self._agreement is not None:
                request = yield from self._compressed(request)
            if vouches:
                request = self._vouched(request)
            self._ask_breaker()
            answer: HttpResponse | TransportFailure | None = None
            try:
                transmit = Transmit(request, timeout)
                answer = told(transmit, (yield transmit))
                if self._agreement is not None:
                    self._learn(answer)
                result = read(self._reader.whole(answer, conditional=conditional))
            except AsapError as error:
                self._learn_from(error)
                if self._gives_way(request, answer, error):
                    continue  # at once, as the same try: with another nonce, and the same key
                if tells_of_change(error):
                    yield from self._discovery.forget()
                if not retry.again(error, attempt=attempt):
                    raise
                pause = retry.pause(error, attempt=attempt, jitter=self._sources.tokens.jitter())
            else:
                self._learn_from(None)
                return result
            yield from ask(Pause(pause))
            attempt += 1

    def _compressed(self, request: HttpRequest) -> Steps[HttpRequest]:
        """The request in the coding that is agreed on, if it is large. It is signed as it is sent: after this."""
        agreed = self._agreement
        if agreed is None or agreed.coding == IDENTITY or len(request.body) <= self._limits.compress_bytes:
            return request
        return (yield from compressed_request(request, agreed.coding, self._limits))

    def _learn(self, answer: HttpResponse | TransportFailure) -> None:
        """Notes which codings the peer says it takes, as RFC 7694 has it, with any of its answers."""
        if self._agreement is not None and isinstance(answer, HttpResponse):
            accepts = answer.headers.get("accept-encoding")
            if accepts is not None:
                self._agreement = self._agreement.heard(accepts)

    def _gives_way(
        self, request: HttpRequest, answer: HttpResponse | TransportFailure | None, error: AsapError
    ) -> bool:
        """Whether the peer could not undo the request's coding, and is sent another: by 415, or as if it were no JSON.

        The latter is what releases before 1.0 say, which do not look at Content-Encoding at all.
        """
        coding = request.headers.get("content-encoding")
        if self._agreement is None or coding is None or not isinstance(answer, HttpResponse):
            return False
        if error.facts.get("status") != 415 and not isinstance(error, MalformedJson):
            return False
        accepts = answer.headers.get("accept-encoding")
        if choose(accepts, (coding,)) == coding:
            return False  # it can, and means something else
        self._agreement = self._agreement.refused(coding, accepts)
        return True

    def _frame(self, envelope: Envelope, id: jsonrpc.RpcId, key: str) -> dict[str, Any]:
        document = encode(envelope)
        if self._nonces:
            # A retry carries a new nonce but the same key: the peer may have heard us the first time.
            nonce = {NONCE_EXTENSION: self._sources.tokens.nonce()}
            document["extensions"] = {**nonce, **(envelope.extensions or {})}
        return jsonrpc.request(document, id=id, idempotency_key=key)

    def _post(self, document: Any, key: str | None, *, path: str = ASAP_PATH, seen: int = -1) -> HttpRequest:
        headers = self._headers if key is None else {**self._headers, "x-idempotency-key": key}
        if self._leaves:
            headers = {**headers, "connection": "close"}
        if path == STREAM_PATH:
            headers = {**headers, "accept": "text/event-stream", "accept-encoding": "identity"}
            if seen >= 0:
                headers["last-event-id"] = str(seen)
        try:
            return HttpRequest("POST", path, headers, dump(document))
        except TypeError as error:
            raise InvalidValue(f"the envelope is no JSON: {error}") from None

    def _vouched(self, request: HttpRequest) -> HttpRequest:
        if self._credentials is None:
            return request
        added = self._credentials(request, self._sources.clock.now(), self._sources.tokens.nonce())
        return attrs.evolve(request, headers={**request.headers, **added})

    def _next_id(self) -> str:
        self._count += 1
        return f"req-{self._count}"

    def _ask_breaker(self) -> None:
        if self._breaker is None:
            return
        now = self._sources.clock.elapsed()
        allowed, self._breaker = self._breaker.admit(now)
        if not allowed:
            wait = self._breaker.open_until - now
            raise CircuitOpen(
                f"the peer failed {self._breaker.failures} times in a row", facts={"open_for_seconds": wait}
            )

    def _learn_from(self, error: AsapError | None) -> None:
        """What an exchange tells of those to come, by its error, if it had one.

        For the breaker only a peer that can't answer counts as failing; one that refuses is well.
        """
        self._leaves = isinstance(error, MispairedReply) or (self._leaves and error is not None)
        if self._breaker is None:
            return
        if isinstance(error, PeerUnreachable | PeerTimedOut | Overloaded):
            self._breaker = self._breaker.failed(self._sources.clock.elapsed())
        else:
            self._breaker = self._breaker.succeeded()


def _most_of(error: BatchTooLarge, *, below: int) -> int:
    """How many items the peer takes: as it says, where that is fewer than it refused, else half."""
    details = error.facts["data"].get("details")
    most = details.get("most") if details.__class__ is dict else None
    return most if most.__class__ is int and 0 < most < below else max(1, below // 2)


def _is_last(told: Envelope) -> bool:
    """Whether nothing follows: it is no news of a task, but what its request is answered with."""
    payload = told.payload
    if isinstance(payload, TaskResponse):
        return is_final(payload.status)
    if isinstance(payload, Value):
        return not isinstance(payload, _NEWS)
    return payload.get("final") is True  # a piece of the reference's


def _number(id: str | None) -> int | None:
    """The number that an id is, as every event of ours has one; a peer may have ids of another kind, or none."""
    return int(id) if id is not None and len(id) < 19 and id.isascii() and id.isdecimal() else None


def _has_id(answer: Any) -> bool:
    return answer.__class__ is dict and answer.get("id").__class__ is str


def _one(envelope: Envelope, answer: Any, id: jsonrpc.RpcId) -> Envelope | AsapError:
    """What became of one item of a batch."""
    if answer is None:
        return MalformedReply("the peer answered the batch without this item")
    try:
        return check_pair(envelope, read_answer(answer, id=id))
    except AsapError as error:
        return error


def _checked_key(key: str) -> str:
    """An idempotency key that may stand in a header too; raises `InvalidValue`."""
    if not 0 < len(key) <= KEY_LENGTH or not key.isascii() or not key.isprintable():
        raise InvalidValue(f"an idempotency key is 1 to {KEY_LENGTH} printable ASCII characters")
    return key
