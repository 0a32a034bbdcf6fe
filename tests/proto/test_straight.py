"""The way past the stories: what takes it, what is left to them, and that both come to the same."""

import json

import pytest

from asap_proto.limits import Limits
from asap_proto.model import TaskStatus
from asap_proto.roles import Handled, InputNeeded, Observe, ReadTask, Returned, Saturated, Write
from asap_proto.roles.straight import Item
from asap_proto.stores import Change
from asap_proto.wire.json import dump
from asap_testkit import PEER, asks, finish, link, request_frame
from asap_testkit.receiving import admitted, answer_of, payload_of, record_at
from asap_testkit.straight import post_straight

NONCE = {"nonce": "n"}


def begin(wire, frame, **changes):
    straight = wire.server.straight(wire.state, wire.events.append)
    return straight, straight.begin(frame, admitted(**changes), 500, 1000)


def test_a_request_of_a_handler_is_accepted_at_once():
    """It is in the store before its handler runs, and what is given back runs that."""
    wire = link()
    _, begun = begin(wire, request_frame(extensions=NONCE, key="k"))
    invoke, started = begun
    assert (invoke.name, invoke.timeout, started) == ("echo", 600.0, wire.clock.elapsed())
    record = record_at(wire, invoke.job.task_id)
    assert (record.status, record.owner) == (TaskStatus.WORKING, wire.server.worker)
    # What no store outlives is run here or never: nobody takes it over while it may run, or be asked for.
    assert record.lease == record.job.created + Limits().handler_seconds + Limits().task_seconds


def test_a_front_of_threads_says_what_it_has_in_hand():
    """Others look while the handler runs; the story that goes on takes it in hand besides."""
    wire = link()
    straight, begun = begin(wire, request_frame())
    task_id = begun[0].job.task_id
    straight.take(begun)
    assert wire.server.live == {task_id: 1}
    steps = wire.server.go_on(begun, request_frame(), "$", admitted())
    steps.send(None)
    assert wire.server.live == {task_id: 2}
    wire.run(steps, Saturated())
    straight.let_go(begun)
    assert wire.server.live == {}


def test_what_its_handler_returned_is_written_counted_and_answered():
    """One write, one count, and the answer of the story."""
    wire = link()
    response = post_straight(wire, request_frame())
    payload = payload_of(response)
    assert answer_of(response)["result"]["envelope"]["sender"] == PEER
    assert (payload["status"], payload["result"]) == ("completed", {"echoed": {"message": "hi"}})
    assert record_at(wire, payload["task_id"]).status is TaskStatus.COMPLETED
    assert wire.events == [Handled("task.request", None, 0.0)]
    assert wire.server.live == {}


def test_what_is_answered_straight_on():
    """The request's id, the member of the reply, and what the story would write and keep, at the same times."""
    wire = link()
    frame = request_frame(key="k")
    straight, begun = begin(wire, frame)
    wire.clock.move(2.0)
    item = straight.end(begun, frame, {"ok": True})
    member = b'"result":' + dump(answer_of(wire.server.answer(item, admitted()))["result"])
    assert item == Item("req-1", member, None, False)
    assert json.loads(item.whole())["result"]["envelope"]["payload"]["result"] == {"ok": True}
    record = record_at(wire, begun[0].job.task_id)
    at = wire.clock.now().timestamp()
    assert (record.status, record.reply, record.updated, record.expires) == ("completed", member, at, at + 3600.0)
    assert wire.events == [Handled("task.request", None, 2.0)]


def test_what_is_answered_straight_on_may_be_written():
    """Where the store has to keep it in another way, such as what is large."""
    wire = link()
    payload = {"conversation_id": "c", "skill_id": "echo", "input": {"text": "x" * 20_000}}
    frame = request_frame(payload=payload)
    straight, begun = begin(wire, frame)
    item = straight.end(begun, frame, {"ok": True})
    record = record_at(wire, begun[0].job.task_id)
    assert (record.status, record.reply, item.error) == ("completed", item.member, None)


def test_another_preference_is_straight_on():
    """Only who asks not to wait is unusual."""
    assert begin(link(), request_frame(extensions={"prefer": "respond-sync"}))[1] is not None


@pytest.mark.parametrize(
    "frame",
    [
        [],
        {"id": 1},
        request_frame(payload={"conversation_id": "c", "skill_id": "unknown", "input": {}}),
        request_frame(payload_type="state.query", payload={"task_id": "task_x"}),
        request_frame(extensions={"prefer": "respond-async"}),
        request_frame(extensions={"task_depth": 11}),
    ],
    ids=["no object", "no call", "no skill", "built in", "asks not to wait", "too deep"],
)
def test_what_is_unusual_is_left_to_the_story(frame):
    """Nothing is remembered of it, so that the story can be told from its beginning."""
    wire = link()
    assert begin(wire, frame)[1] is None
    assert wire.state.tasks() == ()


