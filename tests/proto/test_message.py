"""What a message to a task that waits is answered with."""

import json

import pytest

from asap_proto.errors import KeyReused
from asap_proto.limits import Limits
from asap_proto.model import TaskStatus
from asap_proto.roles import Invoke, Suspended, Write
from asap_testkit import ME, NOW, link, request_frame
from asap_testkit.receiving import answer_of, ask, hold, payload_of, receive, record_at, refused

AT = NOW.timestamp()
PATH = "$.params.envelope.payload.task_id"


def message(task_id, id="m-1", parts=(), **fields):
    return {"task_id": task_id, "message_id": id, "sender": ME, "role": "user", "parts": list(parts), **fields}


def tell(wire, task_id, input=None, *, id="m-1", parts=(), **changes):
    extensions = {} if input is None else {"extensions": {"input": input}}
    return ask(wire, "message.send", message(task_id, id, parts), id="tell", **extensions, **changes)


def booking(job, task):
    """A handler that asks two questions."""
    where = yield from task.need_input({"question": "where to?"})
    when = yield from task.need_input({"question": "when?"})
    return {"where": where, "when": when["input"]}


def asked(**options):
    """A wire on which a task waits for its first answer, and its id."""
    wire = link(skills={"echo": booking}, **options)
    return wire, payload_of(wire.post(request_frame(key="k")))["task_id"]


@pytest.mark.proves("task.message", "task.question")
def test_a_task_is_told_what_it_asked_for():
    """It goes on in the background, run again with all answers so far, until it asks again or is done."""
    wire, task_id = asked()
    answer = tell(wire, task_id, {"city": "Oslo"}, parts=["part_1"])
    assert (answer["payload"]["task_id"], answer["payload"]["status"]) == (task_id, "working")
    assert answer["extensions"]["task"]["status"] == "working"
    wire.rest()
    assert record_at(wire, task_id).question == {"question": "when?"}
    tell(wire, task_id, {"day": 1}, id="m-2")
    wire.rest()
    result = payload_of(wire.post(request_frame(key="k")))["result"]
    first = {"message_id": "m-1", "sender": ME, "role": "user", "parts": ["part_1"], "input": {"city": "Oslo"}}
    assert result == {"where": first, "when": {"day": 1}}
    assert [job.task_id for job in wire.ran] == [task_id] * 3
    log = wire.state.events(task_id, after=0, most=20)
    assert [(event.kind, event.status) for event in log] == [
        ("status_change", "working"),
        ("input_required", "input_required"),
        ("message", "working"),
        ("input_required", "input_required"),
        ("message", "working"),
        ("status_change", "completed"),
    ]
    assert log[2].data == first


@pytest.mark.proves("task.message")
def test_a_task_that_waits_for_nothing():
    """Takes no message: one that runs is told apart from one that is submitted, and from one that is over."""
    wire = link()
    hold(wire, request_frame(id=1))
    [task] = wire.state.tasks()
    details = {"task_id": task.id, "from_state": "working", "to_state": "working"}
    assert refused(wire, "message.send", message(task.id)) == ("asap:protocol/invalid_state", PATH, details)
    submitted = payload_of(wire.post(request_frame(id=2, extensions={"prefer": "respond-async"})))["task_id"]
    details = {"task_id": submitted, "from_state": "submitted", "to_state": "working"}
    assert refused(wire, "message.send", message(submitted)) == ("asap:protocol/invalid_state", PATH, details)
    done = payload_of(wire.post(request_frame(id=3)))["task_id"]
    details = {"task_id": done, "current_status": "completed"}
    assert refused(wire, "message.send", message(done)) == ("asap:task/already_completed", PATH, details)


@pytest.mark.proves("task.message")
def test_a_message_to_a_task_that_is_not_there():
    """Is told by its path."""
    assert refused(link(), "message.send", message("task_x"))[:2] == ("asap:task/not_found", PATH)


@pytest.mark.proves("task.message")
@pytest.mark.parametrize("input", [5, "x", [], True])
def test_the_input_of_a_message_is_an_object(input):
    """Or left out."""
    wire, task_id = asked()
    assert tell(wire, task_id, input)["data"]["path"] == "$.params.envelope.extensions.input"
    assert record_at(wire, task_id).status is TaskStatus.INPUT_REQUIRED
    assert tell(wire, task_id, id="m-2")["payload"]["status"] == "working"
    assert record_at(wire, task_id).answers[0]["input"] is None


def in_event(n):
    """Whether a message whose line of the log has so many bytes is taken."""
    wire, task_id = asked(limits=Limits(event_bytes=1000))
    line = {**message(task_id), "input": {"text": ""}}
    del line["task_id"]
    filling = n - len(json.dumps(line, separators=(",", ":")))
    return "payload" in tell(wire, task_id, {"text": "x" * filling})


