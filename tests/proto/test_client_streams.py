"""The client follows a task: connection by connection, until its response."""

import json

import pytest

from asap_proto.errors import (
    BodyTooLarge,
    CircuitOpen,
    HandlerFailed,
    InvalidValue,
    MalformedReply,
    MispairedReply,
    Overloaded,
    PeerTimedOut,
    PeerUnreachable,
    SkillNotFound,
)
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.model import (
    ArtifactNotify,
    McpToolResult,
    StateQuery,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    UpdateType,
)
from asap_proto.roles import ClientRole, Deliver, OpenStream, Pause, ReadStream, Transmit
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.retry import RetryRule
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import encode
from asap_proto.wire.sse import ALIVE, write_event
from asap_testkit import ME, PEER, FixedClock, asks, finish, fixed_sources, letter, link

HEAD = HttpResponse(200, {"content-type": "text/event-stream; charset=utf-8"})
REFUSED, BROKEN = TransportFailure("refused", "connection refused"), TransportFailure("broken", "connection reset")
SILENT = TransportFailure("timed_out", "nothing came")


def client(clock=None, **options):
    return ClientRole(ME, fixed_sources(clock), **options)


def envelope_of(payload, **fields):
    """What the peer says to `letter`."""
    return letter(payload, **{"sender": PEER, "recipient": ME, "correlation_id": "letter-1", **fields})


def update(percent):
    return envelope_of(TaskUpdate("task_1", UpdateType.PROGRESS, TaskStatus.WORKING, {"percent": percent}))


def response(status=TaskStatus.COMPLETED, **fields):
    return envelope_of(TaskResponse("task_1", status, {"done": True}), **fields)


def event(envelope, id=None):
    """An envelope as a piece of a stream; without an id where the peer has none."""
    text = dump(encode(envelope))
    return write_event(text, str(id)) if id is not None else b"data: %b\n\n" % text


def answer(envelope, id="req-1"):
    """An answer as those that are no streams."""
    document = {"jsonrpc": "2.0", "result": {"envelope": load(dump(encode(envelope)), depth=99)}, "id": id}
    return HttpResponse(200, {"content-type": "application/json"}, dump(document))


def refused(code, status=200):
    """A refusal by the row of the catalogue that `code` names."""
    error = {"code": -32602, "message": "m", "data": {"code": code}}
    return HttpResponse(status, {}, dump({"jsonrpc": "2.0", "error": error, "id": "req-1"}))


def opened(steps, told=None, *, seen=None):
    """The request by which a connection is opened, which names the event seen last."""
    command = asks(steps, told)
    assert isinstance(command, OpenStream)
    assert command.request.headers.get("last-event-id") == (None if seen is None else str(seen))
    return command


def hears(steps, told, *expected):
    """The story is told a piece, delivers these and then reads on."""
    for envelope in expected:
        assert asks(steps, told) == Deliver(envelope)
        told = None
    assert isinstance(asks(steps, told), ReadStream)


def ends(steps, told, last):
    """The story is told something, and delivers its response last."""
    assert asks(steps, told) == Deliver(last)
    assert finish(steps) is None


def fails(steps, told):
    """The error that the story ends with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  (which one is the test's business)
        steps.send(told)
    return caught.value


def test_a_task_is_followed():
    """Each event as it comes, the response last; a sign of life is nothing to tell of."""
    steps = client(timeout=5.0).stream(letter())
    assert opened(steps).timeout == 5.0
    assert asks(steps, HEAD) == ReadStream(5.0)
    hears(steps, event(update(1), 1) + event(update(2), 2), update(1), update(2))
    hears(steps, ALIVE)
    hears(steps, event(update(3), 3)[:10])
    hears(steps, event(update(3), 3)[10:], update(3))
    ends(steps, event(response(), 4), response())


def test_the_request_of_a_stream():
    """What a single request says, at the streams' own path; its answer comes uncompressed, so that it comes at once."""
    request = opened(client(token="secret").stream(letter(), idempotency_key="k")).request
    assert (request.method, request.target) == ("POST", "/asap/stream")
    assert request.headers == {
        "content-type": "application/json", "accept": "text/event-stream", "asap-version": "2.2, 2.1",
        "authorization": "Bearer secret", "x-idempotency-key": "k", "accept-encoding": "identity",
    }  # fmt: skip
    document = json.loads(request.body)
    assert (document["id"], document["params"]["idempotency_key"]) == ("req-1", "k")
    assert document["params"]["envelope"]["extensions"] == {"nonce": "nonce-1"}


