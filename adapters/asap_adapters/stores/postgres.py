"""State in PostgreSQL: for many machines, and as durable as that database.

What was committed survives whatever happens to workers; with ``synchronous_commit=on``, the default, a loss of the
server's power too. Calls that come together are committed together, on each of a few connections.

A call may be made twice: when the connection is lost while it commits, nobody knows whether it did. So each call has
a mark that it leaves on what it writes, by which its second try finds that the first was done.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from random import uniform
from secrets import token_hex
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolTimeout

from asap_proto.errors import Misuse
from asap_proto.limits import Limits
from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.stores import Accepted, Change, NonceClaim, StateStore, TaskEvent, TaskRecord

from .postgres_tables import Tables, lay_out
from .room import Rooms

__all__ = ["PostgresState", "agents"]

R = TypeVar("R")

#: Calls that share one transaction, at most: the first of them waits for the last.
_GROUP_MOST: Final = 50

#: How long a group waits for what others hold, in milliseconds; then its calls are made each apart.
_GROUP_WAIT_MS: Final = 20

#: Tries of one call, where another transaction was in its way or the connection was lost.
_TRIES_MOST: Final = 5

#: How long to wait for a connection: a server that restarts is back within seconds.
_CONNECT_SECONDS: Final = 5
#: The same where it was waited for in vain before: whoever asks is told at once, and asks again.
_AWAY_SECONDS: Final = 0.5


class _Call:
    """What is to be done, whom to tell, and whether it may have been done before."""

    def __init__(self, call: Callable[[StateStore], Any]) -> None:
        self.call = call
        self.future: Future[Any] = Future()
        self.mark = token_hex(8)
        self.again = False


class PostgresState:
    """A `StateStore` for the tasks of `agent` in PostgreSQL; its methods wait, from any thread.

    A thread for each connection does what was handed in. Any number of hosts may share one agent. `Limits.nonces` and
    `nonces_each` are kept by each host as far as it has heard of the others, which is once a second.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        agent: str,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        connections: int = 4,
    ) -> None:
        """Connects, and makes the tables; raises `Misuse` for those of a later release, else what psycopg raises."""
        self._agent = agent
        self._limits = limits
        self._rooms = Rooms(limits)
        with psycopg.connect(conninfo, connect_timeout=_CONNECT_SECONDS) as connection:
            lay_out(connection)
        self._pool = ConnectionPool(
            conninfo,
            kwargs={"connect_timeout": _CONNECT_SECONDS},
            configure=_bound,
            min_size=1,
            max_size=connections,
            timeout=_CONNECT_SECONDS,
            # Its pauses between two tries double for as long: a server that comes back late is not to be missed longer.
            reconnect_timeout=_CONNECT_SECONDS,
            open=True,
        )
        self._is_away = False
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._closed = False
        self._lock = threading.Lock()
        self._workers = [
            threading.Thread(target=self._work, name=f"asap-postgres-{number}", daemon=True)
            for number in range(connections)
        ]
        for worker in self._workers:
            worker.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends once all that was handed in is done."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            for _ in self._workers:
                self._calls.put(None)
        for worker in self._workers:
            worker.join()
        self._pool.close()

    def submit(self, call: Callable[[StateStore], R]) -> Future[R]:
        """Has `call` made on the tables within a transaction; its outcome is told once that is committed.

        It may be called more than once, if its transaction is rolled back.
        """
        made = _Call(call)
        with self._lock:
            if self._closed:
                raise Misuse("this store is closed")
            self._calls.put(made)
        return made.future

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

    def _work(self) -> None:
        while (first := self._calls.get()) is not None:
            group = [first]
            ended = False
            while len(group) < _GROUP_MOST and not ended:
                try:
                    more = self._calls.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    ended = True
                else:
                    group.append(more)
            self._do([call for call in group if call.future.set_running_or_notify_cancel()])
            if ended:
                return

    def _do(self, group: list[_Call]) -> None:
        if len(group) > 1 and self._do_together(group):
            return
        gone: PoolTimeout | None = None
        for call in group:
            try:
                if gone is not None:
                    raise gone  # none of them waits as long once more
                call.future.set_result(self._alone(call))
            except BaseException as error:  # noqa: BLE001  (whoever waits is told)
                gone = error if isinstance(error, PoolTimeout) else None
                call.future.set_exception(error)

    def _do_together(self, group: list[_Call]) -> bool:
        """Whether that went well; one call of many that fails must not lose the others."""
        try:
            answers = self._in_transaction(group)
        except BaseException:  # noqa: BLE001  (made apart, each caller is told its own)
            return False
        for call, answer in zip(group, answers, strict=True):
            call.future.set_result(answer)
        return True

    def _alone(self, call: _Call) -> Any:
        for left in range(_TRIES_MOST, 0, -1):
            try:
                return self._in_transaction([call])[0]
            except PoolTimeout:
                self._is_away = True
                raise
            except psycopg.OperationalError as error:
                if left == 1:
                    raise
                if isinstance(error, (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)):
                    time.sleep(uniform(0.0, 0.05))  # nosec B311  # hides nothing
                else:
                    self._pool.check()  # if one connection is lost, so are most
        raise AssertionError("unreachable")

    def _in_transaction(self, group: list[_Call]) -> list[Any]:
        with self._pool.connection(_AWAY_SECONDS if self._is_away else _CONNECT_SECONDS) as connection:
            self._is_away = False
            if len(group) > 1:
                # A group holds many rows, and one that waits for another might wait for ever: it rather ends.
                connection.execute(f"SET LOCAL lock_timeout = {_GROUP_WAIT_MS}")
            answers = []
            for call in group:
                tables = Tables(connection, self._agent, self._limits, self._rooms, call.mark, again=call.again)
                call.again = True
                answers.append(call.call(tables))
            return answers


def _bound(connection: psycopg.Connection[Any]) -> None:
    """Has the server give up on us should we freeze: what we hold would keep others from taking our tasks over."""
    connection.execute("SET idle_in_transaction_session_timeout = '10s'")
    connection.execute("SET lock_timeout = '10s'")
    connection.commit()


def agents(conninfo: str) -> tuple[str, ...]:
    """The agents that have tasks in the database."""
    with psycopg.connect(conninfo, connect_timeout=_CONNECT_SECONDS) as connection:
        lay_out(connection)
        return tuple(agent for (agent,) in connection.execute("SELECT DISTINCT agent FROM asap_task ORDER BY agent"))
