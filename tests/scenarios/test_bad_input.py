"""Whatever arrives over a real socket is answered: with the right status and JSON-RPC error, never a 5xx or a trace."""

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asap_proto.errors import CATALOGUE

from .fronts import WORKER, post

#: Enough for an answer, and far below any timeout.
SECONDS = 5.0

CALL = {
    "jsonrpc": "2.0",
    "method": "asap.send",
    "params": {
        "envelope": {
            "id": "letter",
            "asap_version": "0.1",
            "timestamp": None,
            "sender": "urn:asap:agent:me",
            "recipient": WORKER,
            "payload_type": "task.request",
            "payload": {"conversation_id": "c", "skill_id": "echo", "input": {"a": [1]}, "config": None},
            "extensions": None,
        },
        "idempotency_key": None,
    },
    "id": 1,
}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def places(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))


PLACES = sorted(places(CALL))[1:]


def changed(document, path, change):
    key, *rest = path
    if rest:
        return document | {key: changed(document[key], rest, change)}
    return {name: value for name, value in document.items() if name != key} | change(key)


CHANGES = st.one_of(
    st.just(lambda key: {}),
    st.builds(lambda value: lambda key: {key: value}, JSON),
    st.builds(lambda name, value: lambda key: {name: value, key: CALL.get(key)}, st.text(min_size=1, max_size=9), JSON),
    st.sampled_from(
        [f"{WORKER}\n", "urn:asap:agent:" + "a" * 242, "é" * 5000, "9999-12-31T23:59:59+14:00", 2**70, -1]
    ).map(lambda value: lambda key: {key: value}),
)

NEAR_MISSES = st.builds(
    lambda path, change: json.dumps(changed(CALL, path, change)).encode("utf-8", "surrogatepass"),
    st.sampled_from(PLACES),
    CHANGES,
)

DAMAGED = st.builds(
    lambda body, place, noise: body[:place] + noise + body[place + len(noise) :],
    NEAR_MISSES,
    st.integers(0, 400),
    st.binary(max_size=4),
)

BODIES = st.one_of(
    st.binary(max_size=300),
    JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")),
    NEAR_MISSES,
    DAMAGED,
    st.lists(NEAR_MISSES | st.just(b"5"), max_size=4).map(lambda parts: b"[" + b",".join(parts) + b"]"),
)

HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "content-type": st.sampled_from(["text/plain", "application/json; charset=latin-1", "x"]),
        "content-encoding": st.sampled_from(["identity", "gzip", "br", "deflate", "gzip, br", "\u00e9"]),
        "asap-version": st.sampled_from(["2.2", "0.1, 2.1", "9", ",", "x" * 500]),
        "authorization": st.sampled_from(["Bearer x", "x"]),
        "x-idempotency-key": st.sampled_from(["k", "k" * 5000]),
    },
).map(lambda named: {name: value.encode("latin-1") for name, value in named.items()})


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, headers=HEADERS)
def test_anything_is_answered(echo, body, headers):
    """Arbitrary bytes, near misses of valid requests, damaged ones and batches of them."""
    begin = time.monotonic()
    response = post(echo.http, body, headers=headers)
    assert time.monotonic() - begin < SECONDS
    assert response.status_code in (200, 204, 400, 413, 415), response.text
    assert b"Traceback" not in response.content
    assert len(response.content) < 200_000
    if response.status_code == 204:
        assert response.content == b""
        return
    document = response.json()
    for answer in document if isinstance(document, list) else [document]:
        check(answer, response.status_code)


def check(answer, status):
    assert answer["jsonrpc"] == "2.0"
    if "result" in answer:
        assert answer.keys() == {"jsonrpc", "result", "id"}
        return
    error = answer["error"]
    kind = CATALOGUE[error["data"]["code"]].kind
    assert error["code"] == kind.rpc_code
    assert kind.http_status in (status, 200)
    assert error["code"] in (-32700, -32600, -32601, -32602, -32603, -32000)
    assert error["code"] != -32603, error
    assert error["data"]["path"].startswith("$")


PARSE, REQUEST, METHOD, PARAMS = -32700, -32600, -32601, -32602


def with_change(path, value):
    return json.dumps(changed(CALL, path, lambda key: {key: value})).encode()


EXACT = [
    (b"", PARSE, "$"),
    (b"{", PARSE, "$"),
    (b"\xff", PARSE, "$"),
    (b"NaN", PARSE, "$"),
    (b'"text"', REQUEST, "$"),
    (b"null", REQUEST, "$"),
    (b"[]", REQUEST, "$"),
    (with_change(("jsonrpc",), "1.0"), REQUEST, "$.jsonrpc"),
    (with_change(("id",), [1]), REQUEST, "$.id"),
    (with_change(("extra",), 1), REQUEST, "$.extra"),
    (with_change(("method",), 5), REQUEST, "$.method"),
    (with_change(("method",), "asap.other"), METHOD, "$.method"),
    (with_change(("params",), []), PARAMS, "$.params"),
    (with_change(("params", "envelope"), None), PARAMS, "$.params.envelope"),
    (with_change(("params", "envelope", "sender"), f"{WORKER}\n"), PARAMS, "$.params.envelope.sender"),
    (with_change(("params", "envelope", "sender"), "urn:asap:agent:" + "a" * 242), PARAMS, "$.params.envelope.sender"),
    (with_change(("params", "envelope", "extra"), 1), PARAMS, "$.params.envelope.extra"),
    (with_change(("params", "envelope", "payload_type"), "x.y"), METHOD, "$.params.envelope.payload_type"),
    (with_change(("params", "envelope", "payload", "input"), 5), PARAMS, "$.params.envelope.payload.input"),
    (with_change(("params", "envelope", "payload", "skill_id"), "x"), PARAMS, "$.params.envelope.payload.skill_id"),
    (with_change(("params", "envelope", "timestamp"), "soon"), PARAMS, "$.params.envelope.timestamp"),
    (with_change(("params", "envelope", "timestamp"), "2001-01-01T00:00:00Z"), PARAMS, "$.params.envelope.timestamp"),
]


@pytest.mark.parametrize(("body", "number", "path"), EXACT, ids=range(len(EXACT)))
def test_the_right_error(echo, body, number, path):
    """The number is that of JSON-RPC 2.0, and the path that of the fault."""
    response = post(echo.http, body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["data"]["path"]) == (200, number, path)
