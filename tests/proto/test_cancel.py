"""What a cancel is answered with, whoever runs the task, and whatever happens at the same time."""

import pytest

from asap_proto.limits import Limits
from asap_proto.model import AuthScheme, TaskCancel, TaskStatus
from asap_proto.roles import Cancelled, Interrupt, KeeperRole, Pause, Raised, Returned, Suspended, Write
from asap_proto.rules.identity import Identity
from asap_proto.stores import Refused
from asap_testkit import CALLER, ME, NOW, asks, echo_manifest, fixed_sources, link, request_frame
from asap_testkit.receiving import (
    accepts,
    answer_of,
    ask,
    error_of,
    hold,
    payload_of,
    receive,
    record_at,
    refused,
)

AT = NOW.timestamp()
ASYNC = {"prefer": "respond-async"}
NOT_FOUND, FINISHED = "asap:task/not_found", "asap:task/already_completed"
PATH = "$.params.envelope.payload.task_id"


def cancel(wire, task_id, reason=None, **changes):
    return ask(wire, "task.cancel", {"task_id": task_id, "reason": reason}, id="cancel", **changes)


def cancelling(wire, task_id, reason=None, **changes):
    """A cancel that is told by hand."""
    payload = {"task_id": task_id, "reason": reason}
    frame = request_frame(id="cancel", payload_type="task.cancel", payload=payload, **changes)
    return receive(frame, server=wire.server)


def running(wire, **changes):
    """A request whose handler runs, and its task's id."""
    steps = hold(wire, request_frame(**changes))
    [task_id] = [record.id for record in wire.state.tasks(status=TaskStatus.WORKING)]
    return steps, task_id


def waiting(wire, **changes):
    """The id of a task that waits to be told something."""
    return payload_of(wire.run(hold(wire, request_frame(**changes)), Suspended({"question": "?"})))["task_id"]


@pytest.mark.proves("task.cancel")
def test_a_handler_is_cut_off_and_all_are_told():
    """The request that it served, and who cancelled it: the task is ``cancelled``."""
    wire = link()
    request, task_id = running(wire)
    steps = cancelling(wire, task_id, "enough")
    interrupt = wire.reach(steps, Interrupt)
    assert interrupt.task_id == task_id
    assert record_at(wire, task_id).cancel == "enough"
    pause = asks(steps, True)
    assert isinstance(pause, Pause)
    reply = payload_of(wire.run(request, Cancelled()))
    assert (reply["task_id"], reply["status"], reply["result"]) == (task_id, "cancelled", None)
    answer = payload_of(wire.run(steps))
    assert (answer["task_id"], answer["status"], answer["result"]) == (task_id, "cancelled", None)
    log = wire.state.events(task_id, after=0, most=10)
    assert [event.status for event in log] == ["working", "cancelled"]


@pytest.mark.proves("task.cancel")
@pytest.mark.parametrize(
    ("seconds", "looks"), [(1.0, [0.0, 0.005, 0.02, 0.05, 0.1, 0.25, 0.25, 0.25, 0.25]), (0.005, [0.0, 0.005])]
)
def test_a_handler_that_does_not_stop(seconds, looks):
    """A cancel looks a few times, then less often, for as long as the limit says; and answers how the task stands."""
    wire = link(limits=Limits(cancel_seconds=seconds))
    _, task_id = running(wire)
    steps, pauses, answer = cancelling(wire, task_id), [], None
    while sum(pauses) < seconds:
        pause = wire.reach(steps, Pause, answer)
        pauses.append(pause.seconds)
        answer = wire.perform(pause)
    assert pauses == looks
    assert payload_of(wire.run(steps, answer))["status"] == "working"
    assert wire.clock.elapsed() == pytest.approx(1000.0 + sum(looks))  # it has looked no more often


@pytest.mark.proves("task.cancel")
def test_a_cancel_says_how_the_task_ended_instead():
    """A handler may come to its end first, well or badly."""
    for outcome, status in ((Returned({"ok": True}), "completed"), (Raised(ValueError()), "failed")):
        wire = link()
        request, task_id = running(wire)
        steps = cancelling(wire, task_id)
        pause = wire.reach(steps, Pause)
        wire.run(request, outcome)
        assert payload_of(wire.run(steps, wire.perform(pause)))["status"] == status