def test_a_key_is_checked_before_anything_is_sent():
    """As for single requests."""
    assert isinstance(fails(client().stream(letter(), idempotency_key="a\nb"), None), InvalidValue)


@pytest.mark.parametrize("number", [0, 7])
@pytest.mark.parametrize("lost", [BROKEN, SILENT, None], ids=["broken", "silent", "ended"])
def test_a_connection_that_drops_is_opened_again(lost, number):
    """With the same key and id, from the event last seen, whatever had ended it."""
    steps = client().stream(letter())
    first = json.loads(opened(steps).request.body)
    hears(steps, HEAD)
    hears(steps, event(update(1), number), update(1))
    assert asks(steps, lost) == Pause(1.0)
    second = json.loads(opened(steps, seen=number).request.body)
    hears(steps, HEAD)
    ends(steps, event(response(), 8), response())
    assert (first["id"], first["params"]["idempotency_key"]) == (second["id"], second["params"]["idempotency_key"])
    assert [document["params"]["envelope"]["extensions"]["nonce"] for document in (first, second)] == [
        "nonce-1",
        "nonce-2",
    ]


def test_a_single_try_is_one_connection():
    """Whatever came before it dropped: who asks for one try gets one."""
    for pieces in ([], [event(update(1), 1)]):
        steps = client(retry=RetryRule(attempts=1)).stream(letter())
        opened(steps)
        hears(steps, HEAD)
        for piece in pieces:
            hears(steps, piece, update(1))
        assert isinstance(fails(steps, BROKEN), PeerUnreachable)


def test_who_gets_nothing_new_gives_up():
    """After as many connections as the rule says, waiting longer each time."""
    steps = client(retry=RetryRule(attempts=3)).stream(letter())
    opened(steps)
    for told, pause in ((REFUSED, 1.0), (HttpResponse(503), 2.0)):
        assert asks(steps, told) == Pause(pause)
        opened(steps)
    hears(steps, HEAD)
    assert fails(steps, None).message == "the stream ended before the task did"


def test_a_connection_that_brings_something_new_is_a_first_try():
    """So a long task outlives any number of them; the pause is short again, and those that bring nothing count anew."""
    steps = client(retry=RetryRule(attempts=2)).stream(letter())
    opened(steps)
    for number in range(1, 6):
        hears(steps, HEAD)
        hears(steps, event(update(number), number), update(number))
        assert asks(steps, BROKEN) == Pause(1.0)
        opened(steps, seen=number)
    assert isinstance(fails(steps, REFUSED), PeerUnreachable)


def test_what_was_told_before_is_nothing_new():
    """A peer that begins anew each time is not followed for ever, and nothing is delivered twice."""
    before = event(update(1), 0) + event(update(2), 1)
    steps = client(retry=RetryRule(attempts=2)).stream(letter())
    opened(steps)
    hears(steps, HEAD)
    hears(steps, before, update(1), update(2))
    assert isinstance(asks(steps, BROKEN), Pause)
    opened(steps, seen=1)
    hears(steps, HEAD)
    hears(steps, before + event(update(3), 2), update(3))
    assert isinstance(asks(steps, BROKEN), Pause)
    opened(steps, seen=2)
    hears(steps, HEAD)
    hears(steps, before)
    assert isinstance(fails(steps, BROKEN), PeerUnreachable)


