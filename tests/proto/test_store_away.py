"""A task in the hands of its handler while its store is away."""

import pytest
from attrs import evolve

from asap_proto.errors import StateUnavailable, TakenOver
from asap_proto.limits import Limits
from asap_proto.model import (
    TaskStatus,
)
from asap_proto.roles import (
    Pause,
    Raised,
    ReadTask,
    Returned,
    TimedOut,
    Write,
)
from asap_proto.roles.commands import Cancelled
from asap_proto.roles.running import TaskCancelled, TaskRole
from asap_testkit import (
    NOW,
    PEER,
    FixedClock,
    asks,
    finish,
    fixed_sources,
    link,
    request_frame,
)
from asap_testkit.receiving import answer_of, hold, writes
from asap_testkit.records import record_of, snapshot_of
from asap_testkit.running import CALLS, WRITES, a_task

AT = NOW.timestamp()
CANCELLED = TaskStatus.CANCELLED


def goes_away(steps):
    """The store fails to do what it was asked just now; what the story asks next."""
    return steps.throw(StateUnavailable("away"))


@pytest.mark.proves("recovery.store")
@pytest.mark.parametrize("name", [*WRITES, "begin", "release", "settle"])
def test_a_write_waits_for_the_store(name):
    """One that is away for a moment costs no run."""
    others = {"begin": TaskRole.begin, "release": TaskRole.release, "settle": lambda task: task.settle(TimedOut())}
    task = a_task()
    change = writes(steps := {**CALLS, **others}[name](task))
    assert goes_away(steps) == Pause(0.5)
    assert writes(steps) == change
    finish(steps, True)
    assert task.record == change.record


@pytest.mark.proves("recovery.store")
def test_a_write_waits_no_longer_than_a_lease():
    """By then others take the task for lost."""
    clock = FixedClock()
    steps = TaskRole(record_of(), PEER, fixed_sources(clock), Limits()).progress(1)
    writes(steps)
    for _ in range(30):
        clock.move(goes_away(steps).seconds)
        writes(steps)
    with pytest.raises(StateUnavailable):
        goes_away(steps)


#: Stories that read before they do anything else, and what they are told once the store is back.
READS = {
    "check": (CALLS["check"], lambda task: task.record),
    "load": (CALLS["load"], lambda task: snapshot_of(1)),
    "need_input": (CALLS["need_input"], lambda task: evolve(task.record, answers=({"input": {}},))),
}


@pytest.mark.proves("recovery.store")
@pytest.mark.parametrize("name", READS)
def test_a_handler_that_reads_waits_for_the_store(name):
    """It asks the same again, and goes on with the answer: one that is away for a moment costs no run."""
    call, answer = READS[name]
    task = a_task(snapshots=1)
    asked = asks(steps := call(task))
    assert goes_away(steps) == Pause(0.5)
    assert asks(steps) == asked
    assert goes_away(steps) == Pause(0.5)
    assert asks(steps) == asked
    finish(steps, answer(task))


@pytest.mark.proves("recovery.store")
@pytest.mark.parametrize("name", READS)
def test_a_handler_that_reads_waits_no_longer_than_a_lease(name):
    """By then others take the task for lost."""
    clock = FixedClock()
    steps = READS[name][0](TaskRole(record_of(snapshots=1), PEER, fixed_sources(clock), Limits(lease_seconds=15.0)))
    asked = asks(steps)
    for _ in range(30):
        clock.move(goes_away(steps).seconds)
        assert asks(steps) == asked
    with pytest.raises(StateUnavailable):
        goes_away(steps)


@pytest.mark.proves("recovery.store", "task.cancel")
@pytest.mark.parametrize("name", READS)
def test_a_handler_that_is_cut_off_while_it_waits_for_the_store(name):
    """Is told so, though the store is still away."""
    task = a_task(snapshots=1)
    asks(steps := READS[name][0](task))
    goes_away(steps)
    task.interrupted = True
    with pytest.raises(TaskCancelled):
        asks(steps)