@pytest.mark.proves("task.cancel")
def test_a_task_that_has_not_begun():
    """Is cancelled at once, by one write, and never runs; the same request again is told so."""
    wire = link()
    task_id = payload_of(wire.post(request_frame(key="k", extensions=ASYNC)))["task_id"]
    commands = wire.commands
    assert cancel(wire, task_id, "enough")["payload"]["status"] == "cancelled"
    assert wire.clock.now() == NOW
    assert wire.commands - commands < 10
    wire.rest()
    assert wire.ran == []
    assert payload_of(wire.post(request_frame(key="k")))["status"] == "cancelled"
    log = wire.state.events(task_id, after=0, most=10)
    assert [(event.number, event.status) for event in log] == [(1, "submitted"), (2, "cancelled")]


@pytest.mark.proves("task.cancel", "task.question")
def test_a_task_that_waits_to_be_told():
    """Is cancelled at once; its question goes with it, whoever asks."""
    wire = link()
    task_id = waiting(wire, key="k")
    answer = cancel(wire, task_id)
    assert (answer["payload"]["status"], answer["payload"]["result"]) == ("cancelled", None)
    assert "input_request" not in answer["extensions"]
    again = payload_of(wire.post(request_frame(key="k")))
    assert (again["status"], again["result"]) == ("cancelled", None)
    assert (record_at(wire, task_id).question, record_at(wire, task_id).owner) == (None, "")


@pytest.mark.proves("task.cancel", "recovery.released")
def test_a_task_that_was_given_back():
    """Nobody runs it, so nobody is waited for; whoever would take it over finds it over."""
    wire = link(server={"durable": True})
    request, task_id = running(wire)
    with pytest.raises(KeyboardInterrupt):
        wire.run(request, wire.perform(request.throw(KeyboardInterrupt())))
    assert cancel(wire, task_id)["payload"]["status"] == "cancelled"
    assert wire.clock.now() == NOW
    assert wire.state.take_over("b", now=AT + 100.0, until=AT + 200.0, most=10) == ()


@pytest.mark.proves("task.cancel")
@pytest.mark.parametrize(
    ("outcome", "status"),
    [(Returned({}), "completed"), (Raised(ValueError()), "failed"), (Cancelled(), "cancelled")],
)
def test_a_task_that_is_over(outcome, status):
    """Can't be cancelled: nothing leads out of its status, which is told."""
    wire = link()
    request, task_id = running(wire)
    wire.run(request, outcome)
    details = {"task_id": task_id, "current_status": status}
    assert refused(wire, "task.cancel", {"task_id": task_id}) == (FINISHED, PATH, details)


@pytest.mark.proves("task.visible")
def test_a_task_that_nobody_knows():
    """Is told by its id, cut when long."""
    assert refused(link(), "task.cancel", {"task_id": "t" * 100}) == (NOT_FOUND, PATH, {"task_id": "t" * 64})


def stepwise(job, task):
    """A handler that says how far it has come."""
    yield from task.progress(50)
    return {}


def guarded(**options):
    other = Identity("urn:asap:agent:other")
    return link(
        manifest=echo_manifest(auth=AuthScheme(("bearer",))),
        callers={"bearer mine": CALLER, "bearer theirs": other},
        **options,
    )


@pytest.mark.proves("task.visible")
def test_a_task_is_its_callers():
    """Another caller is told the same as of a task that is not there; where callers are not known an id is enough."""
    wire = guarded()
    request = receive(request_frame(), server=wire.server, caller=CALLER)
    wire.run(request)
    [task] = wire.state.tasks()
    asked = request_frame(
        payload_type="state.query", payload={"task_id": task.id}, sender="urn:asap:agent:other", id="theirs"
    )
    error = answer_of(wire.post(asked, authorization="bearer theirs"))["error"]
    missing = {**asked, "params": {"envelope": {**asked["params"]["envelope"], "payload": {"task_id": "task_x"}}}}
    unknown = answer_of(wire.post(missing, authorization="bearer theirs"))["error"]
    assert (error["code"], error["data"]["code"]) == (-32602, NOT_FOUND)
    assert {**error["data"], "details": None} == {**unknown["data"], "details": None}
    open_to_all = link(beside=wire)
    assert payload_of(open_to_all.post(asked))["status"] == "completed"


# -- at the same time ------------------------------------------------------------------------------------------------


