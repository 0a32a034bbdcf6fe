"""How a request is accepted once, and what is answered where it comes again: nonces, slots, and kept replies."""

import pytest

from asap_proto.errors import HandlerFailed, InvalidInput, Kind
from asap_proto.model import TaskStatus
from asap_proto.roles import Invoke, Raised, ReadTask, Returned, Saturated, TimedOut, Write
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.stores import NonceClaim, Refused
from asap_proto.wire import jsonrpc
from asap_testkit import CALLER, ME, NOW, PEER, asks, link, request_frame
from asap_testkit.receiving import (
    NONCE,
    accepts,
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
PATH = "$.params.envelope"


@pytest.mark.proves("nonce.policy")
def test_nonces_are_claimed_required_or_passed_over():
    """As the agent is told; claimed for as long as the limit says."""
    frame = request_frame(extensions=NONCE)
    assert accepts(receive(frame)).nonce == NonceClaim(ME, "n", AT + 600.0)
    assert accepts(receive(frame, server=role(nonces="require"))).nonce is not None
    assert accepts(receive(frame, server=role(nonces="ignore"))).nonce is None
    error = error_of(receive(request_frame(), server=role(nonces="require")))
    assert (error["data"]["code"], error["data"]["path"]) == (
        "asap:protocol/invalid_nonce",
        "$.params.envelope.extensions.nonce",
    )


@pytest.mark.proves("nonce.repeated")
@pytest.mark.parametrize(
    ("why", "code", "status", "details", "about"),
    [
        ("repeated", "asap:protocol/invalid_nonce", 200, None, "nonce"),
        ("nonces full", "asap:transport/thread_pool_exhausted", 503, {"retry_after": 1}, "nonces"),
        ("tasks full", "asap:transport/thread_pool_exhausted", 503, {"retry_after": 1}, "tasks"),
        ("forgotten", "asap:task/reply_forgotten", 200, None, "reply"),
    ],
)
def test_what_is_not_accepted(why, code, status, details, about):
    """A repeated nonce is refused; where no more nonces or tasks fit, the peer is asked to come back.

    What has run, and whose reply had to go, is not run again.
    """
    steps = receive(request_frame(extensions=NONCE))
    accepts(steps)
    response, event = end(steps, Refused(why))
    assert (response.status, event.code) == (status, code)
    assert answer_of(response)["id"] == "req-1"
    data = answer_of(response)["error"]["data"]
    assert (data.get("details"), data["path"]) == (details, PATH + (".extensions.nonce" if why == "repeated" else ""))
    assert about in data["error"]


def test_a_nonce_that_was_used_is_noted():
    """For the log: who sent it, in what, and enough of the nonce to find it; of no other error."""
    steps = receive(request_frame(extensions={"nonce": "Zm9vYmFyYmF6cXV4eA"}), caller=CALLER)
    accepts(steps)
    note = f"this nonce was used before (caller={ME}, envelope=letter-1, sender={ME}, nonce=Zm9vYmFy…)"
    assert end(steps, Refused("repeated"))[1].note == note
    steps = receive(request_frame(extensions=NONCE))
    accepts(steps)
    assert end(steps, Refused("nonces full"))[1].note == ""


@pytest.mark.proves("nonce.burned")
def test_a_request_that_is_refused_keeps_its_nonce():
    """Skill, handler, time and depth are looked at before the nonce is claimed."""
    for change in (
        {"payload_type": "custom"},
        {"timestamp": "2020-01-01"},
        {"extensions": {**NONCE, "task_depth": 11}},
    ):
        error_of(receive(request_frame(**{"extensions": NONCE, **change})))


@pytest.mark.proves("idempotency.slot")
def test_a_request_is_accepted_and_kept_in_two_steps():
    """One claims its slot and its nonce with its record, one writes how it ended and what it was answered."""
    steps = receive(request_frame(key="k", extensions=NONCE))
    accept = accepts(steps)
    slot, record = accept.record.job.slot, accept.record
    assert (slot.caller, slot.key, accept.nonce.nonce, accept.now) == (ME, "k", "n", AT)
    assert (record.status, record.version, record.runs) == ("working", 1, 1)
    assert [(event.number, event.kind, event.status) for event in accept.events] == [(1, "status_change", "working")]
    assert isinstance(asks(steps, Fresh()), Invoke)
    change = writes(steps, Returned({}))
    assert (change.record.status, change.record.version, change.record.expires) == ("completed", 2, AT + 3600.0)
    assert [(event.number, event.status) for event in change.events] == [(2, "completed")]
    response, _ = end(steps, True)
    assert change.record.reply in response.body


@pytest.mark.proves("idempotency.slot")
def test_a_kept_reply_is_sent_under_the_id_of_whoever_asks():
    """Without running anything."""
    steps = receive(request_frame(key="k", id=7))
    accepts(steps)
    response, _ = end(steps, Kept("task_1", b'"result":{"kept":true}'))
    assert answer_of(response) == {"jsonrpc": "2.0", "result": {"kept": True}, "id": 7}


@pytest.mark.proves("idempotency.slot")
def test_a_key_of_another_request():
    """It can't fetch this one's reply."""
    steps = receive(request_frame(key="k"))
    accepts(steps)
    response, event = end(steps, Reused())
    assert (response.status, event.code) == (200, "asap:protocol/idempotency_key_reused")
    assert "key" in answer_of(response)["error"]["data"]["error"]


@pytest.mark.proves("idempotency.slot")
def test_slots_belong_to_the_caller():
    """To whom the credentials name, where they name one."""
    steps = receive(request_frame(key="k"), caller=CALLER)
    assert accepts(steps).record.job.slot.caller == ME


def test_a_digest_tells_requests_apart():
    """All that makes a request what it is counts; what a retry renews does not."""

    def digest(**changes):
        return accepts(receive(request_frame(key="k", **changes))).record.job.slot.digest

    payload = {"conversation_id": "c", "skill_id": "echo", "input": {}}
    assert digest() == digest(timestamp="2026-01-02T03:04:06Z", extensions={"nonce": "other"}, trace_id="t")
    digests = {
        digest(),
        digest(payload=payload),
        digest(sender=PEER),
        digest(recipient=ME),
        digest(payload_type="TaskRequest"),
    }
    assert len(digests) == 5


@pytest.mark.proves("idempotency.slot")
@pytest.mark.parametrize(("outcome", "kept"), [(Saturated(), False), (TimedOut(), True), (Raised(ValueError()), True)])
def test_a_failure_is_kept_unless_another_try_may_mend_it(outcome, kept):
    """What never ran frees its slot; what failed has failed."""
    steps = receive(request_frame(key="k"))
    invokes(steps)
    change = writes(steps, outcome)
    assert change.record.status is TaskStatus.FAILED
    assert (change.record.job.slot is not None) == kept
    response, _ = end(steps, True)
    assert change.record.reply in response.body


class CutOff(BaseException):
    """What a front throws into a story that is cancelled."""


@pytest.mark.proves("idempotency.slot", "recovery.released")
@pytest.mark.parametrize("durable", [True, False])
def test_a_handler_that_is_cut_off(durable):
    """A store that outlives the worker has the task given back to it, to be taken over; else a retry is to run."""
    steps = receive(request_frame(key="k"), server=role(durable=durable))
    invokes(steps)
    command = steps.throw(CutOff())
    assert isinstance(command, Write)
    record = command.change.record
    if durable:
        assert (record.status, record.owner, record.lease, record.runs) == ("working", "", 0.0, 1)
        assert record.job.slot is not None
    else:
        assert (record.status, record.job.slot) == ("failed", None)
        assert jsonrpc.failed(record.reply).code == "asap:transport/thread_pool_exhausted"
        assert jsonrpc.read_member(record.reply)["error"]["data"]["error"]
    with pytest.raises(CutOff):
        steps.send(True)


@pytest.mark.parametrize("durable", [True, False])
def test_a_handler_that_is_cut_off_from_what_another_worker_has(durable):
    """There is nothing to give back, and the story ends with what cut it off."""
    steps = receive(request_frame(), server=role(durable=durable))
    invokes(steps)
    assert isinstance(steps.throw(CutOff()), Write)
    assert isinstance(steps.send(False), ReadTask)
    with pytest.raises(CutOff):
        steps.send(None)


def test_a_story_that_is_closed_asks_nothing_more():
    """Nobody is left to answer; the task's lease ends at its time."""
    steps = receive(request_frame(key="k"))
    invokes(steps)
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


def test_a_kept_failure_of_a_kind_of_the_users_own():
    """Is sent as it is; what is not in our catalogue is counted as the handler's failure."""

    class OutOfStock(InvalidInput):
        kind = Kind("shop:out_of_stock", -32602, 200, False, "Order something else.")

    member = jsonrpc.failure(OutOfStock("none left"))
    steps = receive(request_frame(key="k"))
    accepts(steps)
    response, event = end(steps, Kept("task_1", member))
    assert event.code == "asap:execution/handler_failed"
    assert answer_of(response)["error"]["data"]["code"] == "shop:out_of_stock"


def test_a_kept_failure_is_counted_as_a_failure():
    """The retry that is answered with it fares no better than the first."""
    member = jsonrpc.failure(HandlerFailed("no"))
    steps = receive(request_frame(key="k"))
    accepts(steps)
    response, event = end(steps, Kept("task_1", member))
    assert event.code == "asap:execution/handler_failed"
    assert member in response.body


@pytest.mark.proves("idempotency.slot")
def test_a_retry_while_the_first_is_running():
    """Is asked to come back, and told which task it waits for; then it has the same reply, and nothing ran twice."""
    wire = link()
    first = hold(wire, request_frame(id=1, key="k"))
    response = wire.post(request_frame(id=2, key="k", extensions={"nonce": "renewed"}))
    error = answer_of(response)["error"]
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert (error["code"], error["data"]["code"]) == (-32031, "asap:task/still_running")
    reply = wire.run(first, Returned({"ok": True}))
    assert error["data"]["details"] == {"retry_after": 1, "task_id": payload_of(reply)["task_id"]}
    assert "running" in error["data"]["error"]
    assert answer_of(wire.post(request_frame(id=3, key="k")))["result"] == answer_of(reply)["result"]


@pytest.mark.proves("task.submit")
def test_a_submission_while_the_first_is_running():
    """Who wants to be answered at once is told how the task stands; the handler is not asked again."""
    wire = link()
    first = hold(wire, request_frame(key="k"))
    standing = payload_of(wire.post(request_frame(key="k", extensions=ASYNC)))
    assert (standing["status"], standing["result"]) == ("working", None)
    assert payload_of(wire.run(first, Returned({"ok": True})))["task_id"] == standing["task_id"]
    assert wire.ran == []


@pytest.mark.proves("idempotency.slot")
def test_a_retry_just_as_the_first_ends():
    """Between the look into the slot and the look at the task: it is answered with what that ended in, not without."""
    wire = link()
    first = hold(wire, request_frame(key="k"))
    retry = receive(request_frame(id=2, key="k", extensions=ASYNC), server=wire.server)
    looks = wire.reach(retry, ReadTask)
    reply = wire.run(first, Returned({"ok": True}))
    answer = wire.run(retry, wire.perform(looks))
    assert payload_of(answer) == payload_of(reply)
    assert payload_of(answer)["result"] == {"ok": True}


def test_a_retry_just_as_the_first_fails():
    """It is counted as the failure that it is answered with."""
    wire = link()
    first = hold(wire, request_frame(key="k"))
    retry = receive(request_frame(key="k"), server=wire.server)
    looks = wire.reach(retry, ReadTask)
    reply = wire.run(first, Raised(ValueError("secret")))
    response, event = end(retry, wire.perform(looks))
    assert (response.body, event.code) == (reply.body, "asap:execution/handler_failed")


@pytest.mark.proves("idempotency.slot")
def test_a_retry_of_what_just_went_away():
    """A task that is forgotten between the two looks is asked for again."""
    steps = receive(request_frame(key="k"))
    accepts(steps)
    assert isinstance(asks(steps, Busy("task_1")), ReadTask)
    assert error_of(steps, None)["data"]["code"] == "asap:task/still_running"


@pytest.mark.proves("idempotency.slot", "task.question")
def test_a_retry_of_what_waits_to_be_told():
    """Has the question, for as long as the task waits."""

    def ask(job, task):
        answer = yield from task.need_input({"question": "where to?"})
        return {"to": answer["input"]}

    wire = link(skills={"echo": ask})
    first = payload_of(wire.post(request_frame(key="k")))
    assert (first["status"], first["result"]) == ("input_required", {"question": "where to?"})
    assert payload_of(wire.post(request_frame(id=2, key="k"))) == first
    assert len(wire.ran) == 1


@pytest.mark.proves("recovery.slot")
def test_a_retry_after_the_worker_was_lost():
    """While nobody has taken the task over the retry waits; once somebody has, it is told what came of it."""
    wire = link(server={"worker": "a", "durable": True})
    hold(wire, request_frame(key="k"))  # and nobody goes on with it
    other = link(server={"worker": "b", "durable": True, "restartable": ["echo"]}, beside=wire)
    wire.clock.move(14.0)
    assert answer_of(other.post(request_frame(key="k")))["error"]["data"]["code"] == "asap:task/still_running"
    wire.clock.move(1.0)
    [record] = wire.state.take_over("b", now=wire.clock.now().timestamp(), until=AT + 100.0, most=10)
    other.run(other.server.recover(record))
    answer = payload_of(other.post(request_frame(key="k")))
    assert (answer["task_id"], answer["status"], answer["result"]) == (
        record.id,
        "completed",
        {"echoed": {"message": "hi"}},
    )
