"""Records as stores are given them, at Unix times around 1000."""

from typing import Any

from attrs import evolve

from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.stores import Change, Job, NonceClaim, Slot, TaskEvent, TaskRecord

from .nouns import CALLER, ME, letter
from .sources import NOW

#: When it is, in Unix seconds, where a test hands in no other time.
T = 1000.0


def job_of(id: str = "task_1", key: str | None = "key", *, digest: bytes = b"digest", size: int = 0) -> Job:
    """A request of `CALLER`, with a key or without."""
    asked = letter()
    slot = Slot(ME, key, digest) if key is not None else None
    return Job(asked.payload, asked, id, 1, CALLER, "echo", slot, T, size)


def record_of(job: Job | None = None, **changes: Any) -> TaskRecord:
    """A task that worker `one` runs until 1015."""
    return evolve(TaskRecord(job or job_of(), TaskStatus.WORKING, "one", T + 15.0, T, runs=1), **changes)


def changed(before: TaskRecord, *events: TaskEvent, snapshot: StateSnapshot | None = None, **changes: Any) -> Change:
    """The next write of a record."""
    return Change(evolve(before, version=before.version + 1, **changes), events, snapshot)


def ended(before: TaskRecord, *, reply: bytes = b'"result":1', expires: float = T + 100.0, **changes: Any) -> Change:
    """Its last write, which keeps it for 100 seconds."""
    return changed(before, status=TaskStatus.COMPLETED, lease=0.0, expires=expires, reply=reply, **changes)


def event_of(number: int, data: dict[str, Any] | None = None) -> TaskEvent:
    """A line of a log; one that says nothing but its status, where it has no data."""
    return TaskEvent(number, T, "status_change" if data is None else "progress", TaskStatus.WORKING, data)


def snapshot_of(version: int, data: dict[str, Any] | None = None, id: str = "task_1") -> StateSnapshot:
    """A snapshot with the id ``snap_VERSION``."""
    return StateSnapshot(f"snap_{version}", id, version, data or {"step": version}, NOW)


def nonce_of(nonce: str = "nonce", sender: str = ME, until: float = T + 600.0) -> NonceClaim:
    """A nonce, remembered until 1600."""
    return NonceClaim(sender, nonce, until)
