"""State in an SQLite file: for one machine, any number of processes.

In WAL mode with ``synchronous=NORMAL`` what was committed survives the death of every process; a loss of power may
take the last moments with it, which ``synchronous="FULL"`` prevents, at the price of a disk flush a group.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeVar

from asap_proto.errors import Misuse
from asap_proto.limits import Limits
from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.stores import Accepted, Change, NonceClaim, StateStore, TaskEvent, TaskRecord

from .sqlite_tables import Tables, opened

__all__ = ["SqliteState", "agents"]

R = TypeVar("R")

#: Calls that share one transaction, at most: the first of them waits for the last.
_GROUP_MOST: Final = 500


class SqliteState:
    """A `StateStore` for the tasks of `agent` in the file at `path`; its methods wait, from any thread.

    One thread writes. It takes whatever calls have come meanwhile and commits them together, so that under load a
    commit costs a fraction of a call. `submit` hands it a call without waiting.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        agent: str,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        synchronous: Literal["NORMAL", "FULL"] = "NORMAL",
    ) -> None:
        """Opens or creates the file; raises `Misuse` for one that is no state of ours, or of a later release.

        Waits up to ten seconds where another process has locked it: open a store before an event loop runs.
        """
        self._connection = opened(path, synchronous)
        self._tables = Tables(self._connection, agent, limits)
        self._calls: queue.SimpleQueue[tuple[Callable[[StateStore], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._writer = threading.Thread(target=self._write_all, name="asap-sqlite", daemon=True)
        self._writer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends once all that was handed in is written."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._calls.put(None)
        self._writer.join()

    def submit(self, call: Callable[[StateStore], R]) -> Future[R]:
        """Has `call` made on the tables within a transaction; its outcome is told once that is committed."""
        future: Future[R] = Future()
        with self._lock:
            if self._closed:
                raise Misuse("this store is closed")
            self._calls.put((call, future))
        return future

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        return self.submit(lambda tables: tables.accept(record, nonce, events, now=now)).result()

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        return self.submit(lambda tables: tables.read(task_id, now=now)).result()

    def write(self, change: Change) -> bool:
        return self.submit(lambda tables: tables.write(change)).result()

    def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        return self.submit(lambda tables: tables.events(task_id, after=after, most=most)).result()

    def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        return self.submit(lambda tables: tables.snapshot(task_id, which)).result()

    def renew(self, owner: str, *, until: float) -> Mapping[str, int]:
        return self.submit(lambda tables: tables.renew(owner, until=until)).result()

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        return self.submit(lambda tables: tables.take_over(owner, now=now, until=until, most=most)).result()

    def tasks(self, *, status: TaskStatus | None = None, after: str = "", most: int = 100) -> tuple[TaskRecord, ...]:
        return self.submit(lambda tables: tables.tasks(status=status, after=after, most=most)).result()

    def forget(self, *, now: float, most: int = 1000) -> int:
        return self.submit(lambda tables: tables.forget(now=now, most=most)).result()

    def _write_all(self) -> None:
        ended = False
        while not ended:
            call = self._calls.get()
            group = []
            while call is not None:
                group.append(call)
                if len(group) == _GROUP_MOST or self._calls.empty():
                    break
                call = self._calls.get()
            ended = call is None
            group = [each for each in group if each[1].set_running_or_notify_cancel()]
            if group:
                self._write_group(group)
        self._connection.close()

    def _write_group(self, group: list[tuple[Callable[[StateStore], Any], Future[Any]]]) -> None:
        try:
            answers = self._in_transaction([call for call, _ in group])
        except BaseException as error:  # noqa: BLE001  (each caller is told its own)
            if len(group) == 1:
                group[0][1].set_exception(error)
                return
            # One call of many has failed: it must not lose the others.
            for each in group:
                self._write_group([each])
            return
        for (_, future), answer in zip(group, answers, strict=True):
            future.set_result(answer)

    def _in_transaction(self, calls: list[Callable[[StateStore], Any]]) -> list[Any]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            answers = [call(self._tables) for call in calls]
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return answers


def agents(path: str | Path) -> tuple[str, ...]:
    """The agents that have tasks in the file."""
    connection = opened(path, "NORMAL")
    try:
        return tuple(agent for (agent,) in connection.execute("SELECT DISTINCT agent FROM task ORDER BY agent"))
    finally:
        connection.close()
