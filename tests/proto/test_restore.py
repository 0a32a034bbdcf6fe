"""What a restore is answered with: the same task turned back, a new one that goes on, another agent's adopted."""

import attrs
import pytest

from asap_proto.errors import StateUnavailable
from asap_proto.limits import Limits
from asap_proto.model import McpToolCall, StateSnapshot, TaskStatus
from asap_proto.roles import Accept, Background, Handled, Write
from asap_proto.rules.slot import Fresh
from asap_proto.stores import Change, Refused, TaskEvent, TaskRecord
from asap_proto.wire import jsonrpc
from asap_testkit import CALLER, NOW, PEER, asks, echo_manifest, link, request_frame
from asap_testkit.receiving import (
    accepts,
    answer_of,
    ask,
    end,
    error_of,
    hold,
    payload_of,
    receive,
    record_at,
    refused,
    role,
)
from asap_testkit.records import changed, snapshot_of

AT = NOW.timestamp()
#: How long a task is held that no store outlives: for as long as a handler may run, and what it came to is kept.
LEASE = 600.0 + 3600.0
ASYNC = {"prefer": "respond-async"}
NOT_FOUND, NO_SNAPSHOT = "asap:task/not_found", "asap:task/snapshot_not_found"
TASK_PATH = "$.params.envelope.payload.task_id"


def counting(job, task):
    """A handler that goes on from what it knows to ``to``, and saves each step."""
    known = yield from task.load()
    first = known["step"] + 1 if known else 1
    for step in range(first, job.payload.input["to"] + 1):
        yield from task.save({"step": step})
    return {"first": first}


def asking(job, task):
    """A handler that saves two steps and asks; it asks nothing of whoever turns it back to the first."""
    known = yield from task.load()
    if known == {"step": 1}:
        return {"known": known}
    yield from task.save({"step": 1})
    yield from task.save({"step": 2})
    yield from task.need_input({"question": "?"})
    return {"known": known}


def counted(to=3, *, wire=None, **changes):
    """A wire on which a task has come to its end, its id, and those of its snapshots by their versions."""
    wire = wire or link(skills={"echo": counting})
    payload = {"conversation_id": "talk", "skill_id": "echo", "input": {"to": to}}
    task_id = payload_of(wire.post(request_frame(payload=payload, **changes)))["task_id"]
    return wire, task_id, snapshots_of(wire, task_id, to)


def snapshots_of(wire, task_id, newest):
    return {version: wire.state.snapshot(task_id, version).id for version in range(1, newest + 1)}


def restore(wire, task_id, snapshot_id, **changes):
    payload = {"task_id": task_id, "snapshot_id": snapshot_id}
    return ask(wire, "state.restore", payload, id="restore", **changes)


@pytest.mark.proves("state.restore")
def test_what_is_over_goes_on_as_a_new_task():
    """With the same request, from the snapshot that is named; the old one stays as it is."""
    wire, task_id, snapshots = counted(3)
    answer = restore(wire, task_id, snapshots[2])
    again = answer["payload"]["task_id"]
    assert (again != task_id, answer["payload"]["status"], answer["payload"]["result"]) == (True, "submitted", None)
    assert answer["extensions"]["task"]["conversation_id"] == "talk"
    wire.rest()
    record = record_at(wire, again)
    assert (record.status, record.runs, record.snapshots) == (TaskStatus.COMPLETED, 1, 2)
    told = ask(wire, "state.query", {"task_id": again})
    assert told["payload"]["result"] == {"first": 3}
    # Its own versions begin with what it was given.
    assert [wire.state.snapshot(again, version).data for version in (1, 2)] == [{"step": 2}, {"step": 3}]
    assert wire.state.snapshot(again, 1).checkpoint
    assert record_at(wire, task_id).snapshots == 3