@pytest.mark.proves("recovery.store")
def test_who_was_cut_off_is_looked_up_once_the_store_is_back():
    """Whether somebody asked for that, or another worker has the task, is not known before."""
    task = a_task()
    task.interrupted = True
    steps = task.settle(Cancelled())
    assert asks(steps) == ReadTask("task_1", AT)
    assert goes_away(steps) == Pause(0.5)
    assert asks(steps) == ReadTask("task_1", AT)
    record = writes(steps, evolve(task.record, version=2, cancel="enough")).record
    assert (record.status, record.cancel) == (CANCELLED, "enough")


@pytest.mark.proves("recovery.store")
def test_a_handler_that_ended_because_its_store_was_away():
    """Has not failed: its task is given back for another run, as one of a lost worker."""
    task = a_task()
    steps = task.settle(Raised(StateUnavailable("away")))
    assert asks(steps) == ReadTask("task_1", AT)
    record = writes(steps, task.record).record
    assert (record.status, record.owner, record.reply) == ("working", "", None)
    with pytest.raises(TakenOver):
        steps.send(True)


@pytest.mark.proves("recovery.store")
def test_a_handler_that_ended_because_its_store_is_still_away():
    """Has waited for as long as a lease: nobody waits as long again, with its slot in hand, for a task it has lost."""
    steps = a_task().settle(Raised(StateUnavailable("away")))
    assert asks(steps) == ReadTask("task_1", AT)
    with pytest.raises(StateUnavailable):
        goes_away(steps)


def test_a_handler_that_was_told_that_a_peers_store_was_away():
    """Has failed as by any other exception: that was another task."""
    task = a_task()
    change = writes(task.settle(Raised(StateUnavailable("away", facts={"rpc_code": -32031}))))
    assert change.record.status == "failed"
    assert b"asap:execution/handler_failed" in change.record.reply


@pytest.mark.proves("recovery.store", "store.compare-and-set")
def test_a_write_that_was_made_though_the_store_could_not_say_so():
    """Is not made twice, and not taken for somebody else's; its lease may have been renewed since."""
    task = a_task()
    change = writes(steps := task.progress(1))
    goes_away(steps)
    writes(steps)
    assert asks(steps, False) == ReadTask("task_1", AT)
    finish(steps, evolve(change.record, lease=change.record.lease + 1.0))
    assert task.record == change.record


@pytest.mark.proves("store.compare-and-set")
def test_a_write_that_was_overtaken_by_one_just_like_it():
    """Is made anew: two threads of a handler may say the same, and both said it."""
    change = writes(steps := a_task().progress(1))
    asks(steps, False)
    again = writes(steps, change.record)
    assert (again.record.version, again.record.events) == (3, 2)


@pytest.mark.proves("recovery.store", "store.compare-and-set")
def test_a_write_that_was_overtaken_while_the_store_was_away():
    """Is made anew of what the other one wrote, or not at all."""
    task = a_task()
    writes(steps := task.progress(1))
    goes_away(steps)
    writes(steps)
    asks(steps, False)
    goes_away(steps)
    assert writes(steps).record.version == 2
    asks(steps, False)
    assert writes(steps, evolve(task.record, version=2, events=1)).record.version == 3
    finish(steps, True)
    steps = task.progress(2)
    writes(steps)
    goes_away(steps)
    writes(steps)
    asks(steps, False)
    with pytest.raises(TakenOver):
        steps.send(None)


@pytest.mark.proves("recovery.store")
@pytest.mark.parametrize("outcome", [Returned({"ok": True}), Raised(ValueError())])
def test_the_end_of_a_run_waits_for_the_store(outcome):
    """What was done is not lost because the store is away for a while: it is told once it is written."""
    wire = link()
    steps = hold(wire, request_frame(key="k"))
    wire.reach(steps, Write, outcome)
    if isinstance(outcome, Returned):  # nearly every run ends by a shorter way
        assert isinstance(goes_away(steps), Write)
    reply = answer_of(wire.run(steps, wire.perform(goes_away(steps))))
    assert reply == answer_of(wire.post(request_frame(key="k")))
    assert "error" in reply or reply["result"]["envelope"]["payload"]["result"] == {"ok": True}
