"""What becomes of work whose caller hung up, and of a request that there is no room for."""

import json

import pytest

from asap_proto.limits import Limits
from asap_proto.model import TaskStatus
from asap_proto.roles import Cancelled, Handled, Interrupt, Observe, Pause, ReadTask, Returned, Watch
from asap_proto.roles.working import Work
from asap_testkit import asks, finish, fixed_sources, link, request_frame
from asap_testkit.receiving import admitted, answer_of, hold, payload_of, record_at, role

ASYNC = {"prefer": "respond-async"}


def running(wire, **changes):
    """A request whose handler runs, and what is run."""
    steps = hold(wire, request_frame(**changes))
    [record] = wire.state.tasks(status=TaskStatus.WORKING)
    return steps, record.job


def streamed(wire, **changes):
    """A stream's story."""
    return wire.server.stream(admitted(), json.dumps(request_frame(**changes)).encode())


@pytest.mark.proves("task.cancel")
def test_work_without_a_caller_is_cancelled():
    """At once, where the caller can't come back for it; the log says why."""
    wire = link()
    request, job = running(wire)
    steps = wire.server.abandon(job)
    interrupt = wire.reach(steps, Interrupt)
    assert interrupt.task_id == job.task_id
    assert record_at(wire, job.task_id).cancel == "its caller hung up"
    assert payload_of(wire.run(request, Cancelled()))["status"] == "cancelled"
    wire.run(steps, True)


@pytest.mark.proves("idempotency.slot", "task.cancel")
def test_a_caller_may_come_back():
    """Work with an idempotency key goes on for a while, and what it came to is there for a retry."""
    wire = link(limits=Limits(return_seconds=2.0))
    request, job = running(wire, key="k")
    steps = wire.server.abandon(job)
    assert asks(steps) == Pause(2.0)
    assert payload_of(wire.run(request, Returned({"ok": True})))["result"] == {"ok": True}
    look = asks(steps)
    assert isinstance(look, ReadTask)
    wire.run(steps, wire.perform(look))
    assert payload_of(wire.post(request_frame(key="k")))["result"] == {"ok": True}
    assert wire.ran == []  # nothing besides what was held


@pytest.mark.proves("idempotency.slot", "task.cancel")
def test_a_caller_that_has_come_back_has_as_long_again():
    """Each time that it asks for what runs still; then that is cancelled, and a retry is told so instead of run."""
    wire = link()
    request, job = running(wire, key="k")
    steps = wire.server.abandon(job)
    assert isinstance(asks(steps), Pause)
    for _ in range(2):
        assert answer_of(wire.post(request_frame(key="k")))["error"]["data"]["code"] == "asap:task/still_running"
        assert isinstance(asks(steps), Pause)
    look = asks(steps)
    assert isinstance(look, ReadTask)
    assert wire.reach(steps, Interrupt, wire.perform(look)).task_id == job.task_id
    wire.run(request, Cancelled())
    wire.run(steps, True)
    assert payload_of(wire.post(request_frame(key="k")))["status"] == "cancelled"
    assert wire.ran == []  # nothing besides what was held


def test_a_caller_that_came_back_before_it_was_missed():
    """Has its time all the same: the connection that broke may have been noticed late."""
    wire = link()
    _, job = running(wire, key="k")
    wire.post(request_frame(key="k"))
    assert isinstance(asks(wire.server.abandon(job)), Pause)


@pytest.mark.proves("task.cancel")
@pytest.mark.parametrize("how", ["submitted", "streamed"])
def test_work_that_needs_no_caller_any_more(how):
    """The same request, sent so that it need not be waited for, lets the work go on."""
    wire = link()
    request, job = running(wire, key="k")
    steps = wire.server.abandon(job)
    assert isinstance(asks(steps), Pause)
    if how == "submitted":
        frame = request_frame(key="k", extensions=ASYNC)
        assert payload_of(wire.post(frame))["status"] == "working"
    else:
        wire.reach(streamed(wire, key="k"), Watch)
    assert isinstance(asks(steps), Pause)
    assert finish(steps) is None
    assert payload_of(wire.run(request, Returned({})))["status"] == "completed"


@pytest.mark.proves("task.cancel")
def test_work_that_is_over_already():
    """Is left as it is."""
    wire = link()
    request, job = running(wire)
    wire.run(request, Returned({}))
    wire.run(wire.server.abandon(job))
    assert record_at(wire, job.task_id).status is TaskStatus.COMPLETED


def test_a_request_that_there_is_no_room_for():
    """Is told when to come again, and counted; nothing of it was looked at."""
    steps = role().turn_away()
    counted = asks(steps)
    code = "asap:transport/thread_pool_exhausted"
    assert counted == Observe(Handled("other", code, 0.0))
    response = finish(steps)
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    data = answer_of(response)["error"]["data"]
    assert (data["code"], data["details"]) == (code, {"retry_after": 1})
    assert "requests" in data["error"]


def test_how_often_a_task_was_asked_for_is_known_while_it_is_in_hand():
    """And no longer: a run of it that comes later has not been asked for yet."""
    work = Work("a", fixed_sources(), Limits(), skills=(), restartable=(), durable=False, worker="one")
    work.want("task_1", 1)
    assert work.wanted == {}
    work.take("task_1")
    for times in (1, 2):
        work.want("task_1", 1)
        assert work.wanted == {"task_1": times}
    work.let_go("task_1")
    assert work.wanted == {}
