"""The server's story: whatever arrives is answered, and what was accepted runs once."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from copy import copy
from datetime import datetime
from hashlib import blake2b
from typing import Any

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
from ..plain import plain
from ..rules.freshness import check_fresh, nonce_of
from ..rules.identity import Identity, check_sender
from ..rules.nesting import depth_of
from ..rules.slot import Busy, Fresh, Kept, SlotAnswer
from ..sources import Sources
from ..stores import Claim, SlotKey
from ..wire import jsonrpc
from ..wire.json import dump, load
from ..wire.nouns import decode_envelope, encode, encode_reply, encode_result
from .admission import Admission, Admitted, NoncePolicy, json_response, refusal
from .commands import (
    ClaimNonce,
    Failed,
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
from .steps import Steps, ask, told

__all__ = ["TOLD", "ServerRole"]

#: What a handler may raise to be told to the peer as it is. Any other exception is a failure of ours.
TOLD = (InvalidInput, TaskNotFound, TaskFinished, IllegalMove, SkillNotFound, NestedTooDeep)

#: What the ids of tasks begin with, as every release writes them.
_TASK = "task_"

#: Where the envelope stands in a request.
_ENVELOPE = "$.params.envelope"


@plain
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
            if batch:
                yield from self._admission.spend_batch(admitted.quota_key, len(batch))
        except AsapError as error:
            yield Observe(Handled("other", error.code, 0.0))
            return refusal(error, admitted.headers)
        if batch is None:
            item = yield from self._item(document, "$", admitted, len(body))
            return self._single(item, admitted)
        stories = tuple(self._item(frame, f"$[{index}]", admitted, len(body)) for index, frame in enumerate(batch))
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

    def _item(self, frame: Any, place: str, admitted: Admitted, size: int) -> Steps[_Item]:
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
                envelope = decode_envelope(value, size=size)
                name, now, nonce = self._judge(envelope, admitted.caller)
                payload_type = envelope.payload_type
                job = self._job(envelope, name, now, admitted.caller)
                member, error = yield from self._accept(job, name, nonce, key, started)
            except AsapError as found:
                error = found.under(place + _ENVELOPE[1:])
                member = jsonrpc.failure(error)
        seconds = self._sources.clock.elapsed() - started
        yield Observe(Handled(payload_type, error.code if error else None, seconds))
        return _Item(jsonrpc.rpc_id(frame), member, error, silent)

    def _judge(self, envelope: Envelope, caller: Identity | None) -> tuple[str, datetime, str | None]:
        """Sender, recipient, time, nonce, handler, in this order (ASAP: order of checks).

        Answers the handler's name, the time, and the nonce, which is claimed last of all.
        """
        check_sender(envelope.sender, caller=caller)
        if self._check_recipient and envelope.recipient != self._manifest.id:
            raise WrongRecipient(f"this is {self._manifest.id}", path="$.recipient")
        now = self._sources.clock.now()
        if envelope.timestamp is not None:
            check_fresh(envelope.timestamp, now=now, limits=self._limits)
        elif self._nonces == "require":
            raise InvalidTimestamp("a timestamp is required", path="$.timestamp")
        nonce, payload = self._nonce(envelope), envelope.payload
        if isinstance(payload, TaskRequest):
            return payload.skill_id, now, nonce
        if not isinstance(payload, Value) or type(payload) not in self._handles:
            shown = envelope.payload_type[:64]
            raise NoHandler("no handler for this payload type", path="$.payload_type", facts={"payload_type": shown})
        return payload_name(type(payload)), now, nonce

    def _job(self, envelope: Envelope, name: str, now: datetime, caller: Identity | None) -> Job:
        """What the handler is given; raises `NestedTooDeep` or `SkillNotFound`."""
        depth = depth_of(envelope.extensions, most=self._limits.task_depth)
        if isinstance(envelope.payload, TaskRequest) and name not in self._skills:
            raise SkillNotFound("no such skill", path="$.payload.skill_id", facts={"skill_id": name[:64]})
        task_id = _TASK + self._sources.tokens.new_id(now)
        return Job(envelope.payload, envelope, task_id, depth, caller)  # type: ignore[arg-type]

    def _accept(
        self, job: Job, name: str, nonce: str | None, key: str | None, now: float
    ) -> Steps[tuple[bytes, AsapError | None]]:
        """The slot, then the nonce; then the handler; then the reply is kept. `now` is monotonic."""
        envelope = job.envelope
        slot = (job.caller.urn if job.caller else envelope.sender, key) if key else None
        if slot:
            open_slot = self._open(slot, envelope, now)
            kept = _reply_kept(told(open_slot, (yield open_slot)))
            if kept is not None:
                return kept, jsonrpc.failed(kept)
        if nonce:
            claim_nonce = ClaimNonce(envelope.sender, nonce, now, now + self._limits.nonce_seconds)
            claim = told(claim_nonce, (yield claim_nonce))
            if claim != "claimed":
                if slot:
                    yield self._keep(slot, None)
                raise _unclaimed(claim)

        invoke = Invoke(name, job, self._limits.handler_seconds)
        try:
            outcome = told(invoke, (yield invoke))
        except GeneratorExit:  # nobody is left to be asked; the slot ends at its time
            raise
        except BaseException:
            # Cut off, perhaps by a server that shuts down: a retry is to run.
            if slot:
                yield self._keep(slot, None)
            raise
        error: AsapError | None = None
        try:
            member = self._reply(job, outcome)
        except AsapError as found:
            error = found.under(_ENVELOPE)
            member = jsonrpc.failure(error)
            if isinstance(outcome, Returned):
                yield Observe(Failed(name, job.task_id, f"{found.message} {found.__cause__ or ''}".rstrip()))
        if slot:
            yield self._keep(slot, None if error and error.retryable else member)
        return member, error

    def _nonce(self, envelope: Envelope) -> str | None:
        if self._nonces == "ignore":
            return None
        nonce = nonce_of(envelope.extensions)
        if nonce is None and self._nonces == "require":
            raise InvalidNonce("a nonce is required", path="$.extensions.nonce")
        return nonce

    def _open(self, slot: SlotKey, envelope: Envelope, now: float) -> OpenSlot:
        # A busy slot outlives its handler, so that a reply can still be kept; it ends even if none ever is.
        until = now + self._limits.handler_seconds + self._limits.slot_seconds
        return OpenSlot(slot, _digest(envelope), now, until)

    def _keep(self, slot: SlotKey, member: bytes | None) -> KeepReply:
        return KeepReply(slot, member, self._sources.clock.elapsed() + self._limits.slot_seconds)

    def _reply(self, job: Job, outcome: Outcome) -> bytes:
        """The member to answer with; raises what the peer is told of a failure."""
        if isinstance(outcome, Saturated):
            raise Overloaded("every handler thread is busy", facts={"retry_after": 1})
        if isinstance(outcome, Raised):
            raise _told(outcome.error)
        if not isinstance(outcome, Returned):
            raise HandlerTimedOut(f"the handler ran longer than {self._limits.handler_seconds:g} s")
        kind, payload = _payload(job, outcome.value)
        # One ULID names the task and the envelope that answers it: to make one is dear, and one is unique enough.
        made, now = job.task_id.removeprefix(_TASK), self._sources.clock.now()
        try:
            return jsonrpc.success(encode_reply(job.envelope, kind, payload, id=made, at=now, sender=self._manifest.id))
        except TypeError as error:
            raise HandlerFailed("the handler returned something that is no JSON") from error


def _unclaimed(claim: Claim) -> AsapError:
    """Why a nonce could not be claimed."""
    if claim == "full":
        return Overloaded("too many nonces are remembered", facts={"retry_after": 1})
    return InvalidNonce("this nonce was used before", path="$.extensions.nonce")


def _reply_kept(answer: SlotAnswer) -> bytes | None:
    """The kept reply, if this was asked before; nothing if it is to be run now."""
    if isinstance(answer, Fresh):
        return None
    if isinstance(answer, Kept):
        return answer.reply
    if isinstance(answer, Busy):
        raise StillRunning("the same request is running", facts={"retry_after": 1})
    raise KeyReused("this idempotency key stands for another request")


def _told(error: Exception) -> AsapError:
    """What the peer hears of a handler's exception: a copy, for a handler may raise the same one again."""
    # What a peer reported to the handler (it has that peer's number) is about another request than ours.
    if isinstance(error, TOLD) and "rpc_code" not in error.facts:
        with suppress(TypeError):  # the facts are the handler's, and may be no JSON
            jsonrpc.failure(error)
            return copy(error)
    return HandlerFailed("the handler failed")


def _payload(job: Job, value: Any) -> tuple[type[Payload], dict[str, Any]]:
    """What a handler returned, as the payload of the reply: its kind, and the plain object."""
    if isinstance(value, Value) and isinstance(value, Payload):
        return type(value), encode(value)
    if isinstance(job.payload, TaskRequest) and (value is None or isinstance(value, dict)):
        return TaskResponse, encode_result(job.task_id, value)
    if value is None and (task_id := getattr(job.payload, "task_id", None)) is not None:
        status = getattr(job.payload, "status", TaskStatus.WORKING)
        return TaskResponse, encode(TaskResponse(task_id, status))
    raise HandlerFailed("the handler returned neither an object nor a payload")


def _digest(envelope: Envelope) -> bytes:
    """What makes two requests the same: all but what a retry renews (its nonce and its time)."""
    payload = encode(envelope.payload)  # type: ignore[arg-type]
    told = dump([envelope.id, envelope.sender, envelope.recipient, envelope.payload_type, payload])
    return blake2b(told, digest_size=16).digest()
