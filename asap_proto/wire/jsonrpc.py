"""JSON-RPC 2.0 around an envelope: calls, notifications, batches, and what answers them."""

from __future__ import annotations

from itertools import islice
from operator import itemgetter
from typing import Any

import orjson

from ..errors import (
    CATALOGUE,
    AsapError,
    BatchTooLarge,
    Fault,
    HandlerFailed,
    InvalidRequest,
    MalformedEnvelope,
    UnknownMethod,
)
from ..limits import ID_LENGTH, KEY_LENGTH
from .faults import FAULTS_MOST, step, wrong
from .json import WRITE, dump, keys

__all__ = [
    "ENVELOPE_PATH",
    "METHOD",
    "RpcId",
    "answer",
    "check_batch",
    "check_call",
    "error_member",
    "failed",
    "failure",
    "is_notification",
    "read_member",
    "request",
    "rpc_id",
    "success",
]

METHOD = "asap.send"

#: Where the envelope stands in a request.
ENVELOPE_PATH = "$.params.envelope"

RpcId = str | int | None

_JSONRPC, _METHOD, _PARAMS, _ID, _ENVELOPE, _KEY = keys(
    "jsonrpc", "method", "params", "id", "envelope", "idempotency_key"
)
_MEMBERS = frozenset({_JSONRPC, _METHOD, _PARAMS, _ID})
_pick = itemgetter(_JSONRPC, _METHOD, _PARAMS, _ID)
#: Version and method of a usual request, and the classes of its id and its params.
_USUAL = ("2.0", METHOD, str, dict)

#: JSON-RPC 2.0 section 5.1; peers expect these very words.
_MESSAGES = {
    -32700: "Parse error",
    -32600: "Invalid request",
    -32601: "Method not found",
    -32602: "Invalid params",
    -32603: "Internal error",
    429: "Rate limit exceeded",
}


def check_batch(batch: list[Any], *, most: int) -> None:
    """Raises `InvalidRequest` for an array without items, and `BatchTooLarge` for one with too many."""
    if not batch:
        raise InvalidRequest("an empty batch; send at least one request")
    if len(batch) > most:
        raise BatchTooLarge(
            f"a batch of {len(batch)}; at most {most} are allowed",
            facts={"items": len(batch), "most": most},
        )


def rpc_id(frame: Any) -> RpcId:
    """The id to answer with: null where the request has none that can be answered to."""
    value = frame.get("id") if frame.__class__ is dict else None
    if value.__class__ is int or (value.__class__ is str and len(value) <= ID_LENGTH):
        return value
    return None


def is_notification(frame: Any) -> bool:
    """Whether the request wants no answer: it has no id at all (JSON-RPC 2.0 section 4.1)."""
    return frame.__class__ is dict and "id" not in frame


def check_call(frame: Any) -> tuple[dict[str, Any], str | None]:
    """The envelope of a request, as it came, and the idempotency key that names a retry.

    Raises `InvalidRequest`, `MalformedEnvelope` or `UnknownMethod`, in the order that ASAP: order of checks gives.
    """
    try:
        # What every release sends; whatever else there is gets the long look.
        version, method, params, id = _pick(frame)
        told = (version, method, id.__class__, params.__class__)
        usual = told == _USUAL and len(frame) == 4 and len(id) <= ID_LENGTH
    except (KeyError, TypeError):
        usual = False
    params = (frame if usual else _check_frame(frame))["params"]
    envelope, key = params.get(_ENVELOPE), params.get(_KEY)
    if envelope.__class__ is not dict:
        fault = Fault(ENVELOPE_PATH, "missing", "is required")
        raise MalformedEnvelope(
            "params.envelope is an object",
            faults=[fault if envelope is None else wrong(ENVELOPE_PATH, "object", envelope)],
        )
    if key is not None and (key.__class__ is not str or not 0 < len(key) <= KEY_LENGTH):
        fault = Fault("$.params.idempotency_key", "string_type", f"is no text of 1 to {KEY_LENGTH} characters")
        raise MalformedEnvelope(f"{fault.path} {fault.problem}", faults=[fault])
    return envelope, key


