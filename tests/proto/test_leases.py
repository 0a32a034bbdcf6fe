"""Whose a task is where time has passed in the midst of a story: what the simulation of a world has shown."""

import pytest
from attrs import evolve

from asap_proto.errors import TakenOver
from asap_proto.limits import Limits
from asap_proto.model import TaskStatus
from asap_proto.roles import (
    Accept,
    Background,
    Forget,
    Interrupt,
    Invoke,
    KeeperRole,
    Raised,
    ReadTask,
    Renew,
    TakeOver,
    TaskRole,
    Write,
)
from asap_testkit import NOW, asks, finish, fixed_sources, link, request_frame
from asap_testkit.receiving import receive, role
from asap_testkit.records import job_of, record_of

AT = NOW.timestamp()
LATER = 20.0  # seconds; longer than any lease
MESSAGE = {"message_id": "m-1", "sender": "urn:asap:agent:coordinator", "role": "user", "parts": []}


def asking(job, task):
    """A handler that saves what it knows, and asks."""
    if (yield from task.load()) is None:
        yield from task.save({"step": 1})
    return (yield from task.need_input({"question": "?"}))


def waiting():
    """An agent whose one task waits for an answer, and that task."""
    wire = link(skills={"echo": asking}, server={"durable": True})
    wire.post(request_frame())
    [record] = wire.state.tasks()
    assert record.status is TaskStatus.INPUT_REQUIRED
    return wire, record


@pytest.mark.proves("recovery.lease")
def test_a_task_that_is_told_something_is_held_from_then_on():
    """Not from when the message came: its worker may have stood still before it knew how the task stands."""
    wire, record = waiting()
    payload = {**MESSAGE, "task_id": record.id}
    steps = receive(request_frame(payload_type="message.send", payload=payload), server=wire.server)
    read = wire.reach(steps, ReadTask)
    found = wire.perform(read)
    wire.clock.move(LATER)
    command = asks(steps, found)
    assert isinstance(command, Write)
    assert command.change.record.lease == pytest.approx(AT + LATER + 15.0)


@pytest.mark.proves("recovery.lease")
def test_a_task_that_is_restored_is_held_from_then_on():
    """As a new one, where the first is over."""
    wire, record = waiting()
    wire.post(request_frame(payload_type="task.cancel", payload={"task_id": record.id}))
    payload = {"task_id": record.id, "snapshot_id": wire.state.snapshot(record.id).id}
    steps = receive(request_frame(payload_type="state.restore", payload=payload), server=wire.server)
    found = wire.perform(wire.reach(steps, ReadTask))
    wire.clock.move(LATER)
    command = asks(steps, wire.perform(asks(steps, found)))
    assert isinstance(command, Accept)
    assert command.record.lease == pytest.approx(AT + LATER + 15.0)


def beating(live):
    """The first beat of worker `one`, which has these tasks in hand, once it has renewed what it holds: nothing."""
    sources = fixed_sources()
    server = role(worker="one", durable=True)
    server.live.update(dict.fromkeys(live, 1))
    steps = KeeperRole(server, sources, Limits()).beat()
    assert isinstance(asks(steps), Renew)
    return steps


@pytest.mark.proves("recovery.fencing")
def test_what_was_lost_before_the_first_beat_that_could_know_of_it_is_cut_off():
    """A worker that stood still since it accepted a task never saw it among those that it holds."""
    steps = beating(["task_1"])
    assert asks(steps, {}) == ReadTask("task_1", AT)
    assert asks(steps, record_of(owner="two")) == Interrupt("task_1")
    assert isinstance(asks(steps, True), TakeOver)


@pytest.mark.proves("recovery.fencing")
def test_what_this_worker_runs_it_does_not_take_over_from_itself():
    """It had no lease on it for a moment; whoever runs it goes on."""
    steps = beating(["task_1"])
    mine = record_of(job_of("task_1"), owner="one")
    assert isinstance(asks(steps, {}), ReadTask)
    assert isinstance(asks(steps, mine), TakeOver)
    other = record_of(job_of("task_2"), owner="one")
    command = asks(steps, (mine, other))
    assert isinstance(command, Background)
    assert asks(command.story).change.record.id == "task_2"
    assert isinstance(asks(steps, "started"), Forget)
    assert finish(steps, 0) is None


def a_run(**changes):
    """A run of `task_1`, by worker `one`."""
    return TaskRole(record_of(job_of(), **changes), "urn:asap:agent:echo", fixed_sources(), Limits())


@pytest.mark.proves("recovery.fencing")
def test_a_handler_that_heard_that_another_worker_has_its_task():
    """And who has given it back since: that is no failure of the task, so it goes to whoever is next."""
    task = a_run()
    steps = task.settle(Raised(TakenOver("another worker has taken this task over")))
    assert asks(steps) == ReadTask("task_1", AT)
    command = asks(steps, evolve(task.record, version=5))
    assert isinstance(command, Write)
    assert (command.change.record.status, command.change.record.owner) == (TaskStatus.WORKING, "")
    with pytest.raises(TakenOver):
        steps.send(True)


def test_a_handler_that_heard_so_of_a_task_of_its_peer():
    """It failed as with anything else that a peer reports."""
    steps = a_run().settle(Raised(TakenOver("the peer answered so", facts={"rpc_code": -32031})))
    command = asks(steps)
    assert isinstance(command, Write)
    assert finish(steps, True).error.code == "asap:execution/handler_failed"


@pytest.mark.proves("recovery.idle")
def test_of_two_runs_of_a_task_one_may_end():
    """The other one still has it in hand: the worker had lost the task, and has it again."""
    server = role(worker="one", durable=True)
    submitted = record_of(job_of("task_1"), status=TaskStatus.SUBMITTED, runs=0)
    runs = [server.recover(evolve(submitted, version=version)) for version in (1, 5)]
    for steps in runs:
        assert isinstance(asks(steps), Write)  # it begins
        assert isinstance(asks(steps, True), Invoke)
    runs[0].close()
    assert [*server.live] == ["task_1"]
    runs[1].close()
    assert not server.live
