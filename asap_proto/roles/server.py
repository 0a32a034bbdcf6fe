"""The server's story: whatever arrives is answered, and what was accepted runs once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from attrs import frozen

from ..errors import (
    AsapError,
    HandlerFailed,
    HandlerTimedOut,
    IllegalMove,
    InvalidInput,
    InvalidNonce,
    InvalidTimestamp,
    KeyReused,
    NestedTooDeep,
    NoHandler,
    Overloaded,
    SkillNotFound,
    StillRunning,
    TaskFinished,
    TaskNotFound,
    WrongRecipient,
)
from ..http import HttpResponse, RequestHead
from ..limits import Limits
from ..model import Envelope, Manifest, Payload, TaskRequest, TaskResponse, TaskStatus, payload_name
from ..model._value import Value
from ..rules.freshness import check_fresh, nonce_of
from ..rules.identity import check_sender
from ..rules.nesting import depth_of
from ..rules.slot import Busy, Kept, Reused
from ..sources import Sources
from ..stores import SlotKey
from ..wire import jsonrpc
from ..wire.converter import decode_envelope, encode
from ..wire.json import dump, load
from .admission import Admission, Admitted, NoncePolicy, json_response, refusal
from .commands import (
    ClaimNonce,
    Handled,
    Invoke,
    Job,
    KeepReply,
    Observe,
    OpenSlot,
    Outcome,
    Raised,
    Returned,
    Saturated,
    Together,
)
from .steps import Steps, ask

__all__ = ["ServerRole"]

#: What a handler may raise to be told to the peer as it is. Any other exception is a failure of ours.
_TOLD = (InvalidInput, TaskNotFound, TaskFinished, IllegalMove, SkillNotFound, NestedTooDeep)

#: Where the envelope stands in a request.
_ENVELOPE = "$.params.envelope"


@frozen
class _Item:
    """What became of one request: the member to answer with, and where it failed, the error."""

    id: jsonrpc.RpcId
    member: bytes
    error: AsapError | None
    silent: bool

    def whole(self) -> bytes:
        return jsonrpc.answer(self.member, self.id)


class ServerRole:
    """One agent's side of every exchange. Holds no mutable state; any number of stories run at once.

    `handles` are the payloads, besides task requests, that the agent has a handler for.
    `encodings` are the content encodings that the front can undo.
    """

    def __init__(
        self,
        manifest: Manifest,
        sources: Sources,
        *,
        handles: Collection[type[Payload]] = (),
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        encodings: tuple[str, ...] = ("gzip",),
        quota: bool = False,
        nonces: NoncePolicy = "accept",
        check_recipient: bool = False,
    ) -> None:
        self._manifest = manifest
        self._sources = sources
        self._skills = frozenset(skill.id for skill in manifest.capabilities.skills)
        self._handles = frozenset(handles)
        self._limits = limits
        self._nonces = nonces
        self._check_recipient = check_recipient
        self._admission = Admission(manifest, sources, limits=limits, encodings=encodings, quota=quota)

    def admit(self, head: RequestHead) -> Steps[Admitted | HttpResponse]:
        """Looks at the headers: answers at once, or says how the body is to be read."""
        return self._admission.admit(head)

    def refuse(self, admitted: Admitted, error: AsapError) -> HttpResponse:
        """The answer to a body that could not be read."""
        return refusal(error, admitted.headers)

    def receive(self, admitted: Admitted, body: bytes) -> Steps[HttpResponse]:
        """Answers the body, whatever it is; raises only on our own bugs."""
        try:
            document = load(body, depth=self._limits.json_depth, unique=admitted.caller is not None)
            batch = jsonrpc.split(document, most=self._limits.batch_items)
            yield from self._admission.spend(admitted.quota_key, len(batch) - 1 if batch else 0)
        except AsapError as error:
            yield from ask(Observe(Handled("other", error.code, 0.0)))
            return refusal(error, admitted.headers)
        if batch is None:
            item = yield from self._item(document, "$", admitted)
            return self._single(item, admitted)
        stories = tuple(self._item(frame, f"$[{index}]", admitted) for index, frame in enumerate(batch))
        items = yield from ask(Together(stories, self._limits.batch_parallel))
        answers = [item.whole() for item in items if not item.silent]
        if not answers:
            return HttpResponse(204, admitted.headers)
        return json_response(200, b"[" + b",".join(answers) + b"]", admitted.headers)

    def _single(self, item: _Item, admitted: Admitted) -> HttpResponse:
        if item.silent:
            return HttpResponse(204, admitted.headers)
        if item.error is not None and item.error.kind.http_status != 200:
            return refusal(item.error, admitted.headers, id=item.id)
        return json_response(200, item.whole(), admitted.headers)

    def _item(self, frame: Any, place: str, admitted: Admitted) -> Steps[_Item]:
        """One request, told from its frame to its answer; a notification's is not sent."""
        started = self._sources.clock.elapsed()
        payload_type = "other"
        error: AsapError | None = None
        try:
            value, key = jsonrpc.check_call(frame)
        except AsapError as found:
            # What is no request at all can't be a notification, so it is answered (JSON-RPC 2.0 section 5).
            silent = jsonrpc.is_notification(frame) and found.kind.rpc_code != -32600
            error = found.under(place)
            member = jsonrpc.failure(error)
        else:
            silent = "id" not in frame
            try:
                envelope = decode_envelope(value)
                name = self._handler_name(envelope)
                payload_type = envelope.payload_type
                member, error = yield from self._accept(envelope, name, key, admitted)
            except AsapError as found:
                error = found.under(place + _ENVELOPE[1:])
                member = jsonrpc.failure(error)
        seconds = self._sources.clock.elapsed() - started
        yield from ask(Observe(Handled(payload_type, error.code if error else None, seconds)))
        return _Item(jsonrpc.rpc_id(frame), member, error, silent)

    def _handler_name(self, envelope: Envelope) -> str:
        payload = envelope.payload
        if isinstance(payload, TaskRequest):
            return payload.skill_id
        if not isinstance(payload, Value) or type(payload) not in self._handles:
            shown = envelope.payload_type[:64]
            raise NoHandler("no handler for this payload type", path="$.payload_type", facts={"payload_type": shown})
        return payload_name(type(payload))

    def _accept(
        self, envelope: Envelope, name: str, key: str | None, admitted: Admitted
    ) -> Steps[tuple[bytes, AsapError | None]]:
        """The ladder: sender, time, depth, skill, slot, nonce; then the handler; then the reply is kept."""
        check_sender(envelope.sender, caller=admitted.caller)
        if self._check_recipient and envelope.recipient != self._manifest.id:
            raise WrongRecipient(f"this is {self._manifest.id}", path="$.recipient")
        now, nonce = self._sources.clock.now(), self._nonce(envelope)
        if envelope.timestamp is not None:
            check_fresh(envelope.timestamp, now=now, limits=self._limits)
        elif self._nonces == "require":
            raise InvalidTimestamp("a timestamp is required", path="$.timestamp")
        depth = depth_of(envelope.extensions, most=self._limits.task_depth)
        if isinstance(envelope.payload, TaskRequest) and name not in self._skills:
            raise SkillNotFound("no such skill", path="$.payload.skill_id", facts={"skill_id": name[:64]})

        slot = (admitted.caller.urn if admitted.caller else envelope.sender, key) if key else None
        if slot:
            kept = yield from self._open(slot, envelope)
            if kept is not None:
                return kept, None
        if nonce:
            yield from self._claim(envelope.sender, nonce, slot)

        task_id = f"task_{self._sources.tokens.new_id(now)}"
        job = Job(envelope.payload, envelope, task_id, depth, admitted.caller)  # type: ignore[arg-type]
        outcome = yield from ask(Invoke(name, job, self._limits.handler_seconds))
        error: AsapError | None = None
        try:
            member = self._reply(job, outcome)
        except AsapError as found:
            error = found.under(_ENVELOPE)
            member = jsonrpc.failure(error)
        if slot:
            yield from self._keep(slot, None if error and error.retryable else member)
        return member, error

    def _nonce(self, envelope: Envelope) -> str | None:
        if self._nonces == "ignore":
            return None
        nonce = nonce_of(envelope.extensions)
        if nonce is None and self._nonces == "require":
            raise InvalidNonce("a nonce is required", path="$.extensions.nonce")
        return nonce

    def _open(self, slot: SlotKey, envelope: Envelope) -> Steps[bytes | None]:
        """The kept reply, if this was asked before; nothing if it is to be run now."""
        now = self._sources.clock.elapsed()
        # A busy slot outlives its handler, so that a reply can still be kept; it ends even if none ever is.
        until = now + self._limits.handler_seconds + self._limits.slot_seconds
        answer = yield from ask(OpenSlot(slot, _digest(envelope), now, until))
        if isinstance(answer, Busy):
            raise StillRunning("the same request is running", facts={"retry_after": 1})
        if isinstance(answer, Reused):
            raise KeyReused("this idempotency key stands for another request")
        return answer.reply if isinstance(answer, Kept) else None

    def _claim(self, sender: str, nonce: str, slot: SlotKey | None) -> Steps[None]:
        now = self._sources.clock.elapsed()
        claim = yield from ask(ClaimNonce(sender, nonce, now, now + self._limits.nonce_seconds))
        if claim == "claimed":
            return
        if slot:
            yield from self._keep(slot, None)
        if claim == "full":
            raise Overloaded("too many nonces are remembered", facts={"retry_after": 1})
        raise InvalidNonce("this nonce was used before", path="$.extensions.nonce")

    def _keep(self, slot: SlotKey, member: bytes | None) -> Steps[None]:
        until = self._sources.clock.elapsed() + self._limits.slot_seconds
        yield from ask(KeepReply(slot, member, until))

    def _reply(self, job: Job, outcome: Outcome) -> bytes:
        """The member to answer with; raises what the peer is told of a failure."""
        if isinstance(outcome, Saturated):
            raise Overloaded("every handler thread is busy", facts={"retry_after": 1})
        if isinstance(outcome, Raised):
            raise outcome.error if isinstance(outcome.error, _TOLD) else HandlerFailed("the handler failed")
        if not isinstance(outcome, Returned):
            raise HandlerTimedOut(f"the handler ran longer than {self._limits.handler_seconds:g} s")
        request, payload = job.envelope, _payload(job, outcome.value)
        now = self._sources.clock.now()
        made = self._sources.tokens.new_id(now)
        reply = Envelope(
            id=made,
            asap_version=request.asap_version,
            timestamp=now,
            sender=self._manifest.id,
            recipient=request.sender,
            payload_type=payload_name(type(payload), like=request.payload_type),
            payload=payload,
            # A request without an id can't be named; the reply still has to answer something.
            correlation_id=request.id or made,
            trace_id=request.trace_id,
        )
        try:
            return jsonrpc.success(encode(reply))
        except TypeError:
            raise HandlerFailed("the handler returned something that is no JSON") from None


def _payload(job: Job, value: Any) -> Payload:
    """What a handler returned, as the payload of the reply."""
    if isinstance(value, Value) and isinstance(value, Payload):
        return value
    if isinstance(job.payload, TaskRequest) and (value is None or isinstance(value, dict)):
        return TaskResponse(job.task_id, TaskStatus.COMPLETED, value)
    if value is None and (task_id := getattr(job.payload, "task_id", None)) is not None:
        return TaskResponse(task_id, getattr(job.payload, "status", TaskStatus.WORKING))
    raise HandlerFailed("the handler returned neither an object nor a payload")


def _digest(envelope: Envelope) -> bytes:
    """What makes two requests the same: all but what a retry renews (its nonce and its time)."""
    head = f"{envelope.id}\n{envelope.sender}\n{envelope.recipient}\n{envelope.payload_type}\n"
    body = dump(encode(envelope.payload)) if isinstance(envelope.payload, Value) else dump(envelope.payload)
    return hashlib.blake2b(head.encode() + body, digest_size=16).digest()
