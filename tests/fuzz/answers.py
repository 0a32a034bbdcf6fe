"""What must hold of every answer of a server's, whatever it was asked."""

import json
from typing import Any

import orjson

from asap_proto.errors import CATALOGUE
from asap_proto.http import HttpResponse
from asap_proto.wire import jsonrpc
from asap_proto.wire.nouns import decode_envelope
from asap_proto.wire.openapi import REFUSALS
from asap_proto.wire.sse import ALIVE, EventReader

#: Stands in what a handler raises: no answer may hold it.
SECRET = "the-secret-of-the-target"

#: Bytes of a refusal: an attacker can't make it grow with the input.
REFUSAL_MOST = 20_000
#: How many times what was asked, all in all, its answers may be: a query tells of a task, its request and its state.
TIMES_MOST = 8

_STATUSES = {200, 204, *(row.kind.http_status for row in REFUSALS)}
_STRICT_STATUSES = {row.kind.strict_status for row in CATALOGUE.values() if row.kind.strict_status is not None}
#: What would say that the fault is the agent's own, or a peer's of it: there is none.
_NEVER = {"asap:execution/internal_error", "asap:remote/fault", "asap:remote/unlisted", "asap:local/misuse"}


def check(response: HttpResponse, body: bytes, *, room: int, strict: bool = False) -> None:
    """Its status, its headers, and its body as the answer to `body`; `room` is how many bytes results may take."""
    assert isinstance(response, HttpResponse), response
    assert response.status in (_STATUSES | _STRICT_STATUSES if strict else _STATUSES) - {500}, response
    for name, value in response.headers.items():
        assert name == name.lower(), name
        value.encode("latin-1")
        assert not {"\r", "\n", "\0"} & set(value), (name, value)
    if response.status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1
    if response.status == 204:
        assert not response.body
        return
    assert b"Traceback" not in response.body
    assert SECRET.encode() not in response.body
    assert len(response.body) <= room, f"{len(response.body)} bytes, {room} expected at most"
    answers = json.loads(response.body)
    if isinstance(answers, list):
        assert response.status == 200
        _check_batch(answers, body)
    else:
        _check_answer(answers, response.status, strict)
        asked = _read(body)
        assert answers["id"] in (None, jsonrpc.rpc_id(asked)), answers["id"]
        if "result" in answers:
            assert answers["id"] == jsonrpc.rpc_id(asked)


def _check_batch(answers: list[Any], body: bytes) -> None:
    """Each of its requests is answered, in their order, but for those that want no answer."""
    asked = _read(body)
    assert isinstance(asked, list)
    assert answers
    for answer in answers:
        _check_answer(answer, 200, strict=False)
    ids = iter([jsonrpc.rpc_id(one) for one in asked])
    assert all(any(_same(answer["id"], id) for id in ids) for answer in answers), "ids out of order"
    assert len(answers) >= sum(isinstance(one, dict) and "id" in one for one in asked)


def _same(one: Any, other: Any) -> bool:
    return one == other and type(one) is type(other)


def _check_answer(answer: Any, status: int, strict: bool) -> None:
    assert answer["jsonrpc"] == "2.0"
    assert answer.keys() in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})
    assert answer["id"] is None or type(answer["id"]) in (str, int)
    if "result" in answer:
        assert status == 200
        assert answer["result"].keys() == {"envelope"}
        decode_envelope(answer["result"]["envelope"])
        return
    error = answer["error"]
    assert error.keys() == {"code", "message", "data"}
    data = error["data"]
    kind = CATALOGUE[data["code"]].kind
    assert kind.code not in _NEVER, error
    assert kind.rpc_code == error["code"]
    assert status in {200, kind.http_status, kind.strict_status if strict else 200}, (status, kind)
    assert data["path"].startswith("$")
    assert len(json.dumps(error)) < REFUSAL_MOST


def check_stream(parts: list[HttpResponse | bytes], *, agent: str, room: int) -> None:
    """A head, then events: each a whole envelope from the agent, their numbers never falling."""
    head, *pieces = parts
    assert isinstance(head, HttpResponse)
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
    reader, last = EventReader(room), 0
    for piece in pieces:
        assert isinstance(piece, bytes)
        assert SECRET.encode() not in piece
        events = reader.feed(piece)
        assert len(events) == (piece != ALIVE)
        for event in events:
            envelope = decode_envelope(json.loads(event.data))
            assert envelope.sender == agent
            assert event.id is not None
            assert int(event.id) >= last
            last = int(event.id)


def _read(body: bytes) -> Any:
    """What was asked, or nothing where nobody can tell."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