def test_a_response_is_believed_whatever_its_number():
    """A peer may number it like the event before."""
    steps = client().stream(letter())
    opened(steps)
    hears(steps, HEAD)
    hears(steps, event(update(1), 1), update(1))
    asks(steps, BROKEN)
    opened(steps, seen=1)
    hears(steps, HEAD)
    ends(steps, event(response(), 1), response())


@pytest.mark.parametrize("id", ["", "x", "-1", "1.5", "²", "٣", "9" * 19])
def test_a_peer_that_does_not_number_its_events(id):
    """Would begin anew: what it told is not heard again, so its connection is not opened again."""
    for told in (BROKEN, SILENT):
        steps = client().stream(letter())
        opened(steps)
        hears(steps, HEAD)
        hears(steps, event(update(1), id), update(1))
        assert isinstance(fails(steps, told), PeerUnreachable | PeerTimedOut)


def test_a_peer_that_ends_a_stream_without_a_response():
    """Where it numbers nothing, that is how its streams end; one that has told nothing is asked again."""
    steps = client().stream(letter())
    opened(steps)
    hears(steps, HEAD)
    hears(steps, event(update(1)), update(1))
    assert finish(steps, None) is None
    steps = client().stream(letter())
    opened(steps)
    hears(steps, HEAD)
    assert isinstance(asks(steps, None), Pause)


@pytest.mark.parametrize(
    ("payload", "is_last"),
    [
        (TaskUpdate("task_1", UpdateType.STATUS_CHANGE, TaskStatus.COMPLETED), False),
        (ArtifactNotify("artifact_1", "task_1"), False),
        (TaskResponse("task_1", TaskStatus.WORKING), False),
        (TaskResponse("task_1", TaskStatus.CANCELLED), True),
        (McpToolResult("request_1", True, {}), True),
        ({"chunk": "a", "final": False}, False),
        ({"chunk": "a"}, False),
        ({"chunk": "a", "final": True}, True),
    ],
    ids=str,
)
def test_what_a_stream_ends_with(payload, is_last):
    """With what answers the request, be it a tool's result; not with news of a task, nor with a piece of an answer."""
    name = {"payload_type": "TaskStream"} if isinstance(payload, dict) else {}
    told = envelope_of(payload, **name)
    steps = client().stream(letter())
    opened(steps)
    hears(steps, HEAD)
    if is_last:
        ends(steps, event(told, 1), told)
    else:
        hears(steps, event(told, 1), told)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b"data: {\n\n", MalformedReply),
        (b"data: {}\n\n", MalformedReply),
        (b"data: " + b"[" * 101 + b"]" * 101 + b"\n\n", MalformedReply),
        (event(envelope_of(TaskResponse("task_1", TaskStatus.COMPLETED), correlation_id="other"), 1), MispairedReply),
        (b"data: " + b"x" * 2001 + b"\n", MalformedReply),
        (event(envelope_of({"chunk": [0] * 100}, payload_type="TaskStream")), MalformedReply),
        (event(envelope_of({"task_id": 1}, payload_type="task.response")), MalformedReply),
    ],
    ids=["no JSON", "no envelope", "deep", "another's", "too long", "too many values", "no payload"],
)
def test_what_no_peer_may_say_ends_the_stream(text, error):
    """It would say the same again."""
    steps = client(limits=Limits(reply_bytes=2000, json_values=100)).stream(letter())
    opened(steps)
    hears(steps, HEAD)
    said = fails(steps, text)
    assert isinstance(said, error)
    assert said.message


def test_what_a_newer_peer_says_besides_is_passed_over():
    """Of an envelope as of its payload, as in a single answer."""
    said = load(dump(encode(update(1))), depth=9)
    said["payload"]["mood"] = said["weather"] = "fair"
    steps = client().stream(letter())
    opened(steps)
    hears(steps, HEAD)
    hears(steps, write_event(dump(said), "1"), update(1))


