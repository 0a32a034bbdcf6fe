"""The server's story where the caller does not wait: requests answered at once, and requests followed."""

import json

import pytest

from asap_proto.errors import StateUnavailable
from asap_proto.http import RequestHead
from asap_proto.model import AuthScheme, TaskCancel
from asap_proto.roles import Accept, Background, Handled, Observe, ReadTask, Returned, Watch, Write
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.stores import NonceClaim, Refused
from asap_testkit import CALLER, ME, NOW, PEER, asks, echo_manifest, link, request_frame
from asap_testkit.receiving import (
    accepts,
    admitted,
    answer_of,
    end,
    error_of,
    hold,
    invokes,
    payload_of,
    receive,
    role,
    writes,
)

AT = NOW.timestamp()
ASYNC = {"prefer": "respond-async"}
OTHER = "urn:asap:agent:other"


@pytest.mark.proves("task.submit")
def test_a_submission_is_answered_before_it_runs():
    """With the task's id; then it runs with nobody waiting, and the same request again has its reply."""
    wire = link()
    submitted = payload_of(wire.post(request_frame(key="k", extensions=ASYNC)))
    assert (submitted["status"], submitted["result"], wire.ran) == ("submitted", None, [])
    wire.rest()
    answer = payload_of(wire.post(request_frame(key="k", extensions=ASYNC)))
    assert (answer["task_id"], answer["status"]) == (submitted["task_id"], "completed")
    assert answer["result"] == {"echoed": {"message": "hi"}}
    log = wire.state.events(answer["task_id"], after=0, most=10)
    assert [(event.at, event.status) for event in log] == [(AT, "submitted"), (AT, "working"), (AT, "completed")]


@pytest.mark.proves("task.submit")
@pytest.mark.parametrize("prefer", ["respond-sync", "", 5, None])
def test_another_preference_is_passed_over(prefer):
    """Only the one word counts."""
    assert payload_of(link().post(request_frame(extensions={"prefer": prefer})))["status"] == "completed"


@pytest.mark.proves("task.submit")
def test_a_submission_for_which_there_is_no_room_yet():
    """It waits in the store, owned by nobody, until some worker takes it; it has not begun."""
    wire = link()
    wire.background_most = 0
    task_id = payload_of(wire.post(request_frame(extensions=ASYNC)))["task_id"]
    record = wire.state.read(task_id, now=AT)
    assert (record.status, record.owner, record.lease, record.runs) == ("submitted", "", 0.0, 0)
    assert wire.ran == []


@pytest.mark.proves("task.submit")
def test_a_submission_where_nothing_runs_in_the_background():
    """Is answered at its end, with its result."""
    wire = link()
    wire.has_background = False
    answer = payload_of(wire.post(request_frame(extensions=ASYNC)))
    assert (answer["status"], answer["result"]) == ("completed", {"echoed": {"message": "hi"}})


@pytest.mark.proves("task.submit")
def test_a_submission_that_is_taken_before_it_is_given_back():
    """Whoever has it by now sees to it; who submitted it is told what it was accepted as."""
    steps = receive(request_frame(extensions=ASYNC))
    record = accepts(steps).record
    assert isinstance(asks(steps, Fresh()), Background)
    assert writes(steps, "full").record.owner == ""
    assert isinstance(asks(steps, False), ReadTask)
    answer = payload_of(end(steps, None)[0])
    assert (answer["task_id"], answer["status"], answer["result"]) == (record.id, "submitted", None)


def test_a_task_that_is_lost_in_the_background_is_counted():
    """Nobody is there to be told; the operator's counters are."""
    wire = link()
    task_id = payload_of(wire.post(request_frame(extensions=ASYNC)))["task_id"]
    wire.clock.move(1.0)
    wire.post(request_frame(id=2, payload_type="task.cancel", payload={"task_id": task_id}))
    wire.events.clear()
    wire.rest()
    assert wire.events == [Handled("task.request", "asap:task/taken_over", 0.0)]
    assert wire.ran == []


