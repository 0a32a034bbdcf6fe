"""The catalogue of failure: one row for each way an exchange can go wrong.

A row says the stable ``asap:`` code, the JSON-RPC number (JSON-RPC 2.0 section 5.1; above -32100 the
protocol's own), the HTTP status, whether another try may help, and what to do about it.
The reply encoder, the retry rule, the reference page and the tests all read the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from .plain import plain

__all__ = [
    "CATALOGUE",
    "AsapError",
    "BadEncoding",
    "BadHead",
    "BatchTooLarge",
    "BodyInPieces",
    "BodyTooLarge",
    "BodyTooSlow",
    "CircuitOpen",
    "Fault",
    "ForbiddenTarget",
    "ForeignOrigin",
    "HandlerFailed",
    "HandlerInterrupted",
    "HandlerTimedOut",
    "HeadTooLarge",
    "IllegalMove",
    "InternalError",
    "InvalidInput",
    "InvalidNonce",
    "InvalidRequest",
    "InvalidTimestamp",
    "InvalidValue",
    "KeyReused",
    "Kind",
    "LoadShed",
    "MalformedEnvelope",
    "MalformedJson",
    "MalformedPayload",
    "MalformedReply",
    "MethodNotAllowed",
    "Misdirected",
    "MispairedReply",
    "Misuse",
    "NestedTooDeep",
    "NoHandler",
    "NoRoute",
    "OtherAgent",
    "Overloaded",
    "PeerRefused",
    "PeerTimedOut",
    "PeerUnreachable",
    "RateLimited",
    "Redirected",
    "RemoteFault",
    "ReplyForgotten",
    "ResourceNotFound",
    "SenderMismatch",
    "SkillNotFound",
    "SnapshotNotFound",
    "StateUnavailable",
    "StillRunning",
    "TakenOver",
    "TaskFinished",
    "TaskNotFound",
    "Unauthenticated",
    "UnknownMethod",
    "Unsolicited",
    "UnsupportedEncoding",
    "UnsupportedMediaType",
    "UnsupportedScheme",
    "UnverifiedManifest",
    "VersionMismatch",
    "WrongRecipient",
]


@plain
class Kind:
    """One row of the catalogue."""

    code: str
    rpc_code: int
    http_status: int
    retryable: bool
    remedy: str
    #: What a deployment without old peers may answer instead of 200, where the request itself is refused.
    strict_status: int | None = None


@plain
class Fault:
    """One thing wrong at one place: ``path`` is a JSON path from the document's root, ``$``."""

    path: str
    type: str
    problem: str

    def under(self, prefix: str) -> Fault:
        """The same fault, seen from a document that holds this one at `prefix`."""
        return Fault(prefix + self.path[1:], self.type, self.problem)


