"""What a query is told of a task: how it stands, what it knew, how it ended."""

import pytest

from asap_proto.errors import InvalidInput
from asap_proto.model import TaskStatus, TaskUpdate
from asap_proto.roles import ReadSnapshot, ReadTask, Returned, Suspended, Write
from asap_testkit import NOW, asks, link, request_frame
from asap_testkit.receiving import answer_of, ask, hold, payload_of, receive, refused

AT = NOW.timestamp()
ASYNC = {"prefer": "respond-async"}


def query(wire, task_id, version=None, **changes):
    return ask(wire, "state.query", {"task_id": task_id, "version": version}, id="query", **changes)


def counting(job, task):
    """A handler that saves each step up to ``to``."""
    for step in range(1, job.payload.input["to"] + 1):
        yield from task.progress(100 * step / job.payload.input["to"])
        yield from task.save({"step": step}, checkpoint=step == job.payload.input["to"])
    return {"steps": job.payload.input["to"]}


def counted(to):
    """A wire on which a task has saved so many steps, and its id."""
    wire = link(skills={"echo": counting})
    payload = {"conversation_id": "talk", "skill_id": "echo", "input": {"to": to}, "parent_task_id": "task_parent"}
    reply = payload_of(wire.post(request_frame(payload=payload, extensions={"task_depth": 2})))
    return wire, reply["task_id"]


@pytest.mark.proves("state.query")
def test_a_task_that_is_completed():
    """Its status and result, the newest snapshot as its state, and in the extensions all else."""
    wire, task_id = counted(3)
    answer = query(wire, task_id)
    assert answer["payload"] == {
        "task_id": task_id, "status": "completed", "result": {"steps": 3}, "final_state": {"step": 3}, "metrics": None,
    }  # fmt: skip
    extensions = answer["extensions"]
    assert extensions.keys() == {"task", "snapshot", "request"}
    task = extensions["task"]
    assert (task["conversation_id"], task["parent_task_id"], task["depth"]) == ("talk", "task_parent", 2)
    assert (task["status"], task["progress"], task["created_at"]) == (
        "completed",
        {"percent": 100.0},
        "2026-01-02T03:04:05.123456Z",
    )
    snapshot = extensions["snapshot"]
    assert (snapshot["task_id"], snapshot["version"], snapshot["checkpoint"]) == (task_id, 3, True)
    assert extensions["request"]["input"] == {"to": 3}


@pytest.mark.proves("state.query")
def test_a_version_that_is_asked_for():
    """What the task knew then."""
    wire, task_id = counted(3)
    for version in (1, 2, 3):
        answer = query(wire, task_id, version)
        assert answer["payload"]["final_state"] == {"step": version}
        assert answer["extensions"]["snapshot"]["version"] == version


@pytest.mark.proves("state.query")
@pytest.mark.parametrize("version", [-1, 0, 4, 2**62])
def test_a_version_that_is_not_there(version):
    """Is told, with the newest that is."""
    wire, task_id = counted(3)
    assert refused(wire, "state.query", {"task_id": task_id, "version": version}) == (
        "asap:task/snapshot_not_found",
        "$.params.envelope.payload.version",
        {"version": version, "newest": 3},
    )


@pytest.mark.proves("state.query")
def test_a_task_that_has_saved_nothing():
    """Has no snapshot, and so nothing to be restored with; that is no failure, unless a version was asked for."""
    wire, task_id = counted(0)
    answer = query(wire, task_id)
    assert (answer["payload"]["status"], answer["payload"]["final_state"]) == ("completed", None)
    assert answer["extensions"].keys() == {"task"}
    code, _, details = refused(wire, "state.query", {"task_id": task_id, "version": 1})
    assert (code, details) == ("asap:task/snapshot_not_found", {"version": 1, "newest": 0})


@pytest.mark.proves("state.query")
def test_a_task_that_failed():
    """Says why, as its request was told."""

    def refuse(job):
        raise InvalidInput("too long", path="$.payload.input")

    wire = link(skills={"echo": refuse})
    told = answer_of(wire.post(request_frame()))["error"]
    answer = query(wire, wire.ran[0].task_id)
    assert (answer["payload"]["status"], answer["payload"]["result"]) == ("failed", None)
    assert answer["extensions"]["error"] == told


@pytest.mark.proves("state.query", "task.question")
def test_a_task_that_waits():
    """Says what for."""
    wire = link()
    asked = payload_of(wire.run(hold(wire, request_frame()), Suspended({"question": "where to?"})))
    answer = query(wire, asked["task_id"])
    assert (answer["payload"]["status"], answer["payload"]["result"]) == ("input_required", None)
    assert answer["extensions"]["input_request"] == {"question": "where to?"}


@pytest.mark.proves("state.query")
def test_a_task_that_is_not_there():
    """Is told by its path."""
    found = refused(link(), "state.query", {"task_id": "task_x"})
    assert found == ("asap:task/not_found", "$.params.envelope.payload.task_id", {"task_id": "task_x"})


@pytest.mark.proves("state.query")
def test_a_task_that_is_no_request():
    """A payload with a handler of the agent's own is a task too, of no conversation."""
    wire = link(server={"handles": [TaskUpdate]}, skills={"task.update": lambda job: None})
    ask(wire, "task.update", {"task_id": "theirs", "update_type": "progress", "status": "working"})
    task = query(wire, wire.ran[0].task_id)["extensions"]["task"]
    assert (task["status"], task["conversation_id"], task["parent_task_id"]) == ("completed", "", None)


@pytest.mark.proves("state.query")
def test_a_query_between_a_task_and_its_end():
    """Tells of one moment: how the task stood when it was looked at, and no result before its end is written."""
    wire = link()
    request = hold(wire, request_frame())
    write = wire.reach(request, Write, Returned({"ok": True}))
    task_id = write.change.record.id
    payload = {"task_id": task_id}
    steps = receive(request_frame(payload_type="state.query", payload=payload), server=wire.server)
    looks = wire.reach(steps, ReadTask)
    found = wire.perform(looks)
    assert wire.perform(write)
    assert isinstance(asks(steps, found), ReadSnapshot)
    answer = payload_of(wire.run(steps, None))
    assert (answer["status"], answer["result"]) == ("working", None)
    assert query(wire, task_id)["payload"]["result"] == {"ok": True}


@pytest.mark.proves("state.query", "idempotency.slot")
def test_a_query_only_looks():
    """Nothing is kept for its key: who asks again is told how the task stands now."""
    wire = link()
    task_id = payload_of(wire.post(request_frame(extensions=ASYNC)))["task_id"]
    assert query(wire, task_id, key="q")["payload"]["status"] == "submitted"
    wire.rest()
    assert query(wire, task_id, key="q")["payload"]["status"] == "completed"
    assert [task.id for task in wire.state.tasks()] == [task_id]


@pytest.mark.proves("nonce.repeated")
def test_a_query_claims_its_nonce():
    """As any other request."""
    wire, task_id = counted(0)
    assert query(wire, task_id, extensions={"nonce": "n"})["payload"]["status"] == TaskStatus.COMPLETED
    assert query(wire, task_id, extensions={"nonce": "n"})["data"]["code"] == "asap:protocol/invalid_nonce"