@pytest.mark.proves("task.cancel")
def test_a_submission_that_was_cancelled_is_answered_by_its_agent():
    """The reply that is kept for it is addressed as one of a handler is."""
    wire = link()
    task_id = payload_of(wire.post(request_frame(key="k", extensions=ASYNC)))["task_id"]
    wire.post(request_frame(id=2, payload_type="task.cancel", payload={"task_id": task_id}))
    envelope = answer_of(wire.post(request_frame(key="k", extensions=ASYNC)))["result"]["envelope"]
    assert (envelope["payload"]["status"], envelope["sender"], envelope["recipient"]) == ("cancelled", PEER, ME)


# -- followed --------------------------------------------------------------------------------------------------------


def stream(wire, frame, **headers):
    """A story that follows, let in by these headers."""
    body = json.dumps(frame).encode()
    sent = {"content-type": "application/json"} | headers
    let_in = wire.run(wire.server.admit(RequestHead("POST", "/asap/stream", sent, "192.0.2.1")))
    return wire.server.stream(let_in, body)


def told_of(wire):
    """The payloads of the events that a stream emitted."""
    head, *pieces = wire.emitted
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
    lines = b"".join(pieces).decode().splitlines()
    return [json.loads(line.removeprefix("data: "))["payload"] for line in lines if line.startswith("data: ")]


def follow(wire, frame, **headers):
    wire.post(frame, path="/asap/stream", **headers)
    return told_of(wire)


def refusal_of(wire, frame, **headers):
    """The error that a stream is refused with: whole, and nothing is emitted."""
    response = wire.post(frame, path="/asap/stream", **headers)
    assert wire.emitted == []
    error = answer_of(response)["error"]
    assert wire.events[-1].code == error["data"]["code"]
    return response, error


@pytest.mark.proves("stream.request")
def test_a_request_that_is_followed():
    """Is submitted, and its log told until its response; sent again it is the same task, from the event last seen."""
    wire = link()
    told = follow(wire, request_frame(key="k"))
    assert [payload["status"] for payload in told] == ["submitted", "working", "completed"]
    assert told[-1]["result"] == {"echoed": {"message": "hi"}}
    assert wire.events == [Handled("task.request", None, 0.0)]
    assert follow(wire, request_frame(key="k")) == told
    assert follow(wire, request_frame(key="k"), last_event_id="2") == told[2:]
    assert len(wire.ran) == 1


@pytest.mark.proves("stream.request")
def test_a_request_that_is_followed_while_it_runs():
    """Who asked for the whole answer and who follows wait for the same run."""
    wire = link()
    first = hold(wire, request_frame(key="k"))
    follower = stream(wire, request_frame(key="k"))
    watch = wire.reach(follower, Watch)
    reply = wire.run(first, Returned({"ok": True}))
    assert wire.run(follower, wire.perform(watch)) is None
    assert told_of(wire)[-1] == payload_of(reply)


@pytest.mark.proves("stream.request")
def test_a_request_that_is_followed_where_nothing_runs_in_the_background():
    """It runs first, and is told of then."""
    wire = link()
    wire.has_background = False
    assert [payload["status"] for payload in follow(wire, request_frame())] == ["submitted", "working", "completed"]


@pytest.mark.proves("stream.query")
def test_a_task_that_is_followed_by_its_id():
    """A query follows it too, and starts nothing."""
    wire = link()
    task_id = payload_of(wire.post(request_frame(extensions=ASYNC)))["task_id"]
    told = follow(wire, query(task_id, extensions={"nonce": "n"}))
    assert [payload["status"] for payload in told] == ["submitted", "working", "completed"]
    assert {payload["task_id"] for payload in told} == {task_id}


def query(task_id, **changes):
    return request_frame(payload_type="state.query", payload={"task_id": task_id}, **changes)


@pytest.mark.proves("stream.query", "nonce.repeated", "task.visible")
def test_a_task_that_can_not_be_followed():
    """One that nobody knows, one of another caller, and one that is asked for with a nonce seen before."""
    wire = link(
        manifest=echo_manifest(auth=AuthScheme(("bearer",))),
        callers={"bearer mine": CALLER, "bearer theirs": type(CALLER)(OTHER)},
    )
    mine, theirs = {"authorization": "bearer mine"}, {"authorization": "bearer theirs"}
    task_id = payload_of(wire.post(request_frame(), **mine))["task_id"]
    for frame, headers in ((query("task_x"), mine), (query(task_id, sender=OTHER), theirs)):
        response, error = refusal_of(wire, frame, **headers)
        assert (response.status, error["code"], error["data"]["code"]) == (200, -32602, "asap:task/not_found")
        assert error["data"]["path"] == "$.params.envelope.payload.task_id"
    nonce = {"extensions": {"nonce": "n"}}
    follow(wire, query(task_id, **nonce), **mine)
    _, error = refusal_of(wire, query(task_id, **nonce), **mine)
    assert error["data"]["code"] == "asap:protocol/invalid_nonce"


