"""A task followed: what of its log is told, in which order, and when the stream ends."""

import json

import pytest
from attrs import evolve

from asap_proto.errors import StateUnavailable
from asap_proto.http import HttpResponse
from asap_proto.limits import Limits
from asap_proto.model import TaskResponse, TaskStatus, TextPart, make_ulid
from asap_proto.roles import Admitted, Emit, ReadEvents, ReadTask, Watch
from asap_proto.roles.streaming import follow
from asap_proto.stores import TaskEvent
from asap_proto.wire.json import dump
from asap_proto.wire.sse import ALIVE, EventReader
from asap_testkit import ME, NOW, PEER, FixedClock, asks, finish, fixed_sources, letter, link, request_frame
from asap_testkit.records import T, ended, event_of, record_of

SUBMITTED, WORKING, WAITING = TaskStatus.SUBMITTED, TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED
HEADERS = {"content-type": "text/event-stream", "cache-control": "no-store"}
#: What is said of every event's envelope, besides its id.
ANSWER = {
    "id": None, "timestamp": "2026-01-02T03:04:05.123456Z", "sender": PEER, "recipient": ME,
    "correlation_id": "letter-1",
}  # fmt: skip
DONE = b'"result":{"envelope":{"payload_type":"task.response","payload":{"task_id":"task_1","status":"completed"}}}'


def followed(record, *, seen=0, clock=None, poll=1.0, beat=15.0):
    """The story of a stream, told by hand."""
    headers = {"content-type": "application/json", "asap-version": "2.2"}
    return follow(
        record,
        letter(),
        Admitted("identity", 1, None, "", headers, True, seen),
        agent=PEER,
        sources=fixed_sources(clock),
        limits=Limits(stream_beat_seconds=beat),
        poll=poll,
    )


def reads(steps, record, *events, answer=None):
    """The story looks at the task and then at its log; what it asks next."""
    assert isinstance(asks(steps, answer), ReadTask)
    assert isinstance(asks(steps, record), ReadEvents)
    return asks(steps, events)


def update(status, kind="status_change", **changes):
    """An update as it is told, with all its members."""
    return {"task_id": None, "update_type": kind, "status": status, "progress": None, "input_request": None, **changes}


def events_in(pieces):
    """The events that were emitted: their numbers and envelopes."""
    events = EventReader(1 << 20).feed(b"".join(pieces))
    return [(int(event.id), json.loads(event.data)) for event in events]


def envelope_in(command):
    assert isinstance(command, Emit)
    ((number, envelope),) = events_in([command.part])
    return number, envelope


def heard(wire, frame=None, **headers):
    """What the server told in a stream, as payloads."""
    head = wire.post(frame or request_frame(), path="/asap/stream", **headers)
    assert head.headers["content-type"] == "text/event-stream"
    return [envelope["payload"] for _, envelope in events_in(wire.emitted[1:])]


def query_frame(task_id):
    return request_frame(payload_type="state.query", payload={"task_id": task_id})


# -- the order of things ---------------------------------------------------------------------------------------------


def test_the_head_is_sent_once_the_log_was_read():
    """From then on the task goes no faster than its reader; the head says what comes, and that none may keep it."""
    steps = followed(record_of())
    head = reads(steps, record_of(events=1), event_of(1))
    assert head == Emit(HttpResponse(200, {**HEADERS, "asap-version": "2.2"}))


def test_a_running_task_is_watched():
    """Each line is told with its number, then the next is waited for; the task is read before its log, each time."""
    steps = followed(record_of())
    assert asks(steps) == ReadTask("task_1", pytest.approx(1767323045.123456))
    assert asks(steps, record_of(events=1)) == ReadEvents("task_1", 0, 50)
    assert isinstance(asks(steps, (event_of(1),)), Emit)
    number, envelope = envelope_in(asks(steps))
    assert number == 1
    assert {name: envelope[name] for name in ANSWER} == ANSWER | {"id": make_ulid(NOW, 1)}
    assert envelope["payload"] == update("working", task_id="task_1")
    assert reads(steps, record_of(events=1)) == Watch("task_1", 1, 1.0)
    command = reads(steps, record_of(events=2), event_of(2, {"percent": 5}))
    assert envelope_in(command)[1]["payload"]["progress"] == {"percent": 5}


def test_a_task_that_is_over_is_told_to_its_end():
    """The last status stands in the response alone, which has its number."""
    over = ended(record_of(events=2), reply=DONE).record
    steps = followed(record_of())
    reads(steps, over, event_of(1), TaskEvent(2, T, "status_change", COMPLETED))
    assert envelope_in(asks(steps))[0] == 1
    number, envelope = envelope_in(asks(steps))
    assert (number, envelope["payload_type"], envelope["payload"]["status"]) == (2, "task.response", "completed")
    assert {name: envelope[name] for name in ANSWER} == ANSWER | {"id": make_ulid(NOW, 2)}
    assert finish(steps) is None


