"""A worker's care for its store: it holds on to its tasks, and takes over those of the dead."""

import pytest
from attrs import evolve

from asap_proto.errors import StateUnavailable
from asap_proto.limits import Limits
from asap_proto.model import TaskStatus
from asap_proto.roles import (
    Background,
    Forget,
    Interrupt,
    KeeperRole,
    ReadTask,
    Renew,
    ServerRole,
    TakeOver,
    Write,
)
from asap_testkit import FixedClock, asks, echo_manifest, finish, fixed_sources, link, request_frame
from asap_testkit.records import job_of, record_of

NOW = 1767323045.123456
LOST = record_of(job_of("task_1", None), owner="one", version=4)


def keeper(clock=None, live=None):
    """The care of worker `one`, which has a store that outlives it, and these tasks in hand."""
    sources = fixed_sources(clock)
    role = ServerRole(echo_manifest(), sources, worker="one", durable=True)
    role.live = set() if live is None else live
    return KeeperRole(role, sources, Limits())


def renewed(steps, held):
    """The beat begins with the leases; what it asks next."""
    assert isinstance(asks(steps), Renew)
    return asks(steps, held)


def ends(steps, command):
    """The beat takes nothing over, and forgets what is over at its end."""
    assert isinstance(command, TakeOver)
    assert isinstance(asks(steps, ()), Forget)
    assert finish(steps, 0) is None


def test_a_quiet_beat():
    """Leases are held on to for their whole time, from now on, and what is over is forgotten."""
    clock = FixedClock()
    care = keeper(clock)
    for now in (NOW, NOW + 5.0):
        steps = care.beat()
        assert asks(steps) == Renew("one", pytest.approx(now + 15.0, abs=1e-6))
        assert asks(steps, {}) == TakeOver("one", *(pytest.approx(at, abs=1e-6) for at in (now, now + 15.0)), 10)
        assert asks(steps, ()) == Forget(pytest.approx(now, abs=1e-6))
        assert finish(steps, 0) is None
        clock.move(5.0)


def test_a_task_that_changes_by_nobody_but_its_handler_is_left_alone():
    """One that was just accepted is not even looked at; one that was written to is looked at once."""
    care = keeper()
    steps = care.beat()
    ends(steps, renewed(steps, {"task_1": 1}))
    steps = care.beat()
    assert renewed(steps, {"task_1": 2}) == ReadTask("task_1", NOW)
    ends(steps, asks(steps, record_of(version=2)))
    steps = care.beat()
    ends(steps, renewed(steps, {"task_1": 2}))


def test_a_cancel_by_another_worker_reaches_the_handler():
    """At the next beat; whether the task was known before, or began and was cancelled since the last one."""
    for before in ({"task_1": 1}, {}):
        care = keeper()
        steps = care.beat()
        ends(steps, renewed(steps, before))
        steps = care.beat()
        renewed(steps, {"task_1": 2})
        assert asks(steps, record_of(version=2, cancel="")) == Interrupt("task_1")
        ends(steps, asks(steps, True))
        steps = care.beat()
        ends(steps, renewed(steps, {"task_1": 2}))


def test_a_cancel_that_came_before_the_handler_is_not_forgotten():
    """Where there was nothing to cut off yet, the task is looked at again."""
    care = keeper()
    for found in (False, True):
        steps = care.beat()
        assert renewed(steps, {"task_1": 2}) == ReadTask("task_1", NOW)
        assert asks(steps, record_of(version=2, cancel="enough")) == Interrupt("task_1")
        ends(steps, asks(steps, found))
    steps = care.beat()
    ends(steps, renewed(steps, {"task_1": 2}))


@pytest.mark.parametrize(
    ("found", "is_cut_off"),
    [
        (None, False),
        (record_of(status=TaskStatus.COMPLETED), False),
        (record_of(status=TaskStatus.INPUT_REQUIRED, owner=""), False),
        (record_of(owner="two"), True),
        (record_of(owner="two", status=TaskStatus.COMPLETED), True),
    ],
    ids=["forgotten", "over", "asks", "taken over", "taken over, over"],
)
def test_a_task_that_is_held_no_more(found, is_cut_off):
    """Has ended, or waits; or another worker has it, and then its handler here only does harm."""
    care = keeper()
    steps = care.beat()
    ends(steps, renewed(steps, {"task_1": 1}))
    steps = care.beat()
    assert renewed(steps, {}) == ReadTask("task_1", NOW)
    command = asks(steps, found)
    if is_cut_off:
        assert command == Interrupt("task_1")
        command = asks(steps, False)
    ends(steps, command)


def test_a_task_that_vanishes_while_it_is_looked_at():
    """Is nobody's concern any more."""
    steps = keeper().beat()
    renewed(steps, {"task_1": 2})
    ends(steps, asks(steps, None))


def test_what_was_taken_over_is_gone_on_with():
    """Beside this story, which waits for none of it."""
    steps = keeper().beat()
    renewed(steps, {})
    assert isinstance(asks(steps, (LOST, evolve(LOST, job=job_of("task_2")))), Background)
    assert isinstance(asks(steps, "started"), Background)
    assert asks(steps, "started") == Forget(NOW)


