"""Records as stores are given them, at Unix times around 1000."""

import itertools
from typing import Any

from attrs import evolve

from asap_proto.model import TaskStatus
from asap_proto.stores import Change, Job, NonceClaim, Slot, TaskEvent, TaskRecord
from asap_testkit.nouns import CALLER, ME, letter

NOW = 1000.0
_numbers = itertools.count(1)


def new_agent() -> str:
    """An agent that nobody else has."""
    return f"urn:asap:agent:worker-{next(_numbers)}"


def record(id: str = "task_1", key: str | None = "key", **changes: Any) -> TaskRecord:
    """A task that worker `one` has just accepted, and runs until 1015."""
    asked = letter()
    slot = Slot(ME, key, b"digest") if key is not None else None
    job = Job(asked.payload, asked, id, 1, CALLER, "echo", slot, NOW, 100)
    return evolve(TaskRecord(job, TaskStatus.SUBMITTED, "one", NOW + 15.0, NOW), **changes)


def changed(before: TaskRecord, *events: TaskEvent, **changes: Any) -> Change:
    """The next write of a record."""
    return Change(evolve(before, version=before.version + 1, **changes), events)


def ended(before: TaskRecord) -> Change:
    """Its last write, which keeps it for an hour."""
    return changed(before, status=TaskStatus.COMPLETED, owner="", lease=0.0, expires=NOW + 3600.0, reply=b'"result":1')


def event(number: int) -> TaskEvent:
    """A line of a log."""
    return TaskEvent(number, NOW, "progress", TaskStatus.WORKING, {"percent": number})


def nonce(text: str = "nonce") -> NonceClaim:
    """A nonce, remembered until 1600."""
    return NonceClaim(ME, text, NOW + 600.0)