@pytest.mark.parametrize(
    "told",
    [HttpResponse(404), HttpResponse(405), refused("asap:transport/handler_not_found")],
    ids=["404", "405", "no handler"],
)
def test_a_peer_that_knows_no_streams_is_sent_the_request(told):
    """With the same key; its answer is the one thing there is to deliver."""
    steps = client(breaker=Breaker(threshold=1)).stream(letter(), idempotency_key="k")
    opened(steps)
    command = asks(steps, told)
    assert isinstance(command, Transmit)
    assert command.request.target == "/asap"
    assert command.request.headers["x-idempotency-key"] == "k"
    ends(steps, answer(response(), "req-2"), response())


def test_a_peer_that_knew_streams_a_moment_ago():
    """And now does not, is not sent the request anew."""
    steps = client().stream(letter())
    opened(steps)
    hears(steps, HEAD)
    hears(steps, event(update(1), 1), update(1))
    asks(steps, BROKEN)
    opened(steps, seen=1)
    assert fails(steps, HttpResponse(404)).facts["status"] == 404


def test_a_whole_answer_instead_of_a_stream():
    """A peer that has nothing to tell between may answer at once."""
    steps = client().stream(letter(StateQuery("task_1")))
    opened(steps)
    ends(steps, answer(response(TaskStatus.WORKING)), response(TaskStatus.WORKING))
    steps = client().stream(letter())
    opened(steps)
    assert isinstance(fails(steps, answer(response(), "req-9")), MispairedReply)
    steps = client().stream(letter())
    opened(steps)
    assert isinstance(fails(steps, refused("asap:capability/skill_not_found")), SkillNotFound)
    steps = client(limits=Limits(reply_bytes=10)).stream(letter())
    opened(steps)
    assert isinstance(fails(steps, answer(response())), BodyTooLarge)


def test_a_failure_is_raised_as_for_single_requests():
    """It stands in the extensions of the response, as the peer's error object."""
    error = {"code": -32603, "message": "m", "data": {"code": "asap:execution/handler_failed"}}
    steps = client().stream(letter())
    opened(steps)
    hears(steps, HEAD)
    last = response(TaskStatus.FAILED, extensions={"error": error})
    assert isinstance(fails(steps, event(last, 2)), HandlerFailed)


def test_a_word_in_the_extensions_is_no_failure():
    """Only an object is an error."""
    last = response(extensions={"error": "none"})
    steps = client().stream(letter())
    opened(steps)
    hears(steps, HEAD)
    ends(steps, event(last, 2), last)


def test_a_peer_that_keeps_failing_is_left_alone():
    """Connections of streams count like single requests; a response says that it is well again."""
    clock = FixedClock()
    role = client(clock, breaker=Breaker(threshold=2), retry=RetryRule(attempts=1))
    for told in (REFUSED, HttpResponse(503)):
        steps = role.stream(letter())
        opened(steps)
        assert isinstance(fails(steps, told), PeerUnreachable | Overloaded)
    assert isinstance(fails(role.stream(letter()), None), CircuitOpen)
    clock.move(60.0)
    probe = role.stream(letter())
    opened(probe)
    hears(probe, HEAD)
    ends(probe, event(response(), 1), response())
    opened(role.stream(letter()))


def test_a_stream_over_a_link():
    """Both roles: what the handler says is what is delivered."""

    def work(job, task):
        yield from task.progress(50)
        return {"done": True}

    wire = link(skills={"echo": work})
    wire.run(wire.client.stream(letter()))
    assert [(type(told.payload), told.payload.status) for told in wire.delivered] == [
        (TaskUpdate, "submitted"),
        (TaskUpdate, "working"),
        (TaskUpdate, "working"),
        (TaskResponse, "completed"),
    ]
    assert wire.delivered[2].payload.progress == {"percent": 50}
    assert wire.delivered[3].payload.result == {"done": True}