def test_a_long_log_is_read_in_pieces():
    """The response waits for the last of them, though the task was over before."""
    over = ended(record_of(events=51), reply=DONE).record
    steps = followed(record_of())
    reads(steps, over, *(event_of(number) for number in range(1, 51)))
    assert [envelope_in(asks(steps))[0] for _ in range(50)] == list(range(1, 51))
    assert asks(steps) == ReadTask("task_1", pytest.approx(1767323045.123456))
    assert asks(steps, over) == ReadEvents("task_1", 50, 50)
    number, envelope = envelope_in(asks(steps, (TaskEvent(51, T, "status_change", COMPLETED),)))
    assert (number, envelope["payload"]["status"]) == (51, "completed")


def test_a_reader_that_comes_back_is_told_the_rest():
    """After the event it has seen; and the response in any case."""
    over = ended(record_of(events=3), reply=DONE).record
    steps = followed(record_of(), seen=2)
    assert isinstance(asks(steps), ReadTask)
    assert asks(steps, over) == ReadEvents("task_1", 2, 50)
    assert isinstance(asks(steps, (TaskEvent(3, T, "status_change", COMPLETED),)), Emit)
    assert envelope_in(asks(steps))[0] == 3
    steps = followed(record_of(), seen=99)
    reads(steps, over)
    assert envelope_in(asks(steps))[0] == 99


def test_a_task_that_is_gone():
    """Has made way for a retry of itself, or was over for too long: who follows it is told so, and of nothing else."""
    steps = followed(record_of())
    reads(steps, None)
    _, envelope = envelope_in(asks(steps))
    assert (envelope["payload"]["status"], envelope["payload"]["result"]) == ("failed", None)
    data = envelope["extensions"]["error"]["data"]
    assert (data["code"], data["details"]) == ("asap:task/not_found", {"task_id": "task_1"})
    assert "not known" in data["error"]
    assert finish(steps) is None


def test_a_task_that_was_over_before_it_was_gone():
    """The stream had its reply when it began."""
    steps = followed(ended(record_of(events=2), reply=DONE).record)
    reads(steps, None)
    _, envelope = envelope_in(asks(steps))
    assert (envelope["payload"]["status"], envelope["extensions"]) == ("completed", None)


@pytest.mark.parametrize("asked", [ReadTask, ReadEvents])
def test_a_store_that_is_away_is_told_before_anything_else(asked):
    """Then the request is refused as a whole."""
    steps = followed(record_of())
    command = asks(steps)
    if asked is ReadEvents:
        command = asks(steps, record_of())
    assert isinstance(command, asked)
    with pytest.raises(StateUnavailable):
        steps.throw(StateUnavailable("away"))


def test_a_store_that_goes_away_ends_the_stream():
    """Without a response: whoever reads asks again, from the event that was seen last."""
    steps = followed(record_of())
    assert isinstance(reads(steps, record_of()), Emit)
    assert isinstance(asks(steps), Watch)
    assert isinstance(asks(steps), ReadTask)
    with pytest.raises(StopIteration):
        steps.throw(StateUnavailable("away"))


# -- waiting ---------------------------------------------------------------------------------------------------------


def test_another_workers_task_is_looked_at_often():
    """Nothing tells of its events; but never is longer waited than until the next sign of life."""
    for poll, beat, seconds in ((1.0, 15.0, 1.0), (60.0, 15.0, 15.0)):
        steps = followed(record_of(), poll=poll, beat=beat)
        reads(steps, record_of())
        assert asks(steps) == Watch("task_1", 0, seconds)


def test_a_stream_says_that_it_is_alive():
    """Where nothing was said for so long, however often was looked; what is said counts."""
    clock = FixedClock()
    steps = followed(record_of(), clock=clock, poll=10.0)
    reads(steps, record_of())
    assert isinstance(asks(steps), Watch)
    clock.move(10.0)
    assert isinstance(reads(steps, record_of()), Watch)
    clock.move(5.0)
    assert asks(steps) == Emit(ALIVE)
    command = reads(steps, record_of(), event_of(1))
    clock.move(1.0)
    assert envelope_in(command)[0] == 1
    assert isinstance(reads(steps, record_of()), Watch)
    clock.move(14.9)
    assert isinstance(reads(steps, record_of()), Watch)
    clock.move(0.1)
    assert asks(steps) == Emit(ALIVE)
    assert isinstance(reads(steps, record_of()), Watch)
    clock.move(15.0)
    assert asks(steps) == Emit(ALIVE)


# -- what is told ----------------------------------------------------------------------------------------------------


def test_progress_and_artifacts_are_told():
    """What a handler saves is its own business, and leaves a gap in the numbers."""

    def work(job, task):
        yield from task.progress(50, "half")
        yield from task.save({"step": 1})
        yield from task.artifact("notes", [TextPart("x")])
        return {"done": True}

    wire = link(skills={"echo": work})
    payloads = heard(wire)
    assert [payload.get("status") for payload in payloads] == ["submitted", "working", "working", None, "completed"]
    assert payloads[2]["progress"] == {"percent": 50, "message": "half"}
    (record,) = wire.state.tasks()
    (event,) = wire.state.events(record.id, after=4, most=1)
    made = event.data["artifact"]["id"]
    assert payloads[3] == {"artifact_id": made, "task_id": record.id, "name": "notes"}
    assert payloads[4]["result"] == {"done": True}
    assert [number for number, _ in events_in(wire.emitted[1:])] == [1, 2, 3, 5, 6]


