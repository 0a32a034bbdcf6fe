"""What becomes of a task whose worker was lost, of one that waits for room, and of one that a worker holds in vain."""

import pytest
from attrs import evolve

from asap_proto.limits import Limits
from asap_proto.model import TaskCancel, TaskStatus
from asap_proto.roles import (
    Cancelled,
    Handled,
    Invoke,
    KeeperRole,
    Pause,
    Raised,
    Returned,
    Saturated,
    Suspended,
    Write,
)
from asap_testkit import NOW, asks, echo_manifest, fixed_sources, link, request_frame
from asap_testkit.receiving import answer_of, ask, hold, payload_of, receive, record_at

AT = NOW.timestamp()
ASYNC = {"prefer": "respond-async"}
LEASE = 15.0


def saving(job, task):
    """A handler that goes on from what it knows."""
    known = yield from task.load()
    yield from task.save({"runs": task.record.runs})
    return {"known": known, "runs": task.record.runs}


def worker(name, **options):
    """One of the workers that share a store."""
    beside, options = options.pop("beside", None), options
    server = {"worker": name, "durable": True, **options.pop("server", {})}
    return link(server=server, beside=beside, **options)


def lose(wire, frame):
    """A task whose handler runs, and never ends: its worker is lost."""
    hold(wire, frame)
    return wire.state.tasks()[-1].id


def take_over(wire, seconds=LEASE):
    """The one task whose lease is over after so many seconds, by then this worker's."""
    wire.clock.move(seconds)
    now = wire.clock.now().timestamp()
    [record] = wire.state.take_over(wire.server.worker, now=now, until=now + LEASE, most=10)
    return record


def query(wire, task_id):
    envelope = ask(wire, "state.query", {"task_id": task_id})
    return envelope["payload"], envelope["extensions"].get("error")


@pytest.mark.proves("recovery.takeover")
def test_a_task_that_had_not_begun_is_run():
    """Whatever its skill: nothing of it was done."""
    first = worker("a")
    task_id = payload_of(first.post(request_frame(extensions=ASYNC)))["task_id"]
    second = worker("b", beside=first)
    second.run(second.server.recover(take_over(second)))
    assert query(second, task_id)[0]["status"] == "completed"
    assert record_at(second, task_id).runs == 1
    first.rest()
    assert first.ran == []
    assert first.events[-1] == Handled("task.request", "asap:task/taken_over", 0.0)


@pytest.mark.proves("recovery.takeover")
def test_a_run_that_was_lost_is_not_made_again():
    """Nobody knows how much of it was done: it has failed, and says so to whoever asks and to every retry."""
    first = worker("a")
    task_id = lose(first, request_frame(key="k"))
    second = worker("b", beside=first)
    second.run(second.server.recover(take_over(second)))
    assert second.ran == []
    told, error = query(second, task_id)
    assert (told["status"], error["code"], error["data"]["code"]) == ("failed", -32603, "asap:execution/interrupted")
    assert error["data"]["details"] == {"runs": 1}
    assert error["data"]["error"]
    retried = second.post(request_frame(key="k"))
    assert (retried.status, answer_of(retried)["error"]) == (200, error)


@pytest.mark.proves("recovery.takeover")
@pytest.mark.parametrize("why", ["restartable", "has saved", "never began"])
def test_a_run_that_may_be_made_again(why):
    """From its start where its skill says that this is safe, from its snapshot where it has one, or where none was."""
    first = worker("a", skills={"echo": saving})
    invoke = first.reach(receive(request_frame(key="k"), server=first.server), Invoke)
    task_id = invoke.job.task_id
    if why == "has saved":
        first.run(invoke.task.save({"runs": 1}))
    elif why == "never began":
        first.run(invoke.task.release(begun=False))
    restartable = ["echo"] if why == "restartable" else []
    second = worker("b", beside=first, skills={"echo": saving}, server={"restartable": restartable})
    second.run(second.server.recover(take_over(second)))
    known = {"runs": 1} if why == "has saved" else None
    runs = 1 if why == "never began" else 2
    assert query(second, task_id)[0]["result"] == {"known": known, "runs": runs}
    assert payload_of(second.post(request_frame(key="k")))["task_id"] == task_id
    log = [event.status for event in second.state.events(task_id, after=0, most=10)]
    assert (log[0], log[-1]) == ("working", "completed")


@pytest.mark.proves("recovery.takeover", "limits.bounds")
@pytest.mark.parametrize(("runs", "again"), [(2, True), (1, False)])
def test_a_task_that_kills_its_workers_is_given_up(runs, again):
    """Once so many were lost with it."""
    limits = Limits(task_runs=runs)
    first = worker("a", limits=limits)
    task_id = lose(first, request_frame())
    second = worker("b", beside=first, limits=limits, server={"restartable": ["echo"]})
    second.run(second.server.recover(take_over(second)))
    assert query(second, task_id)[0]["status"] == ("completed" if again else "failed")