@pytest.mark.proves("stream.refusal")
@pytest.mark.parametrize(
    ("changes", "code", "path"),
    [
        ({"sender": "x"}, "asap:protocol/malformed_envelope", "$.params.envelope.sender"),
        ({"timestamp": "2020-01-01"}, "asap:protocol/invalid_timestamp", "$.params.envelope.timestamp"),
        ({"extensions": {"task_depth": 11}}, "asap:task/too_deep", "$.params.envelope.extensions.task_depth"),
        ({"payload_type": "custom"}, "asap:transport/handler_not_found", "$.params.envelope.payload_type"),
        ({"envelope": 5}, "asap:protocol/malformed_envelope", "$.params.envelope"),
    ],
)
def test_a_stream_that_is_refused(changes, code, path):
    """Has one whole JSON answer with status 200, the request's id, and the paths and headers that it has elsewhere."""
    response, error = refusal_of(link(quota="5/minute"), request_frame(id=7, **changes))
    assert (response.status, answer_of(response)["id"]) == (200, 7)
    assert (error["data"]["code"], error["data"]["path"]) == (code, path)
    elsewhere = link(quota="5/minute").post(request_frame(**changes))
    assert "ratelimit" in elsewhere.headers
    assert error["data"] == answer_of(elsewhere)["error"]["data"]
    assert response.headers == elsewhere.headers


@pytest.mark.proves("stream.refusal")
@pytest.mark.parametrize("document", [b"{", [], [request_frame()]])
def test_a_stream_of_what_is_no_single_request(document):
    """Nor is a batch followed."""
    wire = link()
    response, error = refusal_of(wire, document)
    assert (response.status, answer_of(response)["id"]) == (200, None)
    assert error["code"] in (-32700, -32600)
    assert wire.events == [Handled("other", error["data"]["code"], 0.0)]


@pytest.mark.proves("stream.refusal")
def test_a_stream_that_finds_no_room():
    """Is asked to come back, by the status too."""
    steps = role().stream(admitted(), json.dumps(request_frame(id=7)).encode())
    accepts(steps)
    response, _ = end(steps, Refused("tasks full"))
    assert (response.status, response.headers["retry-after"], answer_of(response)["id"]) == (503, "1", 7)


@pytest.mark.proves("stream.refusal")
@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Reused(), "asap:protocol/idempotency_key_reused"),
        (Refused("repeated"), "asap:protocol/invalid_nonce"),
    ],
)
def test_a_stream_that_is_not_accepted(found, code):
    """As a request is not."""
    frame = request_frame(key="k", extensions={"nonce": "n"})
    wire = link()
    steps = wire.server.stream(admitted(), json.dumps(frame).encode())
    assert accepts(steps).nonce == NonceClaim(ME, "n", AT + 600.0)
    wire.clock.move(2.0)
    response, event = end(steps, found)
    assert answer_of(response)["error"]["data"]["code"] == code
    assert (event.payload_type, event.code, event.seconds) == ("task.request", code, 2.0)
    assert ("envelope=letter-1" in event.note) == (code == "asap:protocol/invalid_nonce")


@pytest.mark.proves("stream.request")
@pytest.mark.parametrize("found", [Kept("task_1", b'"result":1'), Busy("task_1")])
def test_a_stream_of_a_task_that_just_went_away(found):
    """What was found in the slot is forgotten by the time it is looked at: the same request again starts anew."""
    steps = role().stream(admitted(), json.dumps(request_frame(key="k")).encode())
    accepts(steps)
    assert isinstance(asks(steps, found), ReadTask)
    if isinstance(found, Busy):
        assert isinstance(asks(steps, None), ReadTask)
    error = error_of(steps, None)
    assert (error["code"], error["data"]["code"]) == (-32031, "asap:task/still_running")
    assert error["data"]["details"] == {"retry_after": 1} | ({"task_id": "task_1"} if isinstance(found, Busy) else {})
    assert ("running" if isinstance(found, Busy) else "expired") in error["data"]["error"]