@pytest.mark.proves("task.cancel", "store.compare-and-set")
def test_a_task_that_ends_just_as_it_is_cancelled():
    """Between the look and the write: the cancel comes too late, and is told so."""
    wire = link()
    request, task_id = running(wire)
    steps = cancelling(wire, task_id)
    asked = wire.reach(steps, Write)
    wire.run(request, Returned({}))
    error = answer_of(wire.run(steps, wire.perform(asked)))["error"]
    assert (error["data"]["code"], error["data"]["details"]["current_status"]) == (FINISHED, "completed")


@pytest.mark.proves("task.cancel", "store.compare-and-set")
def test_a_task_that_begins_just_as_it_is_cancelled():
    """Between the look and the write: it runs by then, so its handler is asked to stop, as any other."""
    wire = link(skills={"echo": stepwise})
    task_id = payload_of(wire.post(request_frame(extensions=ASYNC)))["task_id"]
    steps = cancelling(wire, task_id)
    at_once = wire.reach(steps, Write)
    assert at_once.change.record.status is TaskStatus.CANCELLED
    begins = wire.background.popleft()
    assert wire.perform(wire.reach(begins, Write))
    asked = wire.reach(steps, Write, wire.perform(at_once))
    assert (asked.change.record.status, asked.change.record.cancel) == ("working", "")
    wire.reach(steps, Pause, wire.perform(asked))
    wire.run(begins, True)  # the handler starts, and is told by what it calls on its task
    assert payload_of(wire.run(steps))["status"] == "cancelled"


@pytest.mark.proves("task.cancel", "store.compare-and-set")
def test_a_handler_that_is_always_the_first_to_write():
    """Is cut off before the cancel is written; where that alone ends the task, its status is the answer."""
    wire = link()
    request, task_id = running(wire)
    steps = cancelling(wire, task_id)
    wire.reach(steps, Write)
    assert asks(steps, False) == Interrupt(task_id)
    wire.reach(steps, Write, True)
    assert asks(steps, False) == Interrupt(task_id)
    wire.run(request, Cancelled())
    answer = payload_of(wire.run(steps, False))  # once cut off, it runs no more in any worker
    assert (answer["task_id"], answer["status"]) == (task_id, "cancelled")


@pytest.mark.proves("task.cancel")
def test_two_cancels_at_once():
    """Both wait for the same end, and are told it."""
    wire = link()
    request, task_id = running(wire)
    first, second = cancelling(wire, task_id, "one"), cancelling(wire, task_id, "two")
    wire.reach(first, Pause)
    wire.reach(second, Pause)
    wire.run(request, Cancelled())
    assert [payload_of(wire.run(steps))["status"] for steps in (first, second)] == ["cancelled", "cancelled"]


def telling(wire, task_id, **changes):
    payload = {"task_id": task_id, "message_id": "m", "sender": ME, "role": "user", "parts": []}
    return receive(
        request_frame(id="tell", payload_type="message.send", payload=payload, **changes), server=wire.server
    )


@pytest.mark.proves("task.cancel", "task.message")
def test_a_message_and_a_cancel_at_once():
    """Whichever is written first counts; the other is judged anew, by how the task stands then."""
    wire = link(skills={"echo": stepwise})
    task_id = waiting(wire)
    told, steps = telling(wire, task_id), cancelling(wire, task_id)
    answers, ends = wire.reach(told, Write), wire.reach(steps, Write)
    assert payload_of(wire.run(steps, wire.perform(ends)))["status"] == "cancelled"
    error = answer_of(wire.run(told, wire.perform(answers)))["error"]
    assert (error["data"]["code"], error["data"]["details"]["current_status"]) == (FINISHED, "cancelled")

    task_id = waiting(wire)
    told, steps = telling(wire, task_id), cancelling(wire, task_id)
    answers, ends = wire.reach(told, Write), wire.reach(steps, Write)
    assert payload_of(wire.run(told, wire.perform(answers)))["status"] == "working"
    wire.reach(steps, Pause, wire.perform(ends))
    assert record_at(wire, task_id).cancel == ""
    wire.rest()
    assert payload_of(wire.run(steps))["status"] == "cancelled"


# -- several workers -------------------------------------------------------------------------------------------------