@pytest.mark.proves("recovery.takeover")
def test_a_task_that_was_told_something_may_be_lost_as_often():
    """A run that ended in a question ended well: it was not lost."""

    def ask_once(job, task):
        return (yield from task.need_input({"question": "?"}))

    first = worker("a", skills={"echo": ask_once})
    task_id = payload_of(first.post(request_frame()))["task_id"]
    message = {"task_id": task_id, "message_id": "m", "sender": "urn:x", "role": "user", "parts": []}
    ask(first, "message.send", message)
    assert (record_at(first, task_id).runs, len(first.background)) == (2, 1)
    limits = Limits(task_runs=2)
    second = worker("b", beside=first, skills={"echo": ask_once}, limits=limits, server={"restartable": ["echo"]})
    second.run(second.server.recover(take_over(second)))
    assert query(second, task_id)[0]["result"]["message_id"] == "m"


@pytest.mark.proves("recovery.takeover", "task.cancel")
def test_a_run_that_was_lost_and_is_to_be_cancelled():
    """Is cancelled, as was asked, though nobody knows how much of it was done."""
    first = worker("a")
    task_id = lose(first, request_frame())
    second = worker("b", beside=first)
    second.run(second.server.recover(evolve(take_over(second), cancel="enough")))
    record = record_at(second, task_id)
    assert (record.status, record.runs) == (TaskStatus.CANCELLED, 1)


@pytest.mark.proves("recovery.takeover")
def test_a_task_that_was_lost_while_it_was_restored():
    """Has failed, and says why: what it was to go on from was never written down."""
    first = worker("a")
    task_id = lose(first, request_frame())
    second = worker("b", beside=first)
    second.run(second.server.recover(evolve(take_over(second), restored=1)))
    told, error = query(second, task_id)
    assert (told["status"], error["data"]["code"]) == ("failed", "asap:execution/interrupted")
    assert error["data"]["error"]


@pytest.mark.proves("recovery.takeover")
def test_a_skill_that_is_gone_can_not_be_run_again():
    """The agent was started anew without it."""
    first = worker("a")
    task_id = lose(first, request_frame())
    second = worker("b", beside=first, manifest=echo_manifest(skills=("other",)), server={"restartable": ["echo"]})
    second.run(second.server.recover(take_over(second)))
    assert query(second, task_id)[1]["data"]["code"] == "asap:execution/interrupted"


@pytest.mark.proves("recovery.takeover")
@pytest.mark.parametrize("handles", [[], [TaskCancel]])
def test_what_is_no_request_is_not_made_again(handles):
    """A built-in answer, or a handler of the agent's own: its caller asks again, with another key."""
    first = worker("a", server={"handles": handles})
    task_id = payload_of(first.post(request_frame(extensions=ASYNC)))["task_id"] if not handles else "task_x"
    first.rest()
    frame = request_frame(payload_type="task.cancel", payload={"task_id": task_id}, key="c")
    steps = receive(frame, server=first.server)
    first.reach(steps, Invoke) if handles else first.reach(steps, Write)
    second = worker("b", beside=first, server={"handles": handles})
    second.run(second.server.recover(take_over(second)))
    error = answer_of(second.post(frame))["error"]
    assert error["data"]["code"] == ("asap:execution/interrupted")


@pytest.mark.proves("recovery.fencing")
def test_a_task_that_is_lost_again_while_it_is_recovered():
    """The third worker has it: the second counts that, and does no more."""
    first = worker("a")
    lose(first, request_frame())
    second = worker("b", beside=first)
    record = take_over(second)
    third = worker("c", beside=first)
    newer = take_over(third)
    second.run(second.server.recover(record))
    assert second.events == [Handled("task.request", "asap:task/taken_over", 0.0)]
    assert record_at(third, record.id) == newer


# -- where there is no thread ----------------------------------------------------------------------------------------


def waiting_for_a_thread(**options):
    """A task in the background whose handler found no thread, as its story; and its id."""
    wire = worker("a", **options)
    task_id = payload_of(wire.post(request_frame(extensions=ASYNC)))["task_id"]
    story = wire.background.popleft()
    wire.reach(story, Invoke)
    return wire, story, task_id


@pytest.mark.proves("task.submit")
def test_a_task_that_nobody_waits_for_waits_for_a_thread():
    """It lets others have their turn, and runs once there is one; a request is refused instead."""
    wire, story, task_id = waiting_for_a_thread()
    for _ in range(3):
        assert asks(story, Saturated()) == Pause(0.05)
        assert wire.reach(story, Invoke).job.task_id == task_id
    wire.run(story, Returned({"ok": True}))
    assert record_at(wire, task_id).status is TaskStatus.COMPLETED