@pytest.mark.proves("state.restore", "task.depth")
def test_a_new_task_is_as_deep_as_the_one_that_it_goes_on_from():
    """Or as deep as its restore says, where that is deeper: a chain of restores ends too."""
    wire, task_id, snapshots = counted(1, extensions={"task_depth": 4})
    for depth, found in ((None, 4), (3, 4), (9, 9)):
        extensions = {} if depth is None else {"extensions": {"task_depth": depth}}
        again = restore(wire, task_id, snapshots[1], **extensions)["payload"]["task_id"]
        assert record_at(wire, again).job.depth == found
    for at_most in (wire, link(limits=Limits(task_depth=8), beside=wire)):
        error = restore(at_most, task_id, snapshots[1], extensions={"task_depth": 11 if at_most is wire else 9})
        assert (error["data"]["code"], error["data"]["path"]) == (
            "asap:task/too_deep",
            "$.params.envelope.extensions.task_depth",
        )


@pytest.mark.proves("state.restore", "task.question")
def test_what_waits_is_turned_back():
    """The same task goes on from the snapshot that is named."""
    wire = link(skills={"echo": asking})
    task_id = payload_of(wire.post(request_frame(key="k")))["task_id"]
    snapshots = snapshots_of(wire, task_id, 2)
    answer = restore(wire, task_id, snapshots[1])
    assert (answer["payload"]["task_id"], answer["payload"]["status"]) == (task_id, "working")
    assert (record_at(wire, task_id).question, record_at(wire, task_id).restored) == (None, 1)
    wire.rest()
    assert payload_of(wire.post(request_frame(key="k")))["result"] == {"known": {"step": 1}}
    log = [(event.kind, event.status) for event in wire.state.events(task_id, after=0, most=10)]
    assert log[3:] == [
        ("input_required", "input_required"),
        ("status_change", "working"),
        ("status_change", "completed"),
    ]


@pytest.mark.proves("state.restore")
@pytest.mark.parametrize("status", ["submitted", "working"])
def test_what_is_not_over_is_not_turned_back(status):
    """Under the hands of its handler, or before it had any."""
    wire = link()
    if status == "working":
        hold(wire, request_frame())
    else:
        wire.post(request_frame(extensions=ASYNC))
    [task] = wire.state.tasks()
    assert wire.state.write(changed(task, snapshots=1, snapshot=snapshot_of(1, id=task.id)))
    details = {"task_id": task.id, "from_state": status, "to_state": "working"}
    found = refused(wire, "state.restore", {"task_id": task.id, "snapshot_id": "snap_1"})
    assert found == ("asap:protocol/invalid_state", TASK_PATH, details)


@pytest.mark.proves("state.restore")
def test_what_is_not_there():
    """A task, or a snapshot of it, is told by its path; another task's snapshot is none of this."""
    wire, task_id, snapshots = counted(1)
    _, other_id, _ = counted(1, wire=wire)
    assert refused(wire, "state.restore", {"task_id": "task_x", "snapshot_id": "snap_x"})[:2] == (NOT_FOUND, TASK_PATH)
    for task, snapshot in ((task_id, "snap_x"), (other_id, snapshots[1])):
        found = refused(wire, "state.restore", {"task_id": task, "snapshot_id": snapshot})
        assert found == (NO_SNAPSHOT, "$.params.envelope.payload.snapshot_id", None)


@pytest.mark.proves("state.restore")
def test_what_is_no_request_can_not_go_on():
    """A payload with a handler of the agent's own may save; there is no skill to go on with."""

    def handle(job, task):
        yield from task.save({})

    wire = link(server={"handles": [McpToolCall]}, skills={"mcp.tool_call": handle})
    ask(wire, "mcp.tool_call", {"request_id": "r", "tool_name": "x", "arguments": {}})
    task_id = wire.ran[0].task_id
    found = refused(wire, "state.restore", {"task_id": task_id, "snapshot_id": snapshots_of(wire, task_id, 1)[1]})
    assert found[:2] == (NOT_FOUND, TASK_PATH)


@pytest.mark.proves("state.restore", "store.compare-and-set")
def test_two_restores_of_what_waits_at_once():
    """One turns it back; the other is told that it runs by then."""
    wire = link(skills={"echo": asking})
    task_id = payload_of(wire.post(request_frame()))["task_id"]
    payload = {"task_id": task_id, "snapshot_id": snapshots_of(wire, task_id, 2)[1]}
    first, second = (
        receive(request_frame(id=id, payload_type="state.restore", payload=payload), server=wire.server)
        for id in ("1", "2")
    )
    one, two = wire.reach(first, Write), wire.reach(second, Write)
    assert payload_of(wire.run(first, wire.perform(one)))["status"] == "working"
    error = answer_of(wire.run(second, wire.perform(two)))["error"]
    assert (error["code"], error["data"]["code"]) == (-32602, "asap:protocol/invalid_state")


