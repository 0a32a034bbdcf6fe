"""What news of other agents' tasks is answered with, and what fetches an artifact."""

import json

import pytest

from asap_proto.limits import Limits
from asap_proto.model import PAYLOADS, AuthScheme, TextPart
from asap_proto.roles import Cancelled, ReadEvents, Returned, Suspended, Write
from asap_proto.roles.answering import ANSWERED
from asap_proto.roles.running import artifact_uri
from asap_proto.rules.identity import Identity
from asap_testkit import CALLER, ME, NOW, echo_manifest, link, request_frame
from asap_testkit.receiving import answer_of, ask, hold, payload_of, receive, record_at, refused

AT = NOW.timestamp()
PARENT = "$.params.envelope.extensions.parent_task_id"

NEWS = {
    "task.update": {"task_id": "task_x", "update_type": "progress", "status": "working", "progress": {"percent": 30}},
    "task.response": {"task_id": "task_x", "status": "completed", "result": {"n": 1}},
    "artifact.notify": {"artifact_id": "artifact_x", "task_id": "task_x", "name": "picture"},
}


def parent_of(wire):
    """The id of a task that runs, and hands on a part of its work."""
    hold(wire, request_frame(id="parent"))
    return wire.state.tasks()[-1].id


def tell(wire, kind, parent, **changes):
    payload = {**NEWS[kind], **changes}
    return ask(wire, kind, payload, id="news", extensions={"parent_task_id": parent})


def test_every_payload_that_asks_something_has_an_answer():
    """But a task request, which is its skill's, and what answers a call that this agent never made."""
    silent = {"task.request", "mcp.tool_call", "mcp.tool_result", "mcp.resource_data"}
    assert {name for name, kind in PAYLOADS.items() if kind not in ANSWERED} == silent


@pytest.mark.proves("task.news")
@pytest.mark.parametrize(
    ("name", "status"),
    [("task.update", "working"), ("task.response", "completed"), ("artifact.notify", "working")],
)
def test_news_of_a_subtask_reaches_the_log_of_its_parent(name, status):
    """As it came, with who told it; the parent stays as it is, and who told is told that it was heard."""
    wire = link()
    parent = parent_of(wire)
    before = record_at(wire, parent)
    answer = tell(wire, name, parent)["payload"]
    assert (answer["task_id"], answer["status"]) == ("task_x", status)
    record = record_at(wire, parent)
    assert (record.status, record.updated, record.version, record.events) == ("working", before.updated, 2, 2)
    [event] = wire.state.events(parent, after=1, most=10)
    assert (event.number, event.at, event.kind, event.status) == (2, AT, "subtask", "working")
    assert (event.data["payload_type"], event.data["sender"]) == (name, ME)
    assert NEWS[name].items() <= event.data["payload"].items()


@pytest.mark.proves("task.news")
@pytest.mark.parametrize("name", NEWS)
@pytest.mark.parametrize("extensions", [None, {}, {"parent_task_id": 5}, {"parent_task_id": None}])
def test_news_that_nobody_waits_for(name, extensions):
    """Names no task of this agent."""
    found = refused(link(), name, NEWS[name], extensions=extensions)
    assert found == ("asap:protocol/unsolicited", PARENT, None)


@pytest.mark.proves("task.news")
def test_news_for_a_task_that_is_not_there():
    """Or that is over: nobody would hear it."""
    wire = link()
    error = tell(wire, "task.update", "task_missing")
    assert (error["data"]["code"], error["data"]["path"]) == ("asap:task/not_found", PARENT)
    done = payload_of(wire.post(request_frame()))["task_id"]
    error = tell(wire, "task.update", done)
    assert (error["data"]["code"], error["data"]["path"]) == ("asap:task/already_completed", PARENT)
    assert error["data"]["details"] == {"task_id": done, "current_status": "completed"}


@pytest.mark.proves("task.news")
def test_news_for_a_task_that_waits():
    """Is heard; it is no answer to what the task asks."""
    wire = link()
    task_id = payload_of(wire.run(hold(wire, request_frame()), Suspended({"question": "?"})))["task_id"]
    assert tell(wire, "task.update", task_id)["payload"]["status"] == "working"
    assert record_at(wire, task_id).question == {"question": "?"}


@pytest.mark.proves("task.news", "store.compare-and-set")
@pytest.mark.parametrize(("outcome", "code"), [(Returned({}), "completed"), (Cancelled(), "cancelled")])
def test_news_for_a_task_that_ends_meanwhile(outcome, code):
    """Between the look and the write: it comes too late, and is told so."""
    wire = link()
    parent = hold(wire, request_frame(id="parent"))
    [task] = wire.state.tasks()
    frame = request_frame(
        payload_type="task.update", payload=NEWS["task.update"], extensions={"parent_task_id": task.id}
    )
    steps = receive(frame, server=wire.server)
    write = wire.reach(steps, Write)
    wire.run(parent, outcome)
    error = answer_of(wire.run(steps, wire.perform(write)))["error"]
    assert error["data"]["details"]["current_status"] == code