@pytest.mark.proves("stream.refusal")
@pytest.mark.parametrize(
    ("payload_type", "payload"),
    [("task.cancel", {"task_id": "task_x"}), ("mcp.tool_call", {"request_id": "r", "tool_name": "x", "arguments": {}})],
)
def test_what_can_not_be_followed_has_a_whole_answer(payload_type, payload):
    """The one that it has elsewhere."""
    frame = request_frame(payload_type=payload_type, payload=payload)
    wire = link()
    streamed = answer_of(wire.post(frame, path="/asap/stream"))
    assert wire.emitted == []
    plain = answer_of(link().post(frame))
    assert streamed == plain


@pytest.mark.proves("stream.refusal")
@pytest.mark.parametrize(
    ("why", "status", "path"),
    [("repeated", 400, "$.params.envelope.extensions.nonce"), ("nonces full", 503, "$.params.envelope")],
)
def test_what_can_not_be_followed_and_is_not_accepted(why, status, path):
    """Has the status, the path and the note that it has elsewhere."""
    frame = request_frame(payload_type="task.cancel", payload={"task_id": "task_x"}, extensions={"nonce": "n"})
    told = []
    for tell in ("stream", "receive"):
        steps = getattr(role(strict_http=True), tell)(admitted(), json.dumps(frame).encode())
        accepts(steps)
        told.append(end(steps, Refused(why)))
    assert told[0] == told[1]
    response, event = told[0]
    assert (response.status, answer_of(response)["error"]["data"]["path"]) == (status, path)
    assert (event.payload_type, bool(event.note)) == ("task.cancel", why == "repeated")


@pytest.mark.proves("stream.refusal", "rpc.notification")
def test_a_notification_that_can_not_be_followed_has_no_answer():
    """As elsewhere."""
    frame = request_frame(payload_type="task.cancel", payload={"task_id": "task_x"})
    del frame["id"]
    assert link().post(frame, path="/asap/stream").status == 204


def test_what_an_agent_has_a_handler_of_its_own_for_is_not_followed():
    """Only the task of a request is: its handler is run, and answered for as a whole."""
    frame = request_frame(payload_type="task.cancel", payload={"task_id": "task_x"})
    steps = role(handles=[TaskCancel]).stream(admitted(), json.dumps(frame).encode())
    assert invokes(steps).name == "task.cancel"


def test_a_query_that_is_followed_claims_its_nonce():
    """And nothing else."""
    frame = query("task_1", extensions={"nonce": "n"})
    steps = role().stream(admitted(), json.dumps(frame).encode())
    assert asks(steps) == Accept(None, NonceClaim(ME, "n", AT + 600.0), (), AT)


@pytest.mark.parametrize(("placed", "then"), [("started", ReadTask), ("nowhere", Write)])
def test_a_request_that_is_followed_runs_once(placed, then):
    """In the background, or where that can't be before it is told of."""
    steps = role().stream(admitted(), json.dumps(request_frame()).encode())
    accepts(steps)
    assert isinstance(asks(steps, Fresh()), Background)
    command = asks(steps, placed)
    if placed == "started":
        assert isinstance(command, Observe)
        command = asks(steps)
    assert isinstance(command, then)


@pytest.mark.proves("stream.refusal")
def test_a_stream_whose_store_is_away_before_it_begins():
    """Is asked to come back, by the status too; the task runs all the same."""
    wire = link()
    steps = stream(wire, request_frame(id=7))
    wire.reach(steps, ReadTask)
    with pytest.raises(StopIteration) as ended:
        steps.throw(StateUnavailable("away", facts={"retry_after": 1}))
    response = ended.value.value
    assert (response.status, response.headers["retry-after"], answer_of(response)["id"]) == (503, "1", 7)
    assert wire.emitted == []
    assert len(wire.background) == 1


@pytest.mark.proves("stream.poll")
@pytest.mark.parametrize(("durable", "seconds"), [(True, 1.0), (False, 15.0)])
def test_a_task_that_another_worker_may_run_is_looked_at(durable, seconds):
    """Once a beat where others share the store: nothing tells of what they write."""
    wire = link(server={"durable": durable})
    hold(wire, request_frame(key="k"))
    assert wire.reach(stream(wire, request_frame(key="k")), Watch).seconds == seconds
