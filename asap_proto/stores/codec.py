"""Records as bytes, for stores that survive: the job once, and what changes apart from it."""

from __future__ import annotations

from typing import Any

from ..limits import JSON_DEPTH_MOST
from ..model import StateSnapshot, TaskRequest, TaskStatus
from ..rules.identity import Identity
from ..wire.json import dump, load
from ..wire.nouns import decode, decode_envelope, encode
from .records import Job, Slot, TaskEvent, TaskRecord, seconds_of, time_of

__all__ = [
    "dump_event",
    "dump_job",
    "dump_snapshot",
    "dump_state",
    "load_event",
    "load_job",
    "load_record",
    "load_snapshot",
]


def dump_job(job: Job) -> bytes:
    """What never changes."""
    caller, slot = job.caller, job.slot
    return dump(
        {
            "envelope": encode(job.envelope),
            # A tool call is handled as the task request that it stands for, and so is what a restore goes on with.
            "request": None if job.payload is job.envelope.payload else encode(job.payload),
            "task_id": job.task_id,
            "depth": job.depth,
            "caller": [caller.urn, sorted(caller.scopes)] if caller else None,
            "name": job.name,
            "slot": [slot.caller, slot.key, slot.digest.hex()] if slot else None,
            "created": job.created,
            "size": job.size,
        }
    )


def load_job(text: bytes) -> Job:
    """The other way round."""
    value = _load(text)
    envelope = decode_envelope(value["envelope"], size=len(text))
    caller, slot, request = value["caller"], value["slot"], value["request"]
    return Job(
        envelope.payload if request is None else decode(TaskRequest, request),  # type: ignore[arg-type]
        envelope,
        value["task_id"],
        value["depth"],
        Identity(caller[0], frozenset(caller[1])) if caller else None,
        value["name"],
        Slot(slot[0], slot[1], bytes.fromhex(slot[2])) if slot else None,
        value["created"],
        value["size"],
    )


def dump_state(record: TaskRecord) -> bytes:
    """What changes, but for the columns that a store looks things up by."""
    return dump(
        {
            "events": record.events,
            "snapshots": record.snapshots,
            "runs": record.runs,
            "progress": record.progress,
            "question": record.question,
            "answers": record.answers,
            "cancel": record.cancel,
            "restored": record.restored,
            "has_slot": record.job.slot is not None,
        }
    )


def load_record(
    job: bytes,
    state: bytes,
    *,
    status: str,
    owner: str,
    lease: float,
    updated: float,
    version: int,
    expires: float,
    reply: bytes | None,
) -> TaskRecord:
    """A record of its parts and columns."""
    value, work = _load(state), load_job(job)
    if not value["has_slot"]:
        work = Job(
            work.payload, work.envelope, work.task_id, work.depth, work.caller, work.name, None, work.created, work.size
        )
    return TaskRecord(
        work,
        TaskStatus(status),
        owner,
        lease,
        updated,
        version,
        expires,
        value["events"],
        value["snapshots"],
        value["runs"],
        value["progress"],
        value["question"],
        tuple(value["answers"]),
        value["cancel"],
        value["restored"],
        reply,
    )


def dump_event(event: TaskEvent) -> bytes:
    """One line of a log."""
    return dump([event.number, event.at, event.kind, event.status, event.data])


def load_event(text: bytes) -> TaskEvent:
    """The other way round."""
    number, at, kind, status, data = _load(text)
    return TaskEvent(number, at, kind, TaskStatus(status), data)


def dump_snapshot(snapshot: StateSnapshot) -> bytes:
    """A snapshot, its task left out: the store knows that."""
    return dump([snapshot.id, snapshot.version, snapshot.data, seconds_of(snapshot.created_at), snapshot.checkpoint])


def load_snapshot(task_id: str, text: bytes) -> StateSnapshot:
    """The other way round."""
    id, version, data, created, checkpoint = _load(text)
    return StateSnapshot(id, task_id, version, data, time_of(created), checkpoint)


def _load(text: bytes) -> Any:
    # It was written by us, of what was within bounds when it arrived.
    return load(text, depth=JSON_DEPTH_MOST)