@pytest.mark.proves("state.restore", "idempotency.slot")
def test_a_restore_that_is_sent_again():
    """Is one new task."""
    wire, task_id, snapshots = counted(1)
    first, second = (restore(wire, task_id, snapshots[1], key="r")["payload"] for _ in range(2))
    assert first == second
    assert len(wire.background) == 1


@pytest.mark.proves("state.restore", "recovery.released")
def test_a_restore_for_which_there_is_no_room_yet():
    """The new task waits in the store, with what it goes on from."""
    wire, task_id, snapshots = counted(3)
    wire.background_most = 0
    again = restore(wire, task_id, snapshots[2])["payload"]["task_id"]
    record = record_at(wire, again)
    assert (record.status, record.owner, record.runs) == ("submitted", "", 0)
    [taken] = wire.state.take_over("worker", now=AT, until=AT + 15.0, most=10)
    wire.run(wire.server.recover(taken))
    assert ask(wire, "state.query", {"task_id": again})["payload"]["result"] == {"first": 3}


@pytest.mark.proves("state.restore")
def test_a_restore_where_nothing_runs_in_the_background():
    """The new task has run by the time it is told of."""
    wire, task_id, snapshots = counted(3)
    wire.has_background = False
    again = restore(wire, task_id, snapshots[1])["payload"]
    assert (again["status"], record_at(wire, again["task_id"]).status) == ("submitted", TaskStatus.COMPLETED)


# -- another agent's task --------------------------------------------------------------------------------------------


def brought(step=2, to=5, **changes):
    """What a restore brings along, as a query told it of another agent's task."""
    snapshot = {
        "id": "snap_2",
        "task_id": "task_theirs",
        "version": 2,
        "data": {"step": step},
        "created_at": "2026-01-02T03:00:00Z",
        "checkpoint": False,
        **changes,
    }
    return {"snapshot": snapshot, "request": {"conversation_id": "talk", "skill_id": "echo", "input": {"to": to}}}


@pytest.mark.proves("state.adopt")
def test_another_agents_task_is_adopted():
    """A new task goes on from the snapshot that came along, with the request that came along."""
    wire = link(skills={"echo": counting})
    answer = restore(wire, "task_theirs", "snap_2", extensions=brought())
    again = answer["payload"]["task_id"]
    assert (again != "task_theirs", answer["payload"]["status"]) == (True, "submitted")
    wire.rest()
    assert ask(wire, "state.query", {"task_id": again})["payload"]["result"] == {"first": 3}
    record = record_at(wire, again)
    assert (record.job.caller, record.job.envelope.payload_type, record.job.name) == (None, "state.restore", "echo")


@pytest.mark.proves("state.adopt")
@pytest.mark.parametrize(
    ("extensions", "code", "path"),
    [
        (brought(id="snap_3"), NO_SNAPSHOT, "snapshot.id"),
        (brought(task_id="task_other"), NO_SNAPSHOT, "snapshot.id"),
        (brought(version=0), "asap:protocol/malformed_envelope", "snapshot.version"),
        ({"snapshot": None}, "asap:protocol/malformed_envelope", "snapshot"),
        ({"snapshot": brought()["snapshot"]}, "asap:protocol/malformed_envelope", "request"),
        ({**brought(), "request": {"skill_id": "echo"}}, "asap:protocol/malformed_envelope", "request.conversation_id"),
    ],
)
def test_what_can_not_be_adopted(extensions, code, path):
    """What came along has to be the snapshot that is named, and a request; each fault is told by its path."""
    payload = {"task_id": "task_theirs", "snapshot_id": "snap_2"}
    found = refused(link(), "state.restore", payload, extensions=extensions)
    assert found[:2] == (code, f"$.params.envelope.extensions.{path}")