def _check_frame(frame: Any) -> dict[str, Any]:
    """The same frame, if it is a call of our method."""
    if frame.__class__ is not dict:
        raise InvalidRequest("a request is an object", faults=[wrong("$", "object", frame)])
    strange = islice((key for key in frame if key not in _MEMBERS), FAULTS_MOST)
    faults = [Fault(step("$", key), "extra_forbidden", "is no member of a request") for key in strange]
    if frame.get("jsonrpc", "2.0") != "2.0":
        faults.append(Fault("$.jsonrpc", "literal_error", "expected '2.0'"))
    if "method" not in frame:
        faults.append(Fault("$.method", "missing", "is required"))
    elif frame["method"].__class__ is not str:
        faults.append(wrong("$.method", "text", frame["method"]))
    if "params" not in frame:
        faults.append(Fault("$.params", "missing", "is required"))
    if "id" in frame and rpc_id(frame) is None:
        faults.append(Fault("$.id", "rpc_id", f"is no 64-bit integer and no string of at most {ID_LENGTH} characters"))
    if faults:
        faults = faults[:FAULTS_MOST]
        raise InvalidRequest(f"{faults[0].path} {faults[0].problem}", faults=faults)
    if frame["params"].__class__ is not dict:
        raise MalformedEnvelope("params is an object", faults=[wrong("$.params", "object", frame["params"])])
    if frame["method"] != METHOD:
        raise UnknownMethod(f"expected {METHOD}", path="$.method", facts={"method": frame["method"][:64]})
    return frame


def request(envelope: dict[str, Any], *, id: RpcId, idempotency_key: str | None) -> dict[str, Any]:
    """A request object, as every release sends it."""
    params: dict[str, Any] = {"envelope": envelope}
    if idempotency_key is not None:
        params["idempotency_key"] = idempotency_key
    return {"jsonrpc": "2.0", "method": METHOD, "params": params, "id": id}


def success(envelope: dict[str, Any]) -> bytes:
    """The ``result`` member of an answer, ready to be kept and sent under any id."""
    return b"".join((b'"result":{"envelope":', orjson.dumps(envelope, None, WRITE), b"}"))


def error_member(error: AsapError) -> dict[str, Any]:
    """The ``error`` object of an answer: a number, a fixed message, and in ``data`` what a program can use."""
    data: dict[str, Any] = {"code": error.code, "error": error.message, "path": error.path}
    if error.facts:
        data["details"] = error.facts
    if error.code in _FLAT:
        data |= {name: fact for name, fact in error.facts.items() if name not in data}
    if error.faults:
        data["validation_errors"] = [
            {"type": fault.type, "loc": fault.path, "msg": fault.problem} for fault in error.faults
        ]
    if (status := _STATUS.get(error.code)) is not None:
        data["status_code"] = status
    number = error.kind.rpc_code
    return {"code": number, "message": _MESSAGES.get(number, "Server error"), "data": data}


#: Refusals of a caller say the status that HTTP would have, as every release does (ASAP: authentication).
_STATUS = {"asap:auth/unauthenticated": 401, "asap:auth/sender_mismatch": 403}


#: Where the releases' clients look for these facts beside the code, not among its details (ASAP: errors, rate limits).
_FLAT = frozenset(
    {
        "asap:transport/rate_limited",
        "asap:transport/handler_not_found",
        "asap:protocol/unknown_method",
        "asap:protocol/version_mismatch",
    }
)


def failure(error: AsapError) -> bytes:
    """The ``error`` member of an answer, ready to be kept and sent under any id."""
    return b'"error":' + dump(error_member(error))


def failed(member: bytes) -> AsapError | None:
    """The error that a member written by `failure` tells of; nothing for a result."""
    if member.startswith(b'"result"'):
        return None
    data = read_member(member)["error"]["data"]
    # A handler may raise a kind of its own, which is in no catalogue of ours.
    return CATALOGUE.get(data["code"], HandlerFailed)(data["error"], path=data["path"])


def read_member(member: bytes) -> dict[str, Any]:
    """The object with the one member that `success` or `failure` wrote: as deep as the encoder writes."""
    value: dict[str, Any] = orjson.loads(b"{" + member + b"}")
    return value


def answer(member: bytes, id: RpcId) -> bytes:
    """A whole answer from its ``result`` or ``error`` member."""
    return b"".join((b'{"jsonrpc":"2.0",', member, b',"id":', orjson.dumps(id), b"}"))