def test_a_question_and_its_answer_are_told():
    """What is asked, and that it was answered; what was answered is nobody else's business."""

    def work(job, task):
        answer = yield from task.need_input({"question": "name?"})
        return {"hello": answer["input"]["name"]}

    wire = link(skills={"echo": work})
    wire.post(request_frame(extensions={"prefer": "respond-async"}))
    wire.rest()
    (waiting,) = wire.state.tasks()
    assert waiting.status is WAITING
    message = {"task_id": waiting.id, "message_id": "m", "sender": ME, "role": "user", "parts": []}
    wire.post(request_frame(payload_type="message.send", payload=message, extensions={"input": {"name": "Ann"}}))
    payloads = heard(wire, query_frame(waiting.id))
    assert [payload["status"] for payload in payloads] == [
        "submitted", "working", "input_required", "working", "completed",
    ]  # fmt: skip
    question = {"input_request": {"question": "name?"}}
    assert payloads[2] == update("input_required", "input_required", task_id=waiting.id, **question)
    assert [payloads[3][name] for name in ("update_type", "progress", "input_request")] == ["status_change", None, None]
    assert payloads[4]["result"] == {"hello": "Ann"}


def test_how_far_subtasks_have_come_is_told():
    """As progress of the task that they are a part of; their other news is not."""
    news_of_it = {"task_id": "sub", "update_type": "progress", "status": "working", "progress": {"percent": 5}}

    def work(job):
        parent = {"parent_task_id": job.task_id}
        for kind, news in (("task.update", news_of_it), ("artifact.notify", {"task_id": "sub", "artifact_id": "a"})):
            answer = wire.run(
                wire.server.receive(admitted, dump(request_frame(payload_type=kind, payload=news, extensions=parent)))
            )
            assert "result" in json.loads(answer.body)

    admitted = Admitted("identity", 1 << 20, None, "", {})
    wire = link(skills={"echo": work})
    payloads = heard(wire)
    assert [payload.get("update_type") for payload in payloads] == ["status_change", "status_change", "progress", None]
    subtask = {"subtask": {**news_of_it, "input_request": None}}
    assert payloads[2] == update("working", "progress", task_id=payloads[3]["task_id"], progress=subtask)


# -- how it ends -----------------------------------------------------------------------------------------------------


def test_a_failure_stands_in_the_extensions():
    """The error object that a single request would have been answered with."""

    def work(job):
        raise ValueError("secret")

    wire = link(skills={"echo": work})
    assert heard(wire)[-1]["status"] == "failed"
    _, last = events_in(wire.emitted[1:])[-1]
    assert last["extensions"]["error"]["data"]["code"] == "asap:execution/handler_failed"
    assert "secret" not in json.dumps(last)


def test_a_handlers_own_response_is_the_last_event():
    """With its metrics and its final state; a status that says that more is to come would leave the reader waiting."""
    final = TaskResponse("x", COMPLETED, {"a": 1}, {"b": 2}, {"c": 3})
    last = heard(link(skills={"echo": lambda job: evolve(final, task_id=job.task_id)}))[-1]
    assert (last["result"], last["final_state"], last["metrics"]) == ({"a": 1}, {"b": 2}, {"c": 3})
    last = heard(link(skills={"echo": lambda job: TaskResponse(job.task_id, WORKING)}))[-1]
    assert last["status"] == "completed"


def test_a_tool_call_ends_in_its_result():
    """For whoever has called the tool; who asks by the task's id is told of the task."""
    wire = link()
    call = {"request_id": "r", "tool_name": "echo", "arguments": {"message": "hi"}}
    last = heard(wire, request_frame(payload_type="mcp.tool_call", payload=call))[-1]
    assert (last["request_id"], last["success"], last["result"]) == ("r", True, {"echoed": {"message": "hi"}})
    (record,) = wire.state.tasks()
    last = heard(wire, query_frame(record.id))[-1]
    assert (last["task_id"], last["status"], last["result"]) == (record.id, "completed", {"echoed": {"message": "hi"}})
    assert events_in(wire.emitted[1:])[-1][1]["extensions"] is None


def test_a_cancelled_task_ends_cancelled():
    """Without a result, and without an error."""
    wire = link()
    wire.post(request_frame(extensions={"prefer": "respond-async"}))
    (record,) = wire.state.tasks()
    wire.post(request_frame(id="c", payload_type="task.cancel", payload={"task_id": record.id}))
    payloads = heard(wire, query_frame(record.id))
    assert [payload["status"] for payload in payloads] == ["submitted", "cancelled"]
    assert not events_in(wire.emitted[1:])[-1][1]["extensions"]
