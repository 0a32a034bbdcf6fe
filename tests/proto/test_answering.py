"""What the built-in answers write of a task: all of its record that changes, and nothing else."""

import json

import pytest
from attrs import evolve

from asap_proto.model import TaskStatus
from asap_proto.roles import Write
from asap_proto.stores import NEVER, TaskEvent
from asap_testkit import ME, NOW, PEER, link, request_frame
from asap_testkit.receiving import ask, hold, payload_of, receive, record_at

AT = NOW.timestamp()
LATER = AT + 7.0


def asking(job, task):
    """A handler that saves, and asks again however often it is told something."""
    if (yield from task.load()) is None:
        yield from task.save({"step": 1})
    for number in range(9):
        yield from task.need_input({"number": number})


def waiting(**options):
    """A wire on which a task waits, and its record, 7 seconds after it was written."""
    wire = link(skills={"echo": asking}, **options)
    task_id = payload_of(wire.post(request_frame(trace_id="trace")))["task_id"]
    wire.clock.move(7.0)
    return wire, record_at(wire, task_id)


def written(wire, name, payload):
    """The change that a payload of this type asks for, which its story has made by then."""
    steps = receive(request_frame(id="later", payload_type=name, payload=payload), server=wire.server)
    write = wire.reach(steps, Write)
    assert wire.perform(write)
    return write.change


@pytest.mark.proves("task.cancel")
@pytest.mark.parametrize("status", ["submitted", "input_required"])
def test_a_cancel_ends_what_nobody_runs(status):
    """Its record is kept for as long as any other that is over, says why, and answers the request."""
    if status == "submitted":
        wire = link()
        task_id = payload_of(wire.post(request_frame(trace_id="trace", extensions={"prefer": "respond-async"})))[
            "task_id"
        ]
        wire.clock.move(7.0)
        before = record_at(wire, task_id)
    else:
        wire, before = waiting()
    change = written(wire, "task.cancel", {"task_id": before.id, "reason": "enough"})
    reply = change.record.reply
    assert change.record == evolve(
        before,
        status=TaskStatus.CANCELLED,
        version=before.version + 1,
        updated=LATER,
        expires=LATER + 3600.0,
        events=before.events + 1,
        cancel="enough",
        question=None,
        owner="",
        reply=reply,
    )
    assert change.events == (TaskEvent(before.events + 1, LATER, "status_change", TaskStatus.CANCELLED),)
    envelope = json.loads(b"{" + reply + b"}")["result"]["envelope"]
    assert (envelope["sender"], envelope["recipient"], envelope["trace_id"]) == (PEER, ME, "trace")
    assert envelope["id"]
    assert (envelope["timestamp"], envelope["payload_type"]) == ("2026-01-02T03:04:12.123456Z", "task.response")
    assert (envelope["payload"]["task_id"], envelope["payload"]["status"]) == (before.id, "cancelled")


@pytest.mark.proves("task.cancel")
def test_a_cancel_of_what_runs_says_no_more_than_that():
    """Its handler is to end it; without a reason it is cancelled all the same."""
    wire = link()
    hold(wire, request_frame())
    [before] = wire.state.tasks()
    wire.clock.move(7.0)
    change = written(wire, "task.cancel", {"task_id": before.id})
    assert change.record == evolve(before, version=before.version + 1, updated=LATER, cancel="")
    assert change.events == ()


def going_on(before, **changes):
    """The record of a task that waited, once it goes on in this worker."""
    return evolve(
        before,
        status=TaskStatus.WORKING,
        owner="worker",
        lease=LATER + 15.0,
        expires=NEVER,
        version=before.version + 1,
        updated=LATER,
        events=before.events + 1,
        runs=before.runs + 1,
        question=None,
        **changes,
    )


@pytest.mark.proves("task.message")
def test_a_message_has_a_task_go_on():
    """With what it was told; where it was turned back before, it still goes on from there."""
    wire, before = waiting(server={"worker": "worker", "durable": True})
    payload = {"task_id": before.id, "message_id": "m", "sender": ME, "role": "user", "parts": []}
    for restored in (None, 1):
        if restored:
            ask(wire, "state.restore", {"task_id": before.id, "snapshot_id": wire.state.snapshot(before.id).id})
            wire.rest()
            before = record_at(wire, before.id)
        assert (before.status, before.restored) == ("input_required", restored)
        change = written(wire, "message.send", payload)
        message = {"message_id": "m", "sender": ME, "role": "user", "parts": [], "input": None}
        assert change.record == going_on(before, answers=(*before.answers, message))
        assert change.events == (TaskEvent(before.events + 1, LATER, "message", TaskStatus.WORKING, message),)
        wire.run(wire.server.recover(change.record))


@pytest.mark.proves("state.restore")
def test_a_restore_has_a_task_go_on():
    """From the snapshot that is named, and with what it was told."""
    wire, before = waiting(server={"worker": "worker", "durable": True})
    change = written(wire, "state.restore", {"task_id": before.id, "snapshot_id": wire.state.snapshot(before.id).id})
    assert change.record == going_on(before, restored=1)
    assert change.events == (TaskEvent(before.events + 1, LATER, "status_change", TaskStatus.WORKING),)


@pytest.mark.proves("state.adopt", "task.depth")
def test_an_adopted_task_is_as_deep_as_its_restore_says():
    """Another agent's depth is none of ours."""
    wire = link()
    snapshot = {"id": "s", "task_id": "t", "version": 1, "data": {}, "created_at": "2026-01-02T03:00:00Z"}
    request = {"conversation_id": "talk", "skill_id": "echo", "input": {}}
    for said, depth in (({}, 0), ({"task_depth": 2}, 2)):
        extensions = {"snapshot": {**snapshot, "checkpoint": False}, "request": request, **said}
        answer = ask(wire, "state.restore", {"task_id": "t", "snapshot_id": "s"}, extensions=extensions)
        assert record_at(wire, answer["payload"]["task_id"]).job.depth == depth