@pytest.mark.proves("task.cancel")
def test_a_task_that_is_cancelled_while_it_waits_for_a_thread():
    """Never runs."""
    wire, story, task_id = waiting_for_a_thread()
    pause = asks(story, Saturated())
    steps = receive(request_frame(payload_type="task.cancel", payload={"task_id": task_id}), server=wire.server)
    wire.reach(steps, Pause)
    wire.run(story, wire.perform(pause))
    assert payload_of(wire.run(steps))["status"] == "cancelled"
    assert wire.ran == []


@pytest.mark.proves("recovery.released")
def test_a_task_that_is_cut_off_while_it_waits_for_a_thread():
    """Is given back as one that has not begun: whoever takes it over runs it, whatever its skill."""
    wire, story, task_id = waiting_for_a_thread()
    asks(story, Saturated())
    gives_back = story.throw(KeyboardInterrupt())
    assert wire.perform(gives_back)
    with pytest.raises(KeyboardInterrupt):
        story.send(True)
    assert (record_at(wire, task_id).owner, record_at(wire, task_id).runs) == ("", 0)
    second = worker("b", beside=wire)
    second.run(second.server.recover(take_over(second, 0.0)))
    assert query(second, task_id)[0]["status"] == "completed"


@pytest.mark.proves("recovery.released")
def test_a_task_that_is_cut_off_as_it_gets_its_thread():
    """Has begun, as far as anybody knows."""
    wire, story, _ = waiting_for_a_thread()
    pause = asks(story, Saturated())
    wire.reach(story, Invoke, wire.perform(pause))
    gives_back = story.throw(KeyboardInterrupt())
    assert gives_back.change.record.runs == 1


@pytest.mark.proves("recovery.fencing")
def test_a_task_that_is_lost_while_it_waits_for_a_thread():
    """The worker finds that when it looks, and lets go of it."""
    wire, story, task_id = waiting_for_a_thread()
    pause = asks(story, Saturated())
    second = worker("b", beside=wire)
    record = take_over(second)
    wire.run(story, wire.perform(pause))
    assert wire.events[-1] == Handled("task.request", "asap:task/taken_over", 0.0)
    assert record_at(wire, task_id) == record


# -- what a worker holds in vain -------------------------------------------------------------------------------------


@pytest.mark.proves("recovery.idle")
@pytest.mark.parametrize("outcome", [Returned({}), Suspended({}), Cancelled(), Saturated(), Raised(ValueError())])
def test_a_worker_knows_what_it_has_in_hand(outcome):
    """From the moment that a handler is asked for until its end is written, whatever that is."""
    wire = link()
    steps = hold(wire, request_frame())
    [task] = wire.state.tasks()
    assert {*wire.server.live} == {task.id}
    wire.run(steps, outcome)
    assert not wire.server.live


@pytest.mark.proves("recovery.idle")
def test_a_worker_knows_what_it_runs_in_the_background():
    """And lets go of what is closed on the way."""
    wire, story, task_id = waiting_for_a_thread()
    asks(story, Saturated())
    assert {*wire.server.live} == {task_id}
    story.close()
    assert not wire.server.live


def beat(wire, keeper):
    wire.run(keeper.beat())
    wire.rest()


@pytest.mark.proves("recovery.idle")
def test_a_task_that_its_own_worker_holds_in_vain_is_recovered():
    """Its story is gone, so that nobody would ever end it, and no other worker takes it while its lease is renewed."""
    wire = worker("a", server={"restartable": ["echo"]})
    steps = hold(wire, request_frame(key="k"))
    task_id = wire.state.tasks()[-1].id
    keeper = KeeperRole(wire.server, fixed_sources(wire.clock), Limits())
    beat(wire, keeper)
    steps.close()
    for _ in range(15):
        beat(wire, keeper)
        assert record_at(wire, task_id).status is TaskStatus.WORKING
        wire.clock.move(1.0)
    beat(wire, keeper)
    assert payload_of(wire.post(request_frame(key="k")))["status"] == "completed"


@pytest.mark.proves("recovery.idle")
def test_a_task_that_is_in_hand_is_left_alone():
    """However long its handler takes."""
    wire = worker("a", server={"restartable": ["echo"]})
    steps = hold(wire, request_frame())
    keeper = KeeperRole(wire.server, fixed_sources(wire.clock), Limits())
    for _ in range(40):
        beat(wire, keeper)
        wire.clock.move(1.0)
    assert wire.ran == []
    wire.run(steps, Returned({}))
    assert [record.version for record in wire.state.tasks()] == [2]