def test_a_skill_with_a_quota_of_its_own_is_left_to_the_story():
    """Who runs it is charged, which has to be asked for."""
    wire = link(skill_quotas={"echo": "1/second"})
    assert begin(wire, request_frame())[1] is None
    assert answer_of(post_straight(wire, request_frame()))["result"]
    assert answer_of(post_straight(wire, request_frame(id="letter-2")))["error"]["code"] == 429


def test_what_was_asked_before_is_left_to_the_story():
    """It finds the reply that is kept, and tells of a nonce that was used."""
    wire = link()
    frame = request_frame(key="k")
    first = answer_of(post_straight(wire, frame))
    assert begin(wire, frame)[1] is None
    assert answer_of(post_straight(wire, frame)) == first
    assert answer_of(post_straight(wire, request_frame(extensions=NONCE)))["result"]
    repeated = answer_of(post_straight(wire, request_frame(extensions=NONCE)))["error"]["data"]
    assert repeated["code"] == "asap:protocol/invalid_nonce"


def test_a_full_store_is_left_to_the_story():
    """It says that too many tasks are running."""
    wire = link(limits=Limits(tasks=1))
    assert begin(wire, request_frame())[1] is not None
    assert begin(wire, request_frame())[1] is None
    assert post_straight(wire, request_frame()).status == 503


@pytest.mark.parametrize("value", [None, {"no": {1, 2}}], ids=["no object", "no JSON"])
def test_what_can_not_be_sent_as_it_is_is_left_to_the_story(value):
    """It looks what can be made of it."""
    wire = link()
    straight, begun = begin(wire, request_frame())
    assert straight.end(begun, request_frame(), value) is None
    assert record_at(wire, begun[0].job.task_id).status is TaskStatus.WORKING


def test_a_task_that_was_changed_meanwhile_is_left_to_the_story():
    """Somebody wrote first: it judges anew."""
    wire = link()
    straight, begun = begin(wire, request_frame())
    task = begun[0].task
    progress = wire.run(task.progress(50))
    assert progress.progress == {"percent": 50}
    behind = wire.state.read(task.record.id, now=wire.clock.now().timestamp())
    assert wire.state.write(Change(type(behind)(behind.job, behind.status, behind.owner, behind.lease, 0.0, 3)))
    assert straight.end(begun, request_frame(), {}) is None


def test_a_story_goes_on_from_a_handler_that_did_not_return():
    """What it raised is told as ever, from the place in the request where that stood."""

    def fail(job):
        raise ValueError("secret")

    wire = link(skills={"echo": fail})
    error = answer_of(post_straight(wire, request_frame()))["error"]
    assert error["data"]["code"] == "asap:execution/handler_failed"
    assert b"secret" not in json.dumps(error).encode()
    assert wire.server.live == {}


def test_a_story_goes_on_from_a_handler_that_asks():
    """The task waits for the answer."""

    def ask(job):
        raise InputNeeded({"question": "?"})

    wire = link(skills={"echo": ask})
    assert payload_of(post_straight(wire, request_frame()))["status"] == "input_required"


def test_a_story_goes_on_where_no_thread_is_free():
    """Its caller is asked to come back."""
    wire = link(skills={"echo": lambda job: Saturated()})
    assert post_straight(wire, request_frame()).status == 503


def lost(frame, place):
    """What a request is answered that was begun straight on, and has lost its task when its handler returns."""
    wire = link()
    _, begun = begin(wire, frame)
    steps = wire.server.go_on(begun, frame, place, admitted())
    assert asks(steps) == begun[0]
    wire.clock.move(2.0)
    assert isinstance(asks(steps, Returned({})), Write)
    assert isinstance(asks(steps, False), Write)
    assert isinstance(asks(steps, False), ReadTask)
    assert asks(steps, None) == Observe(Handled("task.request", "asap:task/taken_over", 2.0))
    return finish(steps)


@pytest.mark.parametrize(("place", "path"), [("$", "$.params.envelope"), ("$[1]", "$[1].params.envelope")])
def test_a_story_that_goes_on_and_loses_its_task(place, path):
    """Its request is told so under its own id, from the place where it stands, and counted."""
    item = lost(request_frame(id=7), place)
    assert (item.id, item.silent, item.error.code) == (7, False, "asap:task/taken_over")
    error = json.loads(item.whole())["error"]
    assert (error["data"]["code"], error["data"]["path"]) == ("asap:task/taken_over", path)


def test_a_notification_that_goes_on_is_not_answered():
    """Not even where it has lost its task."""
    frame = request_frame()
    del frame["id"]
    item = lost(frame, "$")
    assert (item.id, item.silent) == (None, True)


def test_a_notification_is_not_answered():
    """But it is run."""
    wire = link()
    frame = request_frame()
    del frame["id"]
    response = post_straight(wire, frame)
    assert (response.status, response.body) == (204, b"")
    assert len(wire.state.tasks()) == 1
