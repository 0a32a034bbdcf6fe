"""What a request is, and whether it may be accepted: all that can be said before anything is remembered of it."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

from ..errors import (
    AsapError,
    InvalidNonce,
    InvalidTimestamp,
    NoHandler,
    SenderMismatch,
    SkillNotFound,
    Unauthenticated,
    WrongRecipient,
)
from ..limits import Limits
from ..model import Envelope, Manifest, McpToolCall, Payload, TaskRequest, payload_name
from ..model._value import Value
from ..plain import made
from ..rules.freshness import check_fresh, nonce_of
from ..rules.identity import Identity, check_sender
from ..rules.nesting import DEPTH_EXTENSION, depth_of
from ..rules.redaction import redact
from ..sources import Sources
from ..stores import Job, NonceClaim, Slot
from ..stores.records import TASK_PREFIX
from ..wire.json import dump
from ..wire.nouns import encode
from .admission import Admitted, NoncePolicy
from .answering import ANSWERED

__all__ = ["ASYNC_PREFERENCE", "PREFER_EXTENSION", "Judge", "Judged", "note_of", "prefers_async"]

#: Where a request asks to be answered at once, in the words of RFC 7240.
PREFER_EXTENSION = "prefer"
ASYNC_PREFERENCE = "respond-async"


class Judged(NamedTuple):
    """A request that may be accepted: `name` is its handler's, none for a built-in answer."""

    job: Job
    name: str | None
    at: datetime
    nonce: NonceClaim | None
    payer: str


class Judge:
    """Says of each envelope whether one agent takes it, and what for."""

    def __init__(
        self,
        manifest: Manifest,
        sources: Sources,
        limits: Limits,
        *,
        handles: Collection[type[Payload]],
        nonces: NoncePolicy,
        check_recipient: bool,
    ) -> None:
        self._agent = manifest.id
        self._now = sources.clock.now
        self._new_id = sources.tokens.new_id
        self._limits = limits
        self._ahead_seconds, self._oldest_seconds = limits.ahead_seconds, limits.oldest_seconds
        #: The skills that the agent has.
        self.skills = frozenset(skill.id for skill in manifest.capabilities.skills)
        self._handles = frozenset(handles)
        self._nonces = nonces
        self._check_recipient = check_recipient

    def judge(self, envelope: Envelope, key: str | None, admitted: Admitted, size: int) -> Judged:
        """Sender, recipient, time, nonce, handler, in this order (ASAP: order of checks).

        The nonce is claimed last of all, in one step with the slot.
        """
        caller = admitted.caller
        if caller is not None:
            check_sender(envelope.sender, caller=caller)
        if self._check_recipient and envelope.recipient != self._agent:
            raise WrongRecipient(f"this is {self._agent}", path="$.recipient")
        at = self._now()
        stamp = envelope.timestamp
        if stamp is not None:
            # What comes at its time, as nearly all does, is seen at a glance.
            if not -self._ahead_seconds <= (at - stamp).total_seconds() <= self._oldest_seconds:
                check_fresh(stamp, now=at, limits=self._limits)
        elif self._nonces == "require":
            raise InvalidTimestamp("a timestamp is required", path="$.timestamp")
        now = at.timestamp()
        claim, extensions = None, envelope.extensions
        if extensions or self._nonces == "require":
            nonce = self._nonce(envelope)
            if nonce is not None:
                claim = NonceClaim(envelope.sender, nonce, now + self._limits.nonce_seconds)
        payload: Any = envelope.payload
        if payload.__class__ is TaskRequest and payload.skill_id in self.skills:
            name: str | None = payload.skill_id
        else:
            payload, name = self._handler_of(envelope)
        # A caller that is known has sent it, as was checked above.
        slot = Slot(envelope.sender, key, _digest(envelope)) if key else None
        depth = 0
        if extensions and DEPTH_EXTENSION in extensions and name is not None:
            depth = depth_of(extensions, most=self._limits.task_depth)
        task_id = TASK_PREFIX + self._new_id(at)
        called = payload_name(payload.__class__) if name is None else name
        job = Job(payload, envelope, task_id, depth, caller, called, slot, now, size)
        return made(Judged, (job, name, at, claim, admitted.quota_key))

    def _handler_of(self, envelope: Envelope) -> tuple[Any, str | None]:
        """What is handled that is no request of a skill of ours, and by which handler; none for a built-in answer.

        Raises `NoHandler` or `SkillNotFound`.
        """
        payload: Any = envelope.payload
        kind = payload.__class__
        if kind is TaskRequest:
            facts = {"skill_id": payload.skill_id[:64]}
            raise SkillNotFound("no such skill", path="$.payload.skill_id", facts=facts)
        if isinstance(payload, Value):
            if kind in self._handles:
                return payload, payload_name(kind)
            if isinstance(payload, McpToolCall):
                if payload.tool_name in self.skills:
                    return TaskRequest("", payload.tool_name, payload.arguments), payload.tool_name
                return payload, None
            if kind in ANSWERED:
                return payload, None
        shown = envelope.payload_type[:64]
        raise NoHandler("no handler for this payload type", path="$.payload_type", facts={"payload_type": shown})

    def _nonce(self, envelope: Envelope) -> str | None:
        if self._nonces == "ignore":
            return None
        nonce = nonce_of(envelope.extensions)
        if nonce is None and self._nonces == "require":
            raise InvalidNonce("a nonce is required", path="$.extensions.nonce")
        return nonce


def note_of(error: AsapError, envelope: Envelope | None, caller: Identity | None) -> str:
    """Who was not believed, and why, without secrets; nothing for another error."""
    if isinstance(error, Unauthenticated) and envelope is None and caller is not None:
        return f"{error.message} (caller={caller.urn})"
    if envelope is None or not isinstance(error, SenderMismatch | InvalidNonce):
        return ""
    facts = {
        "caller": caller.urn if caller else None,
        "envelope": (envelope.id or "")[:64],
        "sender": envelope.sender,
        "nonce": (envelope.extensions or {}).get("nonce"),
    }
    said = ", ".join(f"{name}={fact}" for name, fact in redact(facts).items() if fact is not None)
    return f"{error.message} ({said})"


def prefers_async(envelope: Envelope) -> bool:
    """Whether the request is to be answered at once, and run with nobody waiting."""
    return envelope.extensions is not None and envelope.extensions.get(PREFER_EXTENSION) == ASYNC_PREFERENCE


def _digest(envelope: Envelope) -> bytes:
    """What makes two requests the same: all but what a retry renews (its nonce and its time)."""
    payload = encode(envelope.payload)  # type: ignore[arg-type]
    told = dump([envelope.id, envelope.sender, envelope.recipient, envelope.payload_type, payload])
    return blake2b(told, digest_size=16).digest()
