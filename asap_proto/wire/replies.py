"""What a client gets back: JSON-RPC answers, read as strictly as the peer's release allows (ASAP: clients)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import (
    CATALOGUE,
    AsapError,
    InvalidRequest,
    Kind,
    MalformedJson,
    MalformedReply,
    MispairedReply,
    RateLimited,
    RemoteFault,
    SenderMismatch,
    Unauthenticated,
)
from ..model import Envelope
from ..plain import plain
from .faults import wrong
from .jsonrpc import RpcId
from .nouns import decode_envelope

__all__ = ["ReplyFault", "read_answer", "read_error"]

#: Codes of ours that stand for what *we* did while reading: a peer that sends one does not speak for us.
_OURS = frozenset(code for code in CATALOGUE if code.startswith("asap:local/")) | {
    "asap:transport/circuit_open",
    "asap:protocol/malformed_reply",
    "asap:protocol/mispaired_reply",
}


#: What peers mean that send no code of ours, as releases before 2.2 do for most errors (ASAP: authentication, errors).
_BY_STATUS: Mapping[int, type[AsapError]] = {401: Unauthenticated, 403: SenderMismatch}
_BY_NUMBER: Mapping[int, type[AsapError]] = {-32700: MalformedJson, -32600: InvalidRequest, 429: RateLimited}


@plain
class _Spoken:
    """The ``error`` object of an answer, as far as it is usable."""

    number: int
    message: str
    data: Mapping[str, Any]


class ReplyFault(RemoteFault):
    """The peer says that we, or it, failed, with a code that is not in our catalogue."""

    kind = Kind("asap:remote/unlisted", -32603, 200, False, "Read rpc_code and details: the peer's own words.")


def read_answer(answer: Any, *, id: RpcId) -> Envelope:
    """The envelope of an answer; raises what the peer reports, `MalformedReply` or `MispairedReply`."""
    if answer.__class__ is not dict:
        raise MalformedReply("an answer is an object", faults=[wrong("$", "object", answer)])
    if "error" in answer:
        raise read_error(answer["error"])
    if answer.get("jsonrpc", "2.0") != "2.0":
        raise MalformedReply("no JSON-RPC 2.0 answer", path="$.jsonrpc")
    if "id" not in answer or answer["id"] != id or answer["id"].__class__ is not id.__class__:
        raise MispairedReply("the answer carries another request's id", path="$.id")
    result = answer.get("result")
    if result.__class__ is not dict or "envelope" not in result:
        raise MalformedReply("an answer has a result with an envelope, or an error", path="$.result")
    try:
        return decode_envelope(result["envelope"], lenient=True, error=MalformedReply, payload_error=MalformedReply)
    except MalformedReply as error:
        raise error.under("$.result.envelope") from None


def read_error(error: Any) -> AsapError:
    """What the peer reports, as the row of our catalogue that its code names, else as `ReplyFault`.

    Facts hold the peer's ``rpc_code`` and ``data``. Releases since 2.2 changed numbers but kept the codes.
    """
    if error.__class__ is not dict:
        return MalformedReply("an error is an object", faults=[wrong("$.error", "object", error)])
    number, message, data = error.get("code"), error.get("message"), error.get("data")
    data = data if data.__class__ is dict else {}
    spoken = _Spoken(number if number.__class__ is int else -32603, message if message.__class__ is str else "", data)
    code = spoken.data.get("code")
    row = CATALOGUE.get(code) if code.__class__ is str and code not in _OURS else None
    if row is None:
        status = spoken.data.get("status_code")
        row = _BY_STATUS.get(status) if status.__class__ is int else None
    if row is None:
        row = _BY_NUMBER.get(spoken.number, ReplyFault)
    facts: dict[str, Any] = {"rpc_code": spoken.number, "data": dict(spoken.data)}
    for name in ("retry_after", "retry_after_ms"):
        seconds = spoken.data.get(name)
        if seconds.__class__ in (int, float) and seconds >= 0:
            facts.setdefault("retry_after", seconds / 1000 if name.endswith("_ms") else seconds)
    detail = spoken.data.get("error")
    words = f"{spoken.message}: {detail}" if detail.__class__ is str else spoken.message
    return row(f"the peer answered {spoken.number}: {words}"[:500], facts=facts)