@pytest.mark.proves("limits.bounds")
def test_a_message_is_bounded():
    """By what a line of the log may have; it is refused whole."""
    assert in_event(1000)
    assert not in_event(1001)
    wire, task_id = asked(limits=Limits(event_bytes=1000))
    error = tell(wire, task_id, {"text": "x" * 1000})
    assert (error["code"], error["data"]["code"]) == (-32602, "asap:capability/input_validation")
    assert error["data"]["path"] == "$.params.envelope.payload"


@pytest.mark.proves("limits.bounds")
def test_a_task_is_told_so_often():
    """And no more, however often it asks."""
    wire, task_id = asked(limits=Limits(task_messages=1))
    assert tell(wire, task_id)["payload"]["status"] == "working"
    wire.rest()
    error = tell(wire, task_id, id="m-2")
    assert error["data"]["code"] == "asap:capability/input_validation"
    assert error["data"]["path"] == "$.params.envelope.payload"
    assert record_at(wire, task_id).status is TaskStatus.INPUT_REQUIRED


@pytest.mark.proves("task.message", "store.compare-and-set")
def test_two_messages_at_once():
    """One is the answer; the other is told that the task waits for none by then."""
    wire, task_id = asked()
    first, second = (
        receive(request_frame(id=id, payload_type="message.send", payload=message(task_id, id)), server=wire.server)
        for id in ("m-1", "m-2")
    )
    one, two = wire.reach(first, Write), wire.reach(second, Write)
    assert payload_of(wire.run(first, wire.perform(one)))["status"] == "working"
    error = answer_of(wire.run(second, wire.perform(two)))["error"]
    assert (error["code"], error["data"]["code"]) == (-32602, "asap:protocol/invalid_state")
    assert [answer["message_id"] for answer in record_at(wire, task_id).answers] == ["m-1"]


@pytest.mark.proves("task.message", "store.compare-and-set")
def test_a_message_while_a_subtask_tells_its_news():
    """Is not refused for that: the task still waits."""
    wire, task_id = asked()
    steps = receive(request_frame(payload_type="message.send", payload=message(task_id)), server=wire.server)
    write = wire.reach(steps, Write)
    news = {"task_id": "task_x", "update_type": "progress", "status": "working"}
    ask(wire, "task.update", news, extensions={"parent_task_id": task_id})
    assert payload_of(wire.run(steps, wire.perform(write)))["status"] == "working"
    log = wire.state.events(task_id, after=0, most=10)
    assert [(event.number, event.kind) for event in log][2:] == [(3, "subtask"), (4, "message")]


@pytest.mark.proves("idempotency.slot", "task.message")
def test_a_message_that_is_sent_again():
    """Is one answer, whether the task has asked again by then or not; another message needs another key."""
    wire, task_id = asked()
    first = tell(wire, task_id, {"n": 1}, key="m")
    wire.rest()
    assert tell(wire, task_id, {"n": 1}, key="m")["payload"] == first["payload"]
    assert len(record_at(wire, task_id).answers) == 1
    assert tell(wire, task_id, {"n": 1}, id="m-2", key="m")["data"]["code"] == KeyReused.kind.code


@pytest.mark.proves("task.message", "recovery.released")
def test_a_message_for_which_there_is_no_room_yet():
    """Is written all the same; the task waits for a worker, and its next run has not begun."""
    wire, task_id = asked(server={"worker": "a", "durable": True})
    wire.background_most = 0
    assert tell(wire, task_id, {"n": 1})["payload"]["status"] == "working"
    record = record_at(wire, task_id)
    assert (record.status, record.owner, record.runs, len(record.answers)) == ("working", "", 1, 1)
    other = link(server={"worker": "b", "durable": True}, beside=wire, skills={"echo": booking})
    [record] = wire.state.take_over("b", now=AT, until=AT + 15.0, most=10)
    other.run(other.server.recover(record))
    assert record_at(wire, task_id).question == {"question": "when?"}


@pytest.mark.proves("task.message")
def test_a_message_where_nothing_runs_in_the_background():
    """The task goes on before the message is answered."""
    wire, task_id = asked()
    wire.has_background = False
    assert tell(wire, task_id)["payload"]["status"] == "working"
    assert record_at(wire, task_id).question == {"question": "when?"}


@pytest.mark.proves("task.message", "recovery.fencing")
def test_a_message_to_a_task_of_another_worker():
    """Whoever hears it goes on with the task."""
    wire = link(server={"worker": "a", "durable": True}, skills={"echo": booking})
    other = link(server={"worker": "b", "durable": True}, beside=wire, skills={"echo": booking})
    task_id = payload_of(wire.run(hold(wire, request_frame()), Suspended({"question": "where to?"})))["task_id"]
    tell(other, task_id)
    record = record_at(wire, task_id)
    assert (record.owner, record.lease, record.runs) == ("b", AT + 15.0, 2)
    story = other.background.popleft()
    assert other.reach(story, Invoke).job.task_id == task_id
