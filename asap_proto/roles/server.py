"""The server's story: whatever arrives is answered, and what was accepted runs once."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from ..errors import (
    AsapError,
    InvalidTimestamp,
    Overloaded,
    StateUnavailable,
    Unauthenticated,
)
from ..http import HttpResponse, RequestHead
from ..limits import Limits
from ..model import Envelope, Manifest, Payload, StateQuery, TaskRequest
from ..rules.forwarding import Proxies
from ..rules.freshness import check_fresh
from ..rules.identity import SignedIdentity
from ..sources import Sources
from ..stores import Job, NonceClaim, PromptStore, Refused, TaskRecord
from ..wire import jsonrpc
from ..wire.json import load_weighed
from ..wire.nouns import decode_envelope
from .accepting import Accepting
from .admission import Admission, Admitted, NoncePolicy, json_response, refusal
from .commands import Accept, Handled, Observe, Together
from .compressing import compressed_response
from .judging import Judge, note_of
from .outcomes import Settled, settled_with
from .steps import Steps, ask
from .straight import Begun, Item, Straight
from .streaming import follow
from .working import Work

__all__ = ["ServerRole"]


class ServerRole:
    """One agent's side of every exchange. Any number of stories run at once; it holds which tasks they have in hand.

    `handles` are the payloads, besides task requests, that the agent has a handler of its own for; `restartable`
    the skills that may be run again, from the start, when their worker was lost.
    `encodings` are the content encodings that the front can undo, `compresses` those that large answers may have, best
    first; answers to callers on this machine only with `compresses_locally`.
    `worker` names the process among those that share a store; `durable` says whether the store outlives it.
    `hosts` are the names that the agent may be asked by, and whose pages may ask it; without them any.
    `challenges` are what a refusal says in WWW-Authenticate, one for each way in which callers may say who they are:
    with any, all are asked; without, those that the manifest names.
    `proxies` are believed when they say for whom they ask. `metered` are the skills that have a quota of their own.
    `enclosed` is the manifest signed in the form of newer peers, to publish beside it.
    `strict_http` gives refusals the status that HTTP has for them, which peers of old releases do not understand.
    """

    def __init__(
        self,
        manifest: Manifest,
        sources: Sources,
        *,
        handles: Collection[type[Payload]] = (),
        restartable: Collection[str] = (),
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        encodings: tuple[str, ...] = ("gzip",),
        quota: bool = False,
        nonces: NoncePolicy = "accept",
        check_recipient: bool = False,
        worker: str = "worker",
        durable: bool = False,
        hosts: Collection[str] | None = None,
        challenges: Sequence[str] | None = None,
        strict_http: bool = False,
        proxies: Proxies = Proxies(),  # noqa: B008  (frozen)
        metered: Collection[str] = (),
        enclosed: bytes | None = None,
        compresses: tuple[str, ...] = (),
        compresses_locally: bool = False,
    ) -> None:
        self._manifest = manifest
        self._sources = sources
        self._limits = limits
        #: What is said of a request before its body is read: for fronts that remember heads.
        self.admission = Admission(
            manifest,
            sources,
            limits=limits,
            encodings=encodings,
            quota=quota,
            hosts=hosts,
            challenges=challenges,
            strict_http=strict_http,
            proxies=proxies,
            enclosed=enclosed,
            compresses=compresses,
            compresses_locally=compresses_locally,
        )
        self._metered = frozenset(metered)
        self._judge = Judge(manifest, sources, limits, handles=handles, nonces=nonces, check_recipient=check_recipient)
        self._work = Work(
            manifest.id,
            sources,
            limits,
            skills=self._judge.skills,
            restartable=restartable,
            durable=durable,
            worker=worker,
        )
        #: The tasks that this worker has in hand, and how many stories have each.
        self.live = self._work.live
        self.worker = worker
        self._durable = durable
        self.lease = self._work.lease
        self._accepting = Accepting(
            manifest.id,
            worker,
            sources,
            limits,
            admission=self.admission,
            work=self._work,
            skills=self._judge.skills,
            metered=self._metered,
        )

    def felt(self, delay: float) -> None:
        """What was due just now came `delay` seconds late: beyond `Limits.late_seconds` work is turned away."""
        self.admission.felt(delay)

    def admit(self, head: RequestHead) -> Steps[Admitted | HttpResponse]:
        """Looks at the headers: answers at once, or says how the body is to be read."""
        return self.admission.admit(head)

    def refuse(self, admitted: Admitted, error: AsapError) -> HttpResponse:
        """The answer to a body that could not be read."""
        return self.admission.refusal(error, admitted.headers)

    def unread(self, admitted: Admitted, error: AsapError) -> Steps[HttpResponse]:
        """The answer to a body that could not be read, or is not the one that was signed."""
        yield Observe(Handled("other", error.code, 0.0, note_of(error, None, admitted.caller)))
        return self.refuse(admitted, error)

    def turn_away(self) -> Steps[HttpResponse]:
        """The answer where so many requests are being answered that this one is not even looked at."""
        error = Overloaded("too many requests are being answered", facts={"retry_after": 1})
        yield Observe(Handled("other", error.code, 0.0))
        return refusal(error)

    def receive(self, admitted: Admitted, body: bytes) -> Steps[HttpResponse]:
        """Answers the body, whatever it is; raises only on our own bugs."""
        if admitted.proof is None:
            story = self._received(admitted, body)
        else:
            story = self._proved(admitted, admitted.proof, body)
        return story if admitted.coding is None else self._sent(story, admitted.coding)

    def _sent(self, story: Steps[HttpResponse], coding: str) -> Steps[HttpResponse]:
        return (yield from self.compressed((yield from story), coding))

    def compressed(self, response: HttpResponse, coding: str) -> Steps[HttpResponse]:
        """An answer as it is sent, for whoever has made it by other ways than `receive`; `coding` is `Admitted`'s."""
        return compressed_response(response, coding, self._limits)

    def _proved(self, admitted: Admitted, proof: SignedIdentity, body: bytes) -> Steps[HttpResponse]:
        try:
            yield from self._claim(proof)
        except AsapError as error:
            return (yield from self.unread(admitted, error))
        return (yield from self._received(admitted, body))

    def _claim(self, proof: SignedIdentity) -> Steps[None]:
        """Lets a signature in once, before anything is done; raises `Unauthenticated` or `Overloaded`."""
        at = self._sources.clock.now()
        now = at.timestamp()
        try:
            # Whoever lets the body drip could outwait the memory of the nonce.
            check_fresh(proof.created, now=at, limits=self._limits)
        except InvalidTimestamp:
            raise Unauthenticated("the signature is too old by now") from None
        nonce = f"signature:{proof.key_id}:{proof.nonce}"
        claim = NonceClaim(proof.urn, nonce, now + self._limits.nonce_seconds)
        answer = yield from ask(Accept(None, claim, (), now))
        if isinstance(answer, Refused):
            if answer.why == "repeated":
                raise Unauthenticated("this signature was used before")
            raise Overloaded("too many nonces are remembered", facts={"retry_after": 1})

    def _received(self, admitted: Admitted, body: bytes) -> Steps[HttpResponse]:
        try:
            document, held = self.load(admitted, body)
        except AsapError as error:
            return (yield from self.unread(admitted, error))
        size = len(body)
        del body  # nothing is kept of it beside what was read
        if document.__class__ is list:
            return (yield from self._batch(document, admitted, size, held))
        return self.answer((yield from self.item(document, "$", admitted, size, held)), admitted)

    def _batch(self, batch: list[Any], admitted: Admitted, size: int, held: int) -> Steps[HttpResponse]:
        try:
            admitted, held = yield from self.open_batch(batch, admitted, held)
        except AsapError as error:
            return (yield from self.unread(admitted, error))
        stories = tuple(self.item(frame, f"$[{index}]", admitted, size, held) for index, frame in enumerate(batch))
        return self.answer_batch((yield from ask(Together(stories, self._limits.batch_parallel))), admitted)

    def load(self, admitted: Admitted, body: bytes) -> tuple[Any, int]:
        """The JSON value of a body, and what it takes in memory; raises `MalformedJson`.

        It is a request, a batch of them, or whatever else.
        """
        limits, unique = self._limits, admitted.caller is not None
        return load_weighed(body, depth=limits.json_depth, values=limits.json_values, unique=unique)

    def open_batch(self, batch: list[Any], admitted: Admitted, held: int) -> Steps[tuple[Admitted, int]]:
        """Lets a batch in, and charges for it; tells also what each of its requests is taken to hold of `held` bytes.

        Raises `InvalidRequest`, `BatchTooLarge` or `RateLimited`.
        """
        jsonrpc.check_batch(batch, most=self._limits.batch_items)
        admitted = yield from self.admission.spend_batch(admitted, len(batch))
        # Whichever of them is the larger: they come together, and go at about the same time.
        return admitted, held // len(batch) + 1

    def answer_batch(self, items: Sequence[Item], admitted: Admitted) -> HttpResponse:
        """The whole answer to a batch, whose items are in the order of its requests."""
        answers = [item.whole() for item in items if not item.silent]
        if not answers:
            return _silence(admitted)
        return json_response(200, b"[" + b",".join(answers) + b"]", admitted.headers)

    def answer(self, item: Item, admitted: Admitted) -> HttpResponse:
        """The whole answer to a request that came alone."""
        if item.silent:
            return _silence(admitted)
        if item.error is not None and self.admission.is_refusal(item.error):
            return self.admission.refusal(item.error, admitted.headers, body=item.whole())
        return HttpResponse(200, admitted.headers, item.whole())

    def straight(self, state: PromptStore, observe: Callable[[Handled], None]) -> Straight:
        """The way past the stories for what is usual, where `state` answers at once."""
        return Straight(
            self._judge,
            self._work,
            self._sources,
            state,
            observe,
            metered=self._metered,
            task_seconds=self._limits.task_seconds,
        )

    def go_on(self, begun: Begun, frame: Any, place: str, admitted: Admitted) -> Steps[Item]:
        """What becomes of a request that was begun straight on: the first that is asked is to run its handler."""
        invoke, started = begun
        envelope = invoke.job.envelope
        try:
            settled = yield from self._work.run(invoke.task)
        except AsapError as error:
            settled = settled_with(error, place + jsonrpc.ENVELOPE_PATH[1:])
        yield self._dealt_with(settled, envelope.payload_type, started, envelope, admitted)
        return Item(frame.get("id"), settled.member, settled.error, "id" not in frame)

    def stream(self, admitted: Admitted, body: bytes) -> Steps[HttpResponse | None]:
        """Answers in parts, by `Emit`: what the task does, as it does it, and its response (ASAP: streams, since 2.2).

        A task request is accepted and runs whoever listens; the same request again, or a state query, follows it from
        the event after the one last seen. What can't be followed has a whole answer.
        """
        started, payload_type, place = self._sources.clock.elapsed(), "other", "$"
        id: jsonrpc.RpcId = None
        envelope: Envelope | None = None
        try:
            if admitted.proof is not None:
                yield from self._claim(admitted.proof)
            frame, held = self.load(admitted, body)
            id = jsonrpc.rpc_id(frame)
            value, key = jsonrpc.check_call(frame)
            place = jsonrpc.ENVELOPE_PATH
            envelope = decode_envelope(value, size=len(body))
            judged = self._judge.judge(envelope, key, admitted, held)
            payload_type = envelope.payload_type
            if isinstance(judged.job.payload, StateQuery) and judged.name is None:
                record = yield from self._accepting.find(judged)
            elif isinstance(judged.job.payload, TaskRequest):
                record = yield from self._accepting.submit(judged)
            else:
                settled = yield from self._accepting.settle(judged, place)
                yield self._dealt_with(settled, payload_type, started, envelope, admitted)
                item = Item(id, settled.member, settled.error, jsonrpc.is_notification(frame))
                return self.answer(item, admitted)
        except AsapError as error:
            seconds = self._sources.clock.elapsed() - started
            yield Observe(Handled(payload_type, error.code, seconds, note_of(error, envelope, admitted.caller)))
            return self._refused(error.under(place), admitted, id)
        yield Observe(Handled(payload_type, None, self._sources.clock.elapsed() - started))
        poll = self._limits.beat_seconds if self._durable else self._limits.stream_beat_seconds
        try:
            yield from follow(
                record,
                envelope,
                admitted,
                agent=self._manifest.id,
                sources=self._sources,
                limits=self._limits,
                poll=poll,
            )
        except StateUnavailable as error:
            return self._refused(error, admitted, id)
        return None

    def _refused(self, error: AsapError, admitted: Admitted, id: jsonrpc.RpcId) -> HttpResponse:
        if self.admission.is_refusal(error):
            return self.admission.refusal(error, admitted.headers, id=id)
        return json_response(200, jsonrpc.answer(jsonrpc.failure(error), id), admitted.headers)

    def item(self, frame: Any, place: str, admitted: Admitted, size: int, held: int) -> Steps[Item]:
        """One request, told from its frame to its answer; a notification's is not sent.

        `size` is that of the whole text, `held` what the request takes in memory.
        """
        started = self._sources.clock.elapsed()
        payload_type = "other"
        envelope: Envelope | None = None
        try:
            value, key = jsonrpc.check_call(frame)
        except AsapError as found:
            # What is no request at all can't be a notification, so it is answered (JSON-RPC 2.0 section 5).
            silent = jsonrpc.is_notification(frame) and found.kind.rpc_code != -32600
            settled = settled_with(found, place)
        else:
            silent = "id" not in frame
            try:
                envelope = decode_envelope(value, size=size)
                judged = self._judge.judge(envelope, key, admitted, held)
                payload_type = envelope.payload_type
            except AsapError as found:
                settled = settled_with(found, place + jsonrpc.ENVELOPE_PATH[1:])
            else:
                settled = yield from self._accepting.settle(judged, place + jsonrpc.ENVELOPE_PATH[1:])
        yield self._dealt_with(settled, payload_type, started, envelope, admitted)
        return Item(jsonrpc.rpc_id(frame), settled.member, settled.error, silent)

    def _dealt_with(
        self, settled: Settled, payload_type: str, started: float, envelope: Envelope | None, admitted: Admitted
    ) -> Observe:
        """What is told of a request for those who count."""
        error, seconds = settled.error, self._sources.clock.elapsed() - started
        if error is None:
            return Observe(Handled(payload_type, None, seconds))
        return Observe(Handled(payload_type, error.code, seconds, note_of(error, envelope, admitted.caller)))

    def abandon(self, job: Job) -> Steps[None]:
        """Cancels what runs for a caller that hung up. What was submitted, or is followed, needs no caller.

        A caller with an idempotency key may have lost nothing but its connection: it has `Limits.return_seconds` to
        come back, each time.
        """
        return self._accepting.abandon(job)

    def recover(self, record: TaskRecord) -> Steps[None]:
        """Goes on with a task whose worker was lost, where that is safe; else it is reported failed."""
        return self._work.recover(record)


def _silence(admitted: Admitted) -> HttpResponse:
    """The answer where none is wanted: nothing, and so of no type."""
    return HttpResponse(204, {name: value for name, value in admitted.headers.items() if name != "content-type"})