@pytest.mark.proves("task.cancel", "recovery.beat")
def test_a_task_that_another_worker_runs():
    """The cancel is written; the worker that runs it finds that at its next beat, though it never looked before."""
    wire = link(server={"worker": "a", "durable": True})
    other = link(server={"worker": "b", "durable": True}, beside=wire)
    request, task_id = running(wire)
    steps = cancelling(other, task_id, "enough")
    other.reach(steps, Pause)
    beat = KeeperRole(wire.server, fixed_sources(wire.clock), Limits()).beat()
    assert wire.reach(beat, Interrupt).task_id == task_id
    wire.run(beat, True)
    assert payload_of(wire.run(request, Cancelled()))["status"] == "cancelled"
    assert payload_of(other.run(steps))["status"] == "cancelled"


@pytest.mark.proves("task.cancel", "recovery.takeover")
def test_a_cancelled_task_whose_worker_is_lost():
    """Is not run again by whoever takes it over, but cancelled."""
    wire = link(server={"worker": "a", "durable": True})
    other = link(server={"worker": "b", "durable": True, "restartable": ["echo"]}, beside=wire)
    _, task_id = running(wire)
    assert cancel(other, task_id)["payload"]["status"] == "working"
    wire.clock.move(15.0)
    [record] = wire.state.take_over("b", now=wire.clock.now().timestamp(), until=AT + 100.0, most=10)
    other.run(other.server.recover(record))
    assert (record_at(wire, task_id).status, wire.ran, other.ran) == ("cancelled", [], [])


# -- a cancel is a request too ---------------------------------------------------------------------------------------


@pytest.mark.proves("idempotency.slot")
def test_a_cancel_that_is_sent_again():
    """Has the answer of the first, though a second cancel would be refused; while the first waits, so does it."""
    wire = link()
    request, task_id = running(wire)
    steps = cancelling(wire, task_id, key="c")
    wire.reach(steps, Pause)
    assert cancel(wire, task_id, key="c")["data"]["code"] == "asap:task/still_running"
    wire.run(request, Cancelled())
    first = payload_of(wire.run(steps))
    assert cancel(wire, task_id, key="c")["payload"] == first
    assert cancel(wire, task_id, key="other")["data"]["code"] == FINISHED


@pytest.mark.proves("idempotency.slot")
def test_a_cancel_that_is_cut_off_while_it_waits():
    """The story ends with what cut it off, and frees its key: a retry is to ask again, not to wait for nobody."""
    wire = link()
    _, task_id = running(wire)
    steps = cancelling(wire, task_id, key="c")
    wire.reach(steps, Pause)
    frees = steps.throw(KeyboardInterrupt())
    answer = wire.perform(frees)
    with pytest.raises(KeyboardInterrupt):
        steps.send(answer)
    assert cancel(wire, task_id, key="c")["payload"]["status"] == "working"


def test_a_cancel_without_a_key_that_is_cut_off_while_it_waits():
    """There is nothing to free."""
    wire = link()
    _, task_id = running(wire)
    steps = cancelling(wire, task_id)
    wire.reach(steps, Pause)
    with pytest.raises(KeyboardInterrupt):
        steps.throw(KeyboardInterrupt())


@pytest.mark.proves("idempotency.slot")
def test_a_cancel_that_is_closed_asks_nothing_more():
    """Nobody is left to answer."""
    wire = link()
    _, task_id = running(wire)
    steps = cancelling(wire, task_id, key="c")
    wire.reach(steps, Pause)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.proves("idempotency.slot", "nonce.repeated")
def test_what_a_built_in_answer_claims():
    """Its key and its nonce, as a request that runs a handler; without either, nothing."""
    payload = {"payload_type": "task.cancel", "payload": {"task_id": "t"}}
    both = accepts(receive(request_frame(key="c", extensions={"nonce": "n"}, **payload)))
    assert (both.record.job.slot.key, both.nonce.nonce, both.events) == ("c", "n", ())
    assert both.record.job.name == "task.cancel"
    alone = accepts(receive(request_frame(extensions={"nonce": "n"}, **payload)))
    assert (alone.record, alone.nonce.nonce) == (None, "n")
    steps = receive(request_frame(extensions={"nonce": "n"}, **payload))
    accepts(steps)
    assert error_of(steps, Refused("repeated"))["data"]["code"] == "asap:protocol/invalid_nonce"


def test_what_has_a_handler_of_its_own_is_not_cancelled_for_it():
    """The agent's own handler for cancels decides what they do."""
    wire = link(server={"handles": [TaskCancel]}, skills={"task.cancel": lambda job: None, "echo": lambda job: {}})
    done = payload_of(wire.post(request_frame()))
    assert cancel(wire, done["task_id"])["payload"]["status"] == "working"