@pytest.mark.proves("state.adopt", "skill.known")
def test_a_skill_that_this_agent_lacks():
    """Nobody here can go on with that."""
    wire = link(manifest=echo_manifest(skills=("other",)))
    extensions = brought()
    for name in ("echo", "s" * 65):
        extensions["request"]["skill_id"] = name
        error = restore(wire, "task_theirs", "snap_2", extensions=extensions)
        details = {"skill_id": name[:64]}
        assert (error["data"]["code"], error["data"]["details"]) == ("asap:capability/skill_not_found", details)
        assert "skill" in error["data"]["error"]


def adopted(n):
    """Whether a snapshot of so many bytes is adopted."""
    wire = link(limits=Limits(snapshot_bytes=100))
    extensions = brought(data={"x": "x" * (n - 8)})
    return "payload" in restore(wire, "task_theirs", "snap_2", extensions=extensions)


@pytest.mark.proves("limits.bounds", "state.adopt")
def test_a_snapshot_that_is_brought_is_bounded():
    """As one that is saved."""
    assert adopted(100)
    assert not adopted(101)
    wire = link(limits=Limits(snapshot_bytes=100))
    found = refused(
        wire,
        "state.restore",
        {"task_id": "task_theirs", "snapshot_id": "snap_2"},
        extensions=brought(data={"x": "x" * 93}),
    )
    assert found[:2] == ("asap:capability/input_validation", "$.params.envelope.extensions.snapshot.data")


# -- what may go wrong on the way ------------------------------------------------------------------------------------


def restoring(**options):
    """A restore with a key, told by hand up to where its new task is to be accepted."""
    payload = {"task_id": "task_theirs", "snapshot_id": "snap_2"}
    frame = request_frame(payload_type="state.restore", payload=payload, extensions=brought(), key="r")
    steps = receive(frame, server=role(**options), caller=CALLER)
    asked = accepts(steps).record
    assert asked == TaskRecord(asked.job, TaskStatus.WORKING, "worker", AT + LEASE, AT)
    new = asks(steps, Fresh())
    assert isinstance(new, Accept)
    job, events = new.record.job, (TaskEvent(1, AT, "status_change", TaskStatus.SUBMITTED),)
    assert new == Accept(
        TaskRecord(job, TaskStatus.SUBMITTED, "worker", AT + LEASE, AT, events=1, restored=1), None, events, AT
    )
    assert (job.caller, job.name, job.slot, job.created, job.size) == (CALLER, "echo", None, AT, asked.job.size)
    assert (job.envelope, job.payload.input, asked.job.size > 0) == (asked.job.envelope, {"to": 5}, True)
    return steps, new.record


@pytest.mark.proves("state.restore")
def test_a_new_task_is_written_before_it_runs():
    """First its record, then its snapshot, then the answer, which is kept for as long as another; then it runs."""
    steps, new = restoring()
    command = asks(steps, Fresh())
    assert isinstance(command, Write)
    id = command.change.snapshot.id
    assert id.startswith("snap_0")
    snapshot = StateSnapshot(id, new.id, 1, {"step": 2}, NOW, checkpoint=True)
    assert command.change == Change(attrs.evolve(new, version=2, snapshots=1), (), snapshot)
    answered = asks(steps, True)
    assert isinstance(answered, Write)
    record = answered.change.record
    assert (record.status, record.version, record.expires) == (TaskStatus.COMPLETED, 2, AT + 3600.0)
    assert isinstance(asks(steps, True), Background)
    response, event = end(steps, "started")
    assert event == Handled("state.restore", None, 0.0)
    assert record.reply in response.body
    envelope = answer_of(response)["result"]["envelope"]
    assert (envelope["id"], envelope["sender"], envelope["correlation_id"], envelope["timestamp"]) == (
        record.id.removeprefix("task_"),
        PEER,
        "letter-1",
        "2026-01-02T03:04:05.123456Z",
    )
    assert envelope["payload"]["task_id"] == new.id


class CutOff(BaseException):
    """What a front throws into a story that is cancelled."""


@pytest.mark.proves("state.restore", "idempotency.slot")
def test_a_restore_that_is_cut_off_frees_its_key():
    """Whoever asks for its task is told that it failed for want of a server."""
    steps, _ = restoring()
    command = steps.throw(CutOff())
    assert isinstance(command, Write)
    record = command.change.record
    assert (record.status, record.job.slot) == (TaskStatus.FAILED, None)
    error = jsonrpc.failed(record.reply)
    assert error.code == "asap:transport/thread_pool_exhausted"
    assert "shutting down" in error.message
    with pytest.raises(CutOff):
        steps.send(True)


