"""What a client believes of what comes back, and when it asks at all."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from asap_proto import TaskRequest
from asap_proto.errors import CircuitOpen, MalformedReply, MispairedReply, Overloaded
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.retry import RetryRule

from .fronts import WORKER, holds
from .wires import Peer, http_answer, listening, read_request

ONCE = RetryRule(attempts=1)
SOON = RetryRule(attempts=3, base_seconds=0.01)
EVE = "urn:asap:agent:eve"


def document_of(request):
    return json.loads(request.partition(b"\r\n\r\n")[2])


def reply_to(call, **changes):
    """The right answer to one call, but for the changes."""
    asked = call["params"]["envelope"]
    envelope = {
        "id": "reply",
        "asap_version": "0.1",
        "timestamp": asked["timestamp"],
        "sender": asked["recipient"],
        "recipient": asked["sender"],
        "payload_type": "task.response",
        "payload": {"task_id": "t", "status": "completed", "result": asked["payload"].get("input")},
        "correlation_id": asked["id"],
    }
    id = changes.pop("frame_id", call["id"])
    return {"jsonrpc": "2.0", "result": {"envelope": envelope | changes}, "id": id}


class Liar(Peer):
    """Answers what `answer` makes of the request."""

    def __init__(self, answer):
        def say(connection):
            connection.sendall(http_answer(json.dumps(answer(document_of(self.heard[-1]))).encode()))

        super().__init__(say)


LIES = {
    "another call": {"frame_id": "req-99"},
    "no call": {"frame_id": None},
    "a call of another type": {"frame_id": 1},
    "another request": {"correlation_id": "another"},
    "another agent": {"sender": EVE},
    "to another agent": {"recipient": EVE},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_an_answer_to_something_else(front, lie):
    """Whose it is, is told by the call's id, the request's, and who speaks to whom; it is asked for once."""
    peer = Liar(lambda call: reply_to(call, **lie))
    with (
        listening(peer) as url,
        front.client(url, peer=WORKER, retry=SOON) as client,
        pytest.raises(MispairedReply),
    ):
        client.request("echo", {})
    assert len(peer.heard) == 1


def test_a_batch_is_told_apart_by_its_ids(front):
    """In whatever order its answers come; one that is missing, or of somebody else, loses no other."""

    def answer(calls):
        first, second, third, _ = calls
        return [reply_to(third), reply_to(second, sender=EVE), reply_to(first), {**reply_to(first), "id": "req-99"}, 5]

    with listening(Liar(answer)) as url, front.client(url, peer=WORKER, retry=ONCE) as client:
        letters = [client.role.compose(WORKER, TaskRequest("c", "echo", {"n": n})) for n in range(4)]
        results = client.send_batch(letters)
    assert [results[n].payload.result for n in (0, 2)] == [{"n": 0}, {"n": 2}]
    assert [type(results[n]) for n in (1, 3)] == [MispairedReply, MalformedReply]


def test_a_stream_of_somebody_else(front):
    """What a stream tells is held against its request too."""

    def say(connection):
        told = reply_to(document_of(peer.heard[-1]), sender=EVE)["result"]["envelope"]
        event = b"id: 1\ndata: " + json.dumps(told).encode() + b"\n\n"
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        connection.sendall(head + event)

    peer = Peer(say)
    with (
        listening(peer) as url,
        front.client(url, peer=WORKER, retry=SOON) as client,
        client.stream("echo", {}) as payloads,
        pytest.raises(MispairedReply),
    ):
        next(payloads)
    assert len(peer.heard) == 1


@pytest.mark.parametrize("kind", ["PooledTransport", "HttpxTransport"])
def test_an_answer_that_nobody_asked_for(front, stack, kind):
    """What a peer says beyond its answer is not taken for that to the next request.

    httpx reads it as one, which then is found to be another's.
    """

    def say(connection):
        request = peer.heard[-1]
        while request:
            right = json.dumps(reply_to(document_of(request))).encode()
            wrong = right.replace(b'"n": 1', b'"n": 9').replace(b"req-1", b"req-2")
            whole = http_answer(right) + http_answer(wrong)
            connection.sendall(whole.replace(b"Connection: close", b"Connection: keep-alive"))
            request = read_request(connection)

    peer = Peer(say)
    url = stack.enter_context(listening(peer))
    transport = stack.enter_context(front.transport(url, kind=kind))
    client = stack.enter_context(front.client(url, peer=WORKER, retry=SOON, transport=transport.real))
    assert client.request("echo", {"n": 1}).result == {"n": 1}
    if kind == "PooledTransport":
        assert client.request("echo", {"n": 2}).result == {"n": 2}
        assert len(peer.heard) == 2
    else:
        with pytest.raises(MispairedReply):
            client.request("echo", {"n": 2})


def test_one_probe_alone(front):
    """Of many who come at once to a peer that has rested, one asks it; the others wait for what that finds."""
    refused, told = threading.Event(), []

    def probed(connection):
        refused.wait(10)
        connection.sendall(http_answer(json.dumps(reply_to(document_of(peer.heard[-1]))).encode()))

    peer = Peer(http_answer(b"", "503 x"), probed)
    breaker = Breaker(threshold=1, rest_seconds=0.2)

    def ask():
        start.wait(10)
        try:
            told.append(client.request("echo", {"n": 1}).result)
        except CircuitOpen as error:
            told.append(type(error))

    with listening(peer) as url, front.client(url, peer=WORKER, retry=ONCE, breaker=breaker) as client:
        with pytest.raises(Overloaded):
            client.request("echo", {})
        threading.Event().wait(0.25)
        start = threading.Barrier(20)
        with ThreadPoolExecutor(20) as threads:
            asked = [threads.submit(ask) for _ in range(20)]
            holds(lambda: len(told) == 19)
            refused.set()
            for each in asked:
                each.result(10)
        assert len(peer.heard) == 2
        assert told.count(CircuitOpen) == 19
        assert told[-1] == {"n": 1}
        assert client.request("echo", {"n": 2}).result == {"n": 2}
