"""Every model vector of release 1.0.0 against our decoder: same verdict, same faulty fields, same dump."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from asap_proto import limits, model
from asap_proto.errors import AsapError, InvalidRequest
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.lifecycle import MOVES
from asap_proto.rules.retry import RetryRule
from asap_proto.wire import converter, jsonrpc
from asap_proto.wire.json import dump
from asap_proto.wire.stamps import read_stamp
from vectors import deviations, records

Decode = Callable[[Any], Any]

STAMPS = frozenset({"timestamp", "created_at", "updated_at"})


def noun(name: str) -> Decode:
    """The decoder of the noun that the reference calls `name`, and back to plain values."""
    if name == "part":
        return lambda given: plain(converter.decode_part(given))
    cls = getattr(model, "".join(word.capitalize() for word in name.split("_")))
    return lambda given: plain(converter.decode(cls, given))


def plain(value: Any) -> Any:
    return json.loads(dump(converter.encode(value)))


def request_frame(given: Any) -> Any:
    """A JSON-RPC request, judged as a frame: what it calls and with which envelope is another matter."""
    try:
        jsonrpc.check_call(given)
    except InvalidRequest:
        raise
    except AsapError as error:
        if error.path == "$.params":
            raise
    return given


DECODERS: Mapping[str, Decode] = {
    **{name: noun(name) for name in {case.model for case in records.cases()} if not name.startswith("jsonrpc")},
    "jsonrpc_request": request_frame,
}

CASES = [case for case in records.cases() if case.model in DECODERS]


def verdict(case: records.Case) -> str:
    """Ours, in words: `ok`, or the paths of the faults."""
    try:
        dumped = DECODERS[case.model](case.input)
    except AsapError as error:
        return " ".join(sorted({fault.path for fault in error.faults}))
    if case.accepted:
        assert as_instants(dumped) == as_instants(case.dump)
    return "ok"


def as_instants(dumped: Any) -> Any:
    """Times compared as instants: we write them all as UTC, the reference as it was given them."""
    if not isinstance(dumped, dict):
        return dumped
    return {
        key: read_stamp(value) if key in STAMPS and value != "<generated>" else value
        for key, value in dumped.items()
        if value != "<generated>" and not (key in STAMPS and value is None)
    }


def place(case: records.Case, fault: str) -> str:
    """The reference's path of a fault, without the names of the union members that it goes through."""
    path = fault.split(maxsplit=1)[0]
    if case.model == "part":
        return re.sub(r"^\$\.[a-z]+\.", "$.", path)
    return path.removesuffix(".str").removesuffix(".int") if case.model.startswith("jsonrpc") else path


def same_places(theirs: set[str], ours: set[str]) -> bool:
    """The same fields; where they blame an object for a rule over its fields, we may name one."""

    def covers(outer: str, inner: str) -> bool:
        return inner == outer or inner.startswith((f"{outer}.", f"{outer}["))

    return all(any(covers(one, other) for other in ours) for one in theirs) and all(
        any(covers(one, other) for one in theirs) for other in ours
    )


def agrees(case: records.Case, ours: str) -> bool:
    if case.accepted or ours == "ok":
        return case.accepted and ours == "ok"
    return same_places({place(case, fault) for fault in case.faults}, set(ours.split()))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in CASES])
def test_verdict(case: records.Case) -> None:
    """A value is accepted or refused as release 1.0.0 does, at the same places, or the table says why not."""
    ours = verdict(case)
    row = deviations.row_for(deviations.MODELS, case.id)
    if row is None:
        assert agrees(case, ours), f"reference: {case.faults or 'ok'}; ours: {ours}"
    else:
        assert not agrees(case, ours), "the row is no longer needed"
        assert ours == row.verdict


@pytest.mark.parametrize("row", deviations.MODELS, ids=lambda row: row.pattern)
def test_rows_are_used(row: deviations.Row) -> None:
    """Each pattern of the table covers a case."""
    assert row.idle(case.id for case in CASES) == []


def test_all_models_are_compared() -> None:
    """No model of the reference is left out, but the two frames that its server writes."""
    told = {case.model for case in records.cases()}
    assert told - DECODERS.keys() == {"jsonrpc_response", "jsonrpc_error_response"}
    assert len(told) == 29


def test_transitions() -> None:
    """The task lifecycle is the reference's."""
    assert {str(at.value): {to.value for to in tos} for at, tos in MOVES.items()} == {
        at: set(tos) for at, tos in records.facts()["transitions"].items()
    }


def test_enums() -> None:
    """The words for statuses, roles and updates are the reference's."""
    theirs = {name: set(words) for name, words in records.facts()["enums"].items()}
    assert {name: {member.value for member in getattr(model, name)} for name in theirs} == theirs


def test_constants() -> None:
    """The numbers of the protocol are the reference's."""
    theirs = records.facts()["constants"]
    ours = limits.Limits()
    assert limits.ASAP_VERSION == theirs["ASAP_PROTOCOL_VERSION"]
    assert limits.TASK_DEPTH == theirs["MAX_TASK_DEPTH"]
    assert limits.URN_LENGTH == theirs["MAX_URN_LENGTH"]
    assert set(model.AUTH_SCHEMES) == set(theirs["SUPPORTED_AUTH_SCHEMES"])
    assert ours.request_bytes == theirs["MAX_REQUEST_SIZE"]
    assert ours.oldest_seconds == theirs["MAX_ENVELOPE_AGE_SECONDS"]
    assert ours.ahead_seconds == theirs["MAX_FUTURE_TOLERANCE_SECONDS"]
    assert ours.nonce_seconds == theirs["NONCE_TTL_SECONDS"]
    assert RetryRule().base_seconds == theirs["DEFAULT_BASE_DELAY"]
    assert RetryRule().most_seconds == theirs["DEFAULT_MAX_DELAY"]
    assert Breaker().threshold == theirs["DEFAULT_CIRCUIT_BREAKER_THRESHOLD"]
    assert Breaker().rest_seconds == theirs["DEFAULT_CIRCUIT_BREAKER_TIMEOUT"]
    assert ours.handler_seconds == theirs["DEFAULT_TIMEOUT_SECONDS"]
