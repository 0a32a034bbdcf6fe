"""Batches of the client: one array, or many single requests, and every item its own outcome."""

import json

import pytest

from asap_proto.errors import (
    InvalidRequest,
    MalformedReply,
    MispairedReply,
    PeerRefused,
    TaskNotFound,
)
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.model import TaskCancel, TaskRequest
from asap_proto.roles import ClientRole, Together, Transmit
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import encode
from asap_testkit import ME, PEER, asks, echo_manifest, finish, fixed_sources, letter, link

REFUSED = TransportFailure("refused", "connection refused")
WORK = TaskRequest("conversation", "echo", {"message": "hi"})


def client(clock=None, **options):
    return ClientRole(ME, fixed_sources(clock), **options)


def sent(command):
    """The JSON document of a request."""
    assert isinstance(command, Transmit)
    return json.loads(command.request.body)


def ok(id="req-1", correlation_id="letter-1", **fields):
    """An answer that fits `letter`."""
    envelope = encode(letter(sender=PEER, recipient=ME, correlation_id=correlation_id, **fields))
    return {"jsonrpc": "2.0", "result": {"envelope": load(dump(envelope), depth=99)}, "id": id}


def http(document, status=200, **headers):
    return HttpResponse(status, headers, dump(document))


@pytest.mark.proves("client.batch")
def test_a_batch_is_one_array():
    """Its answers are put back in order by their ids; one that fails never loses the others."""
    role = client()
    steps = role.send_batch([letter(id="a"), letter(id="b"), letter(id="c"), letter(id="d")])
    command = asks(steps)
    assert [frame["id"] for frame in sent(command)] == ["req-1", "req-2", "req-3", "req-4"]
    assert len({frame["params"]["idempotency_key"] for frame in sent(command)}) == 4
    assert "x-idempotency-key" not in command.request.headers
    failed = {
        "jsonrpc": "2.0",
        "error": {"code": -32602, "message": "m", "data": {"code": "asap:task/not_found"}},
        "id": "req-2",
    }
    replies = finish(steps, http([ok("req-3", "x"), 5, {"id": 5}, failed, ok("req-1", "a")]))
    assert replies[0].correlation_id == "a"
    assert [type(reply) for reply in replies[1:]] == [TaskNotFound, MispairedReply, MalformedReply]
    assert all(reply.message for reply in replies[1:])


def test_leaves_a_connection_that_gave_anothers_answer_to_an_item():
    """As to a single request."""
    role = client()
    steps = role.send_batch([letter(id="a"), letter(id="b")])
    asks(steps)
    finish(steps, http([ok("req-1", "a"), ok("req-2", "x")]))
    assert asks(role.send(letter())).request.headers["connection"] == "close"


@pytest.mark.proves("client.batch")
@pytest.mark.parametrize(
    "data", [{"error": "JSON-RPC request must be an object"}, {"code": "asap:protocol/invalid_request"}]
)
def test_a_peer_that_takes_no_batches(data):
    """Is sent single requests side by side, from then on at once."""
    role = client()
    steps = role.send_batch([letter(id="a"), letter(id="b")])
    asks(steps)
    refusal = {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid request", "data": data}, "id": None}
    command = asks(steps, http(refusal))
    assert isinstance(command, Together)
    assert command.most == 10
    assert [sent(asks(story))["params"]["envelope"]["id"] for story in command.stories] == ["a", "b"]
    assert finish(steps, ("one", "two")) == ["one", "two"]
    assert isinstance(asks(role.send_batch([letter()])), Together)


@pytest.mark.proves("client.batch")
@pytest.mark.parametrize(("answer", "error"), [
    (HttpResponse(404), PeerRefused), (http(ok(id=None)), MalformedReply), (http(ok()), MispairedReply),
    (http({"error": {"code": -32603, "message": "m"}}), Exception),
])  # fmt: skip
def test_a_batch_that_fails_as_a_whole(answer, error):
    """Is an error for each of its items."""
    steps = client().send_batch([letter(), letter()])
    asks(steps)
    results = finish(steps, answer)
    assert len(results) == 2
    assert all(isinstance(result, error) for result in results)
    assert not isinstance(results[0], InvalidRequest)
    assert results[0].message


def test_large_batches_are_sent_in_pieces():
    """As many as the limit allows in each, until all are answered; an empty one is not sent at all."""
    role = client(limits=Limits(batch_items=2))
    steps = role.send_batch([letter(id=id) for id in "abcde"])
    assert len(sent(asks(steps))) == 2
    assert len(sent(asks(steps, http([ok("req-1", "a"), ok("req-2", "b")])))) == 2
    assert len(sent(asks(steps, HttpResponse(404)))) == 1
    results = finish(steps, http([ok("req-5", "e")]))
    assert [getattr(result, "correlation_id", type(result)) for result in results] == [
        "a",
        "b",
        PeerRefused,
        PeerRefused,
        "e",
    ]
    assert finish(role.send_batch([])) == []
    for least in (0, 1):
        assert len(sent(asks(client(limits=Limits(batch_items=least)).send_batch([letter()] * 3)))) == 1


def test_a_batch_over_a_link():
    """Both roles, side by side items and all."""
    wire = link()
    replies = wire.run(
        wire.client.send_batch(
            [letter(id="a"), letter(id="b"), letter(id="c", payload=TaskCancel("t"), payload_type="task.cancel")]
        )
    )
    assert [getattr(reply, "correlation_id", reply.__class__.__name__) for reply in replies] == [
        "a",
        "b",
        "TaskNotFound",
    ]
    assert wire.run(wire.client.discover()) == echo_manifest()


def too_large(details):
    data = {"code": "asap:protocol/batch_too_large", "error": "no", "details": details}
    return http({"jsonrpc": "2.0", "error": {"code": -32600, "message": "m", "data": data}, "id": None})


@pytest.mark.proves("client.batch")
@pytest.mark.parametrize(
    ("details", "most"),
    [
        ({"most": 1}, 1),
        ({"most": 3}, 3),
        ({"most": 4}, 2),
        ({"most": 9}, 2),
        ({"most": 0}, 2),
        ({"most": "3"}, 2),
        ({"most": True}, 2),
        ({}, 2),
        (3, 2),
        (None, 2),
    ],
)
def test_a_peer_that_takes_smaller_batches(details, most):
    """Is sent what it takes; where it does not say so in earnest, half of what it refused."""
    steps = client().send_batch([letter()] * 4)
    assert len(sent(asks(steps))) == 4
    assert len(sent(asks(steps, too_large(details)))) == most


@pytest.mark.proves("client.batch")
def test_a_peer_that_refuses_a_batch_of_one():
    """Takes none; one that refuses two may."""
    steps = client().send_batch([letter(), letter()])
    asks(steps)
    assert len(sent(asks(steps, too_large(None)))) == 1
    assert isinstance(asks(steps, too_large({"most": 1})), Together)