@pytest.mark.proves("task.news", "store.compare-and-set")
def test_two_pieces_of_news_at_once():
    """Both are in the log, under numbers of their own."""
    wire = link()
    parent = parent_of(wire)
    extensions = {"parent_task_id": parent}
    first, second = (
        receive(
            request_frame(id=name, payload_type=name, payload=NEWS[name], extensions=extensions), server=wire.server
        )
        for name in ("task.update", "artifact.notify")
    )
    one, two = wire.reach(first, Write), wire.reach(second, Write)
    wire.run(first, wire.perform(one))
    wire.run(second, wire.perform(two))
    told = [(event.number, event.data["payload_type"]) for event in wire.state.events(parent, after=1, most=10)]
    assert told == [(2, "task.update"), (3, "artifact.notify")]


def heard(n):
    """Whether news whose line of the log has so many bytes is heard."""
    wire = link(limits=Limits(event_bytes=1000))
    parent = parent_of(wire)
    tell(wire, "artifact.notify", parent, name="")
    [event] = wire.state.events(parent, after=1, most=1)
    filling = n - len(json.dumps(event.data, separators=(",", ":")))
    return "payload" in tell(wire, "artifact.notify", parent, name="x" * filling)


@pytest.mark.proves("limits.bounds", "task.news")
def test_news_is_bounded():
    """By what a line of the log may have."""
    assert heard(1000)
    assert not heard(1001)
    wire = link(limits=Limits(event_bytes=1000))
    error = tell(wire, "artifact.notify", parent_of(wire), name="x" * 1000)
    assert (error["data"]["code"], error["data"]["path"]) == (
        "asap:capability/input_validation",
        "$.params.envelope.payload",
    )


# -- what a task has made --------------------------------------------------------------------------------------------


def drawing(job, task):
    """A handler that makes two things."""
    first = yield from task.artifact("house", [TextPart("a house")])
    second = yield from task.artifact("tree", [TextPart("a tree"), TextPart("an apple")])
    yield from task.progress(100)
    return {"ids": [first.id, second.id]}


def drawn(**options):
    """A wire on which a task has made two things, its id and theirs."""
    wire = link(skills={"echo": drawing}, **options)
    reply = payload_of(wire.post(request_frame()))
    return wire, reply["task_id"], reply["result"]["ids"]


@pytest.mark.proves("mcp.resource")
def test_an_artifact_is_fetched_by_its_uri():
    """With its parts, from the log of its task, though that is over."""
    wire, task_id, (_, tree) = drawn()
    uri = artifact_uri(task_id, tree)
    envelope = ask(wire, "mcp.resource_fetch", {"resource_uri": uri})
    assert envelope["payload_type"] == "mcp.resource_data"
    assert envelope["payload"]["resource_uri"] == uri
    content = envelope["payload"]["content"]
    assert (content["artifact"]["id"], content["artifact"]["name"]) == (tree, "tree")
    assert content["parts"] == [{"type": "text", "content": "a tree"}, {"type": "text", "content": "an apple"}]


@pytest.mark.proves("mcp.resource")
def test_what_is_no_artifact():
    """Nothing else is a resource here: no file, no other task's artifact, no name in front of ours."""
    wire, task_id, (house, _) = drawn()
    uri = artifact_uri(task_id, house)
    bare = uri.removeprefix("asap:artifact:")
    for wrong in (
        uri + "x",
        "x" + uri,
        bare,
        artifact_uri("task_x", house),
        artifact_uri(task_id, ""),
        "file:///x",
        "",
    ):
        found = refused(wire, "mcp.resource_fetch", {"resource_uri": wrong})
        assert found == ("asap:resource/not_found", "$.params.envelope.payload.resource_uri", None)


@pytest.mark.proves("mcp.resource")
def test_an_artifact_is_looked_for_in_the_whole_log():
    """From its first line, to as many as there may be."""
    wire, task_id, (house, _) = drawn(limits=Limits(task_events=9))
    frame = request_frame(payload_type="mcp.resource_fetch", payload={"resource_uri": artifact_uri(task_id, house)})
    assert wire.reach(receive(frame, server=wire.server), ReadEvents) == ReadEvents(task_id, 0, 9)


@pytest.mark.proves("mcp.resource", "task.visible")
def test_an_artifact_is_its_tasks_callers():
    """To another caller it is not there."""
    other = "urn:asap:agent:other"
    wire = link(
        manifest=echo_manifest(auth=AuthScheme(("bearer",))),
        callers={"bearer mine": CALLER, "bearer theirs": Identity(other)},
        skills={"echo": drawing},
    )
    reply = payload_of(wire.post(request_frame(), authorization="bearer mine"))
    uri = artifact_uri(reply["task_id"], reply["result"]["ids"][0])
    fetch = {"payload_type": "mcp.resource_fetch", "payload": {"resource_uri": uri}}
    assert payload_of(wire.post(request_frame(**fetch), authorization="bearer mine"))["resource_uri"] == uri
    error = answer_of(wire.post(request_frame(sender=other, **fetch), authorization="bearer theirs"))["error"]
    assert error["data"]["code"] == "asap:resource/not_found"
