"""Records as bytes: whatever a store is given, it can give back."""

import pytest
from attrs import evolve

from asap_proto.model import McpToolCall, TaskCancel, TaskRequest, TaskStatus
from asap_proto.rules.identity import Identity
from asap_proto.stores import NEVER, Job, TaskEvent
from asap_proto.stores.codec import (
    dump_event,
    dump_job,
    dump_snapshot,
    dump_state,
    load_event,
    load_job,
    load_record,
    load_snapshot,
)
from asap_testkit import ME, letter
from asap_testkit.records import T, job_of, record_of, snapshot_of

CANCEL = letter(TaskCancel("task_9"))
CALL = McpToolCall("request-1", "echo", {"message": "hi"})
UNKNOWN = letter({"any": ["thing", 1, None]}, payload_type="x.y", at=None, trace_id="trace", extensions={"nonce": "n"})


def loaded(record):
    """The record, after its parts were written and read."""
    columns = ("owner", "lease", "updated", "version", "expires", "reply")
    values = {name: getattr(record, name) for name in columns}
    return load_record(dump_job(record.job), dump_state(record), status=record.status.value, **values)


@pytest.mark.parametrize(
    "job",
    [
        job_of(),
        job_of(key=None, size=512),
        evolve(job_of(), caller=None),
        evolve(job_of(), caller=Identity(ME, frozenset({"b", "a"}))),
        Job(CANCEL.payload, CANCEL, "task_1", 0, None, "task.cancel"),
        Job(UNKNOWN.payload, UNKNOWN, "task_1", 0, None),
        Job(TaskRequest("", "echo", {"message": "hi"}), letter(CALL), "task_1", 0, None, "echo", created=T),
    ],
    ids=["request", "no slot", "no caller", "scopes", "other payload", "unknown payload", "tool call"],
)
def test_a_job_comes_back(job):
    """With its envelope, and the request that it stands for where that is another."""
    again = load_job(dump_job(job))
    assert again == job
    assert (again.payload is again.envelope.payload) == (job.payload is job.envelope.payload)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"status": TaskStatus.SUBMITTED, "owner": "", "lease": 0.0, "runs": 0},
        {"status": TaskStatus.INPUT_REQUIRED, "lease": NEVER, "question": {"ask": "name?"}, "answers": ({"input": 1},)},
        {"progress": {"percent": 5.5, "message": "é"}, "events": 7, "snapshots": 2, "runs": 3, "restored": 1},
        {"status": TaskStatus.CANCELLED, "cancel": "", "reply": b'"result":{}', "expires": T + 1, "version": 9},
    ],
    ids=["working", "submitted", "waiting", "far on", "over"],
)
def test_a_record_comes_back(changes):
    """Field by field: what never changes, what does, and what a store looks it up by."""
    record = record_of(**changes)
    assert loaded(record) == record


def test_a_key_that_was_freed_stays_free():
    """The job's bytes are never written again: that its slot is gone stands beside them."""
    record = record_of()
    freed = evolve(record, job=evolve(record.job, slot=None))
    again = load_record(
        dump_job(record.job), dump_state(freed), status="working", owner="one", lease=T + 15.0, updated=T, version=1,
        expires=NEVER, reply=None,
    )  # fmt: skip
    assert again == freed
    assert dump_job(again.job) == dump_job(freed.job)


@pytest.mark.parametrize(
    "event",
    [
        TaskEvent(1, T, "status_change", TaskStatus.SUBMITTED),
        TaskEvent(2, T + 0.25, "progress", TaskStatus.WORKING, {"percent": 5}),
    ],
)
def test_an_event_comes_back(event):
    """With its data and without."""
    assert load_event(dump_event(event)) == event


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_snapshot_comes_back(checkpoint):
    """For the task that the store knows it by, to the microsecond."""
    snapshot = evolve(snapshot_of(3), checkpoint=checkpoint)
    assert load_snapshot("task_1", dump_snapshot(snapshot)) == snapshot
    assert load_snapshot("task_2", dump_snapshot(snapshot)).task_id == "task_2"