@pytest.mark.parametrize("placed", ["full", "nowhere"])
def test_what_there_is_no_room_for_is_given_back(placed):
    """For others to take over at once; all that there is room for runs first."""
    other = evolve(LOST, job=job_of("task_2", None))
    steps = keeper().beat()
    renewed(steps, {})
    asks(steps, (LOST, other))
    assert isinstance(asks(steps, placed), Background)
    write = asks(steps, "started")
    assert isinstance(write, Write)
    given = write.change.record
    assert (given.id, given.owner, given.lease, given.version, given.runs) == ("task_1", "", 0.0, 5, 1)
    assert asks(steps, True) == Forget(NOW)


def test_what_was_lost_while_it_was_given_back_is_another_workers():
    """And nothing that keeps the beat from its end."""
    steps = keeper().beat()
    renewed(steps, {})
    asks(steps, (LOST,))
    assert isinstance(asks(steps, "full"), Write)
    assert isinstance(asks(steps, False), ReadTask)
    assert asks(steps, evolve(LOST, owner="two", version=5)) == Forget(NOW)


def test_what_could_not_be_given_back_is_run_at_a_later_beat():
    """Where the store stays away meanwhile the task is this worker's still: it must not hold it and do nothing."""
    clock = FixedClock()
    care = keeper(clock)
    steps = care.beat()
    renewed(steps, {})
    asks(steps, (LOST,))
    assert isinstance(asks(steps, "full"), Write)
    clock.move(15.0)
    with pytest.raises(StateUnavailable):
        steps.throw(StateUnavailable("away"))
    steps = care.beat()
    renewed(steps, {"task_1": 4})
    assert isinstance(asks(steps, LOST), TakeOver)
    assert isinstance(asks(steps, ()), Background)
    assert isinstance(asks(steps, "started"), Forget)
    steps = care.beat()
    ends(steps, renewed(steps, {"task_1": 4}))


@pytest.mark.parametrize(
    ("found", "goes_on"),
    [(LOST, True), (evolve(LOST, owner="two"), False), (None, False)],
    ids=["ours", "another's", "gone"],
)
def test_a_task_that_nobody_has_in_hand(found, goes_on):
    """A store that was away may have left it behind: after the time of a lease it is gone on with, as if lost."""
    clock = FixedClock()
    care = keeper(clock)
    for seconds in (0.0, 14.9):
        clock.move(seconds)
        steps = care.beat()
        ends(steps, renewed(steps, {"task_1": 1}))
    clock.move(0.2)
    steps = care.beat()
    assert isinstance(renewed(steps, {"task_1": 1}), ReadTask)
    assert isinstance(asks(steps, found), TakeOver)
    command = asks(steps, ())
    if goes_on:
        assert isinstance(command, Background)
        command = asks(steps, "started")
    assert isinstance(command, Forget)
    steps = care.beat()
    ends(steps, renewed(steps, {"task_1": 1}))


def test_a_task_that_a_story_has_in_hand_is_no_concern():
    """However long its handler takes; the time of a lease counts from when it is let go."""
    clock = FixedClock()
    live = {"task_1"}
    care = keeper(clock, live)
    for seconds in (0.0, 100.0, 100.0):
        clock.move(seconds)
        steps = care.beat()
        ends(steps, renewed(steps, {"task_1": 1}))
    live.clear()
    for seconds in (0.1, 14.9):
        clock.move(seconds)
        steps = care.beat()
        ends(steps, renewed(steps, {"task_1": 1}))


def test_a_workers_tasks_outlive_it():
    """Over a link: one worker accepts a task and dies, another runs it once the lease is over, and not before."""
    first = link(server={"worker": "one", "durable": True})
    second = link(server={"worker": "two", "durable": True}, beside=first)
    care = KeeperRole(second.server, fixed_sources(first.clock), Limits())
    first.post(request_frame(extensions={"prefer": "respond-async"}))
    first.clock.move(14.9)
    second.run(care.beat())
    assert not second.background
    first.clock.move(0.2)
    second.run(care.beat())
    second.rest()
    (record,) = second.state.tasks()
    assert (record.status, record.owner) == (TaskStatus.COMPLETED, "two")
    assert [job.task_id for job in second.ran] == [record.id]
    first.rest()
    assert first.ran == []


class Feeling(ServerRole):
    """A role that remembers how late it was told things are."""

    def felt(self, delay):
        self.delays = [*getattr(self, "delays", ()), delay]


def feeling(clock):
    role = Feeling(echo_manifest(), fixed_sources(clock))
    return KeeperRole(role, fixed_sources(clock), Limits()), role


def test_how_late_things_are():
    """As late as a request would be that waits for its turn, and then for the store."""
    clock = FixedClock()
    clock.move(-clock.elapsed())  # seconds may be counted from any moment, such as just now
    care, role = feeling(clock)
    due = clock.elapsed()
    clock.move(0.25)
    steps = care.feel(due)
    assert asks(steps) == ReadTask("", clock.now().timestamp())
    clock.move(0.5)
    finish(steps)
    assert role.delays == [0.75]


def test_how_late_a_store_is_that_is_away():
    """It is asked once a beat, for its log has a line each time; in between the worker's own turn counts."""
    clock = FixedClock()
    care, role = feeling(clock)
    steps = care.feel(clock.elapsed())
    asks(steps)
    with pytest.raises(StopIteration):
        steps.throw(StateUnavailable("the store is away"))
    clock.move(0.5)
    finish(care.feel(clock.elapsed() - 0.125))
    assert role.delays == [0.0, 0.125]
    clock.move(0.5)
    assert isinstance(asks(care.feel(clock.elapsed())), ReadTask)
