"""What a store must do. Every call is one step: whole or not at all, whoever else calls at the same time.

Times are Unix seconds, handed in: what outlives a process can't be measured by its monotonic clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

from ..model import StateSnapshot, TaskStatus
from ..plain import plain
from ..rules.quota import Allowed, RetryAfter
from ..rules.slot import Busy, Fresh, Kept, Reused
from .records import Change, Job, Started, TaskEvent, TaskRecord

__all__ = ["Accepted", "NonceClaim", "PromptStore", "QuotaStore", "Refused", "StateStore"]


@plain
class NonceClaim:
    """A sender's nonce, to be remembered until `until`."""

    sender: str
    nonce: str
    until: float


@plain
class Refused:
    """Why nothing was accepted: a nonce seen before, no room, or a key of what has run and whose reply is gone."""

    why: Literal["repeated", "nonces full", "tasks full", "forgotten"]


#: What came of a request that asks to be accepted.
Accepted = Fresh | Busy | Kept | Reused | Refused


class StateStore(Protocol):
    """One agent's tasks with their logs, snapshots and replies, and the nonces it has seen."""

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        """Looks into the slot; where that is free claims the nonce; where that is new adds the record.

        All in one step, so that of equal requests one is accepted; nothing goes for one that is refused. Without a
        record only the nonce is claimed.
        A slot is as old as its record: what has expired is as if it had never been.
        """

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        """The task as it stands."""

    def write(self, change: Change) -> bool:
        """Replaces the record whose version is one less, adds the events and the snapshot; answers whether it did.

        A record whose slot is gone from its job frees the key, so that a retry is accepted anew. While the owner
        stays, and the task is not over, its lease is never taken back: it may have been renewed since it was read.
        """

    def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        """What the log has after that number, oldest first. The oldest of a long log may be gone."""

    def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        """The snapshot of a version or of an id, or the newest."""

    def renew(self, owner: str, *, until: float) -> Mapping[str, int]:
        """Prolongs every lease of `owner`; answers the versions of the tasks it still holds, by id."""

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        """Gives `owner` tasks that are submitted or working and whose lease is over, oldest first.

        Their version is raised: what their last owner still writes, if it lives, is refused.
        """

    def tasks(self, *, status: TaskStatus | None = None, after: str = "", most: int = 100) -> tuple[TaskRecord, ...]:
        """Records by id, and so by age, after the id `after`."""

    def forget(self, *, now: float, most: int = 1000) -> int:
        """Drops what has expired, at most so many of each kind; answers how many tasks went."""


class PromptStore(Protocol):
    """A `StateStore` that answers at once, and need not be told of a run twice that ends as nearly all do."""

    def begin(self, task: Started, nonce: NonceClaim | None) -> Accepted:
        """Accepts a task that is to run now: as `StateStore.accept` does its record and the first line of its log."""

    def end(self, job: Job, envelope: dict[str, Any], reply: bytes, *, now: float, expires: float) -> bool:
        """Completes a task, as `StateStore.write` does its record and the second line of its log.

        `envelope` is the JSON object that its own was read from. False, with nothing done, where somebody has written
        of the task since, or it has to be kept in another way: then it is to be written.
        """

    def write(self, change: Change) -> bool:
        """The same as `StateStore.write`."""


class QuotaStore(Protocol):
    """How much each caller has left."""

    def spend(self, caller: str, cost: int, *, now: float) -> Allowed | RetryAfter:
        """Takes what a request costs, or nothing."""