@pytest.mark.proves("state.restore", "idempotency.slot")
def test_a_restore_that_finds_no_room_frees_its_key():
    """The caller is asked to come back."""
    steps, _ = restoring()
    command = asks(steps, Refused("tasks full"))
    assert isinstance(command, Write)
    assert (command.change.record.status, command.change.record.job.slot) == (TaskStatus.FAILED, None)
    data = error_of(steps, True)["data"]
    assert (data["code"], data["details"]) == ("asap:transport/thread_pool_exhausted", {"retry_after": 1})
    assert "tasks" in data["error"]


@pytest.mark.proves("state.restore", "idempotency.slot")
def test_a_restore_whose_new_task_is_lost_frees_its_key():
    """What it was to go on from could not be written down, so nothing has begun."""
    steps, _ = restoring()
    assert isinstance(asks(steps, Fresh()), Write)
    command = asks(steps, False)
    assert command.change.record.job.slot is None
    data = error_of(steps, True)["data"]
    assert data["code"] == "asap:task/taken_over"
    assert "another worker" in data["error"]


@pytest.mark.proves("state.restore", "recovery.takeover")
def test_a_worker_that_is_lost_between_a_new_task_and_its_snapshot():
    """The task is not run from its start, which nobody asked for: it has failed."""
    wire = link(server={"worker": "a", "durable": True}, skills={"echo": counting})
    payload = {"task_id": "task_theirs", "snapshot_id": "snap_2"}
    frame = request_frame(payload_type="state.restore", payload=payload, extensions=brought())
    wire.reach(receive(frame, server=wire.server), Write)
    other = link(server={"worker": "b", "durable": True, "restartable": ["echo"]}, beside=wire)
    wire.clock.move(15.0)
    [lost] = wire.state.take_over("b", now=wire.clock.now().timestamp(), until=AT + 100.0, most=10)
    other.run(other.server.recover(lost))
    assert other.ran == []
    told = ask(other, "state.query", {"task_id": lost.id})
    assert (told["payload"]["status"], told["extensions"]["error"]["data"]["code"]) == (
        "failed",
        "asap:execution/interrupted",
    )
    log = [event.status for event in wire.state.events(lost.id, after=0, most=10)]
    assert log == ["submitted", "working", "failed"]


@pytest.mark.proves("state.restore")
def test_an_answer_that_can_not_be_kept_is_told():
    """Where the store is away by then: the new task is there, and runs."""
    steps, new = restoring()
    asks(steps, Fresh())
    asks(steps, True)
    assert isinstance(steps.throw(StateUnavailable("away")), Background)
    assert payload_of(end(steps, "started")[0])["task_id"] == new.id


@pytest.mark.proves("state.restore")
def test_an_answer_that_somebody_else_has_given():
    """Where the request was taken for lost meanwhile: a retry is told what came of it, and so is whoever asks now."""
    steps, _ = restoring()
    asks(steps, Fresh())
    asks(steps, True)
    assert isinstance(asks(steps, False), Background)
    data = error_of(steps, "started")["data"]
    assert data["code"] == "asap:task/taken_over"
    assert "another worker" in data["error"]


@pytest.mark.proves("state.restore")
def test_a_task_that_ends_while_it_is_restored():
    """What waits is turned back only while it waits: the cancelled task goes on as a new one."""
    wire = link(skills={"echo": asking})
    task_id = payload_of(wire.post(request_frame()))["task_id"]
    payload = {"task_id": task_id, "snapshot_id": snapshots_of(wire, task_id, 2)[1]}
    steps = receive(request_frame(payload_type="state.restore", payload=payload), server=wire.server)
    write = wire.reach(steps, Write)
    ask(wire, "task.cancel", {"task_id": task_id})
    answer = payload_of(wire.run(steps, wire.perform(write)))
    assert (answer["task_id"] != task_id, answer["status"]) == (True, "submitted")
    assert record_at(wire, task_id).status is TaskStatus.CANCELLED