class AsapError(Exception):
    """What every failure of an exchange is; anything else out of the core is our bug."""

    kind: ClassVar[Kind]

    def __init__(
        self,
        message: str = "",
        *,
        path: str = "$",
        faults: Sequence[Fault] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.path = faults[0].path if faults else path
        self.faults = tuple(faults)
        self.facts = dict(facts or {})

    def under(self, prefix: str) -> AsapError:
        """The same error with its paths seen from a document that holds this one at `prefix`."""
        self.faults = tuple(fault.under(prefix) for fault in self.faults)
        self.path = prefix + self.path[1:]
        return self

    @property
    def code(self) -> str:
        """The stable ``asap:`` code."""
        return self.kind.code

    @property
    def retryable(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind.retryable

    @property
    def retry_after(self) -> float | None:
        """How many seconds the peer, or the rule that refused, asks to wait."""
        seconds = self.facts.get("retry_after")
        return float(seconds) if isinstance(seconds, int | float) else None


class Misuse(AsapError):
    """We, locally, asked for something illegal."""

    kind = Kind("asap:local/misuse", -32602, 200, False, "Correct the call; nothing was sent.")


class RemoteFault(AsapError):
    """The peer asked for or answered something illegal, or says that we did."""

    kind = Kind("asap:remote/fault", -32603, 200, False, "Read the peer's code and message.")


class InvalidValue(Misuse):
    kind = Kind("asap:local/invalid_value", -32602, 200, False, "Correct the value at the path named.")


class IllegalMove(Misuse):
    kind = Kind("asap:protocol/invalid_state", -32602, 200, False, "Move only along the task lifecycle table.")


class UnsupportedScheme(Misuse):
    kind = Kind("asap:auth/unsupported_scheme", -32602, 200, False, "Name a scheme that this agent can verify.")


class NoRoute(RemoteFault):
    kind = Kind("asap:http/not_found", -32601, 404, False, "Post to /asap, or read the manifest.")


class MethodNotAllowed(RemoteFault):
    kind = Kind("asap:http/method_not_allowed", -32601, 405, False, "Use a method named in Allow.")


class BadHead(RemoteFault):
    kind = Kind(
        "asap:http/bad_head",
        -32600,
        400,
        False,
        "Send one Host, and one Content-Length or else Transfer-Encoding: chunked.",
    )


class HeadTooLarge(RemoteFault):
    kind = Kind("asap:http/head_too_large", -32600, 431, False, "Send fewer and shorter headers.")


class Misdirected(RemoteFault):
    kind = Kind("asap:http/misdirected", -32600, 421, False, "Ask by a name that the agent's operator lists as a host.")


class ForeignOrigin(RemoteFault):
    kind = Kind("asap:http/foreign_origin", -32600, 403, False, "Ask from a page of the agent's own, or from no page.")


class BodyTooLarge(RemoteFault):
    kind = Kind("asap:transport/too_large", -32600, 413, False, "Send less, or raise Limits.request_bytes there.")


class UnsupportedMediaType(RemoteFault):
    kind = Kind("asap:transport/unsupported_media_type", -32600, 415, False, "Send Content-Type: application/json.")


class BodyTooSlow(RemoteFault):
    kind = Kind("asap:transport/too_slow", -32600, 408, True, "Send the whole body within Limits.body_seconds.")


class BodyInPieces(RemoteFault):
    kind = Kind("asap:transport/too_many_pieces", -32600, 400, False, "Send the body in larger pieces.")


class UnsupportedEncoding(RemoteFault):
    kind = Kind("asap:transport/unsupported_encoding", -32600, 415, False, "Send gzip, br or no encoding at all.")


class BadEncoding(RemoteFault):
    kind = Kind("asap:transport/bad_encoding", -32700, 400, False, "Send what Content-Encoding promises.")


class RateLimited(RemoteFault):
    kind = Kind("asap:transport/rate_limited", 429, 429, True, "Wait as long as Retry-After says.")


class Overloaded(RemoteFault):
    kind = Kind(
        "asap:transport/thread_pool_exhausted",
        -32031,
        503,
        True,
        "Wait as long as Retry-After says; the operator may raise Limits.handler_threads.",
    )


class LoadShed(RemoteFault):
    kind = Kind(
        "asap:transport/load_shed",
        -32031,
        503,
        True,
        "Wait as long as Retry-After says: the agent takes more work when it is in time again.",
    )


class MalformedJson(RemoteFault):
    kind = Kind("asap:protocol/malformed_json", -32700, 200, False, "Send one UTF-8 JSON text (RFC 8259).", 400)


class InvalidRequest(RemoteFault):
    kind = Kind("asap:protocol/invalid_request", -32600, 200, False, "Send a JSON-RPC 2.0 request object.", 400)


class BatchTooLarge(RemoteFault):
    kind = Kind("asap:protocol/batch_too_large", -32600, 200, False, "Split the batch.", 400)


class UnknownMethod(RemoteFault):
    kind = Kind("asap:protocol/unknown_method", -32601, 200, False, "Call the method asap.send.", 400)


class VersionMismatch(RemoteFault):
    kind = Kind(
        "asap:protocol/version_mismatch",
        -32000,
        200,
        False,
        "Offer a version named in details.supported.",
        400,
    )


class MalformedEnvelope(RemoteFault):
    kind = Kind("asap:protocol/malformed_envelope", -32602, 200, False, "Mend the fields at the paths named.", 400)


class MalformedPayload(RemoteFault):
    kind = Kind("asap:protocol/malformed_payload", -32602, 200, False, "Mend the fields at the paths named.", 400)


class InvalidTimestamp(RemoteFault):
    kind = Kind(
        "asap:protocol/invalid_timestamp",
        -32602,
        200,
        False,
        "Set the clock; send the envelope when made.",
        400,
    )


class InvalidNonce(RemoteFault):
    kind = Kind("asap:protocol/invalid_nonce", -32602, 200, False, "Send a new nonce with each envelope.", 400)


class WrongRecipient(RemoteFault):
    kind = Kind("asap:protocol/wrong_recipient", -32602, 200, False, "Address the agent named in the manifest.", 400)


class Unauthenticated(RemoteFault):
    kind = Kind("asap:auth/unauthenticated", -32600, 200, False, "Send the credentials the manifest asks for.", 401)


class SenderMismatch(RemoteFault):
    kind = Kind("asap:auth/sender_mismatch", -32602, 200, False, "Send as the agent the credentials name.", 403)


class NoHandler(RemoteFault):
    kind = Kind("asap:transport/handler_not_found", -32601, 200, False, "Send a payload type this agent handles.")


class SkillNotFound(RemoteFault):
    kind = Kind("asap:capability/skill_not_found", -32602, 200, False, "Ask for a skill listed in the manifest.")


class InvalidInput(RemoteFault):
    kind = Kind("asap:capability/input_validation", -32602, 200, False, "Mend the input; the manifest has its schema.")


class NestedTooDeep(RemoteFault):
    kind = Kind(
        "asap:task/too_deep",
        -32602,
        200,
        False,
        "Flatten the work or raise Limits.task_depth on the receiving agent.",
    )


class TaskNotFound(RemoteFault):
    kind = Kind("asap:task/not_found", -32602, 200, False, "Name a task this agent has accepted.")


class TaskFinished(RemoteFault):
    kind = Kind("asap:task/already_completed", -32602, 200, False, "Start a new task.")


class SnapshotNotFound(RemoteFault):
    kind = Kind("asap:task/snapshot_not_found", -32602, 200, False, "Query the task's state for its newest snapshot.")


class TakenOver(RemoteFault):
    kind = Kind("asap:task/taken_over", -32031, 503, True, "Ask again, with the same idempotency key, later.")


class StateUnavailable(RemoteFault):
    kind = Kind(
        "asap:state/unavailable",
        -32031,
        503,
        True,
        "Ask again, with the same idempotency key, later; the agent's log has the cause.",
    )


class ResourceNotFound(RemoteFault):
    kind = Kind("asap:resource/not_found", -32602, 200, False, "Fetch a resource that an artifact of a task names.")


class Unsolicited(RemoteFault):
    kind = Kind("asap:protocol/unsolicited", -32602, 200, False, "Answer only what was asked, or name the parent task.")


class StillRunning(RemoteFault):
    kind = Kind("asap:task/still_running", -32031, 503, True, "Ask again, with the same idempotency key, later.")


class KeyReused(RemoteFault):
    kind = Kind(
        "asap:protocol/idempotency_key_reused",
        -32602,
        200,
        False,
        "Use a new key for a different request.",
        400,
    )


class ReplyForgotten(RemoteFault):
    kind = Kind(
        "asap:task/reply_forgotten",
        -32603,
        200,
        False,
        "The request has run: look at what was done. The operator may raise Limits.task_bytes, or keep a store.",
    )


class HandlerFailed(RemoteFault):
    kind = Kind(
        "asap:execution/handler_failed",
        -32603,
        200,
        False,
        "Ask the agent's operator; its log has the cause, by the error_id of the details.",
    )


class HandlerTimedOut(RemoteFault):
    kind = Kind("asap:execution/timed_out", -32603, 200, False, "Ask for less, or raise Limits.handler_seconds there.")


class HandlerInterrupted(RemoteFault):
    kind = Kind(
        "asap:execution/interrupted",
        -32603,
        200,
        False,
        "The worker was lost on the way: look at what was done, then send a new request.",
    )


class InternalError(RemoteFault):
    kind = Kind(
        "asap:execution/internal_error",
        -32603,
        500,
        False,
        "Tell the agent's operator; its log has the cause, by the error_id of the details.",
    )


class PeerUnreachable(RemoteFault):
    kind = Kind("asap:transport/unreachable", -32603, 503, True, "Check the URL and that the agent is up.")


class PeerTimedOut(RemoteFault):
    kind = Kind("asap:transport/timed_out", -32603, 504, True, "Allow more time, or ask for less.")


class CircuitOpen(RemoteFault):
    kind = Kind("asap:transport/circuit_open", -32603, 503, True, "Wait until the peer had time to recover.")


class PeerRefused(RemoteFault):
    kind = Kind("asap:transport/refused", -32603, 502, False, "Read the HTTP status the peer answered with.")


class Redirected(PeerRefused):
    kind = Kind(
        "asap:transport/redirected",
        -32603,
        502,
        False,
        "Give the URL that the agent has now, if you trust it: no redirect is followed.",
    )


class ForbiddenTarget(RemoteFault):
    kind = Kind(
        "asap:transport/forbidden_target",
        -32603,
        502,
        False,
        "Distrust the URL; if it is meant to lead there, give targets=['10.0.0.0/8'], say (--targets), or 'any'.",
    )


class OtherAgent(RemoteFault):
    kind = Kind(
        "asap:auth/other_agent",
        -32603,
        502,
        False,
        "Distrust the URL, or correct the URN that was expected there.",
    )


class UnverifiedManifest(RemoteFault):
    kind = Kind(
        "asap:auth/unverified_manifest",
        -32603,
        502,
        False,
        "Distrust the manifest, or pin the key that the agent signs with now.",
    )


class MalformedReply(RemoteFault):
    kind = Kind("asap:protocol/malformed_reply", -32603, 502, False, "Report it to the peer's operator.")


class MispairedReply(RemoteFault):
    kind = Kind(
        "asap:protocol/mispaired_reply",
        -32603,
        502,
        False,
        "Distrust this peer: it answered another request.",
    )


def _rows(base: type[AsapError]) -> Iterator[type[AsapError]]:
    for child in base.__subclasses__():
        yield child
        yield from _rows(child)


#: Every row by its stable code.
CATALOGUE: Mapping[str, type[AsapError]] = {row.kind.code: row for row in _rows(AsapError)}
