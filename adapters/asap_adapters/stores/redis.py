"""State in Redis or Valkey: for many machines, where tasks come and go fast and the database is of the smaller kind.

What is kept is as durable as the server's settings make it. Nothing that was accepted is lost
- when a worker dies: always, another takes its tasks over;
- when the server's process or its machine dies: with ``appendonly yes`` and ``appendfsync always``. With ``everysec``,
  its default, either may lose the last seconds: what is answered while the disk is flushed may not be written yet.
With snapshots alone (the default) a restart forgets what came since the last, and a replica that takes over from a
lost primary forgets what had not reached it. Set ``maxmemory-policy noeviction``: evicted keys are lost tasks.

Needs Redis 6.2 or Valkey. What the keys are is told in `redis_scripts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from math import isinf
from secrets import token_hex
from types import TracebackType
from typing import Any, Final, Self

import anyio
from coredis import PureToken, Redis
from coredis.commands.script import Script
from coredis.exceptions import ConnectionError
from coredis.retry import ExponentialBackoffRetryPolicy

from asap_proto.errors import Misuse
from asap_proto.limits import Limits
from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.rules.lifecycle import is_final
from asap_proto.rules.slot import Fresh, look
from asap_proto.stores import Accepted, Change, NonceClaim, Refused, TaskEvent, TaskRecord
from asap_proto.stores.codec import (
    dump_event,
    dump_job,
    dump_snapshot,
    dump_state,
    load_event,
    load_record,
    load_snapshot,
)

from .redis_scripts import ACCEPT, COLUMNS, FORGET, RENEW, SNAPSHOT, TAKE_OVER, TASKS, WRITE

__all__ = ["RedisState", "agents"]

#: The layout of the keys; that of a later release is refused.
_LAYOUT: Final = 1

#: Every agent that ever opened a store here.
_AGENTS: Final = "asap:agents"

_CONNECT_SECONDS: Final = 5.0
_REPLY_SECONDS: Final = 10.0

#: A server that restarts is back within some seconds; each call is marked, so that none is done twice.
_RETRIES: Final = ExponentialBackoffRetryPolicy(
    (ConnectionError, TimeoutError), retries=7, base_delay=0.05, max_delay=1.0, jitter=True
)

_SCRIPTS: Final = (ACCEPT, FORGET, RENEW, SNAPSHOT, TAKE_OVER, TASKS, WRITE)

_FRESH = Fresh()


class RedisState:
    """A `StateStore` for the tasks of `agent` in Redis, each method a coroutine, for asyncio and trio.

    ``async with`` opens it, in a task that lives as long as it is used. Any number of hosts may share one agent.
    """

    def __init__(
        self,
        url: str,
        *,
        agent: str,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        self._url = url
        self._agent = agent
        self._limits = limits
        self._prefix = f"asap:{{{agent}}}:"
        self._stack = AsyncExitStack()
        self._opened: Redis[bytes] | None = None
        self._scripts: dict[str, Script[bytes]] = {}

    async def __aenter__(self) -> Self:
        """Connects; raises `Misuse` for keys of a later release, else what coredis raises."""
        if self._opened is not None:
            raise Misuse("this store is open already: give each app one of its own")
        failure: Exception | None = None
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(_connected(self._url))
            try:
                await self._check_in(client)
            except Exception as error:  # noqa: BLE001  (from within the client it would arrive in a group)
                failure = error
            else:
                self._scripts = {source: client.register_script(source) for source in _SCRIPTS}
                self._opened = client
                self._stack = stack.pop_all()
        if failure is not None:
            raise failure
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened = None
        await self._stack.aclose()

    async def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        slot = record.job.slot if record is not None else None
        mark = token_hex(8)
        answer = await self._run(
            ACCEPT,
            mark,
            repr(now),
            _joined(nonce.sender, nonce.nonce) if nonce else "",
            repr(nonce.until) if nonce else "",
            _milliseconds(nonce.until - now) if nonce else "",
            self._limits.nonces,
            self._limits.nonces_each,
            nonce.sender if nonce else "",
            record.id if record else "",
            _joined(slot.caller, slot.key) if slot else "",
            slot.digest if slot else b"",
            dump_job(record.job) if record else b"",
            *(self._fields(mark, record, events) if record else ()),
        )
        match answer[0]:
            case b"held":
                _, id, known, reply = answer
                return look(id.decode(), reply, known=known, digest=slot.digest if slot else b"")
            case b"repeated":
                return Refused("repeated")
            case b"full":
                return Refused("nonces full")
            case _:
                return _FRESH

    async def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        row = await self._client().hmget(f"{self._prefix}task:{task_id}", COLUMNS)
        record = _record(row) if row[0] is not None else None
        return record if record is not None and now < record.expires else None

    async def write(self, change: Change) -> bool:
        record, snapshot = change.record, change.snapshot
        saved: list[str | bytes | float] = [snapshot.version, snapshot.id, dump_snapshot(snapshot)] if snapshot else []
        return bool(
            await self._run(
                WRITE,
                record.id,
                int(record.job.slot is not None),
                *self._fields(token_hex(8), record, change.events),
                self._limits.task_snapshots,
                *saved,
            )
        )

    async def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        lines = await self._client().zrange(
            f"{self._prefix}log:{task_id}", f"({after}", "+inf", sortby=PureToken.BYSCORE, offset=0, count=most
        )
        return tuple(load_event(line) for line in lines)

    async def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        by = "" if which is None else "version" if isinstance(which, int) else "id"
        text = await self._run(SNAPSHOT, task_id, by, "" if which is None else which)
        return load_snapshot(task_id, text) if text else None

    async def renew(self, owner: str, *, until: float) -> Mapping[str, int]:
        held = iter(await self._run(RENEW, owner, repr(until)))
        return {id.decode(): int(version) for id, version in zip(held, held, strict=True)}

    async def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        rows = await self._run(TAKE_OVER, token_hex(8), owner, repr(now), repr(until), most)
        return tuple(_record(row) for row in rows)

    async def tasks(
        self, *, status: TaskStatus | None = None, after: str = "", most: int = 100
    ) -> tuple[TaskRecord, ...]:
        rows = await self._run(TASKS, "ids" if status is None else f"ids:{status.value}", after, most)
        return tuple(_record(row) for row in rows)

    async def forget(self, *, now: float, most: int = 1000) -> int:
        return int(await self._run(FORGET, repr(now), most))

    async def _check_in(self, client: Redis[bytes]) -> None:
        await client.set(f"{self._prefix}layout", str(_LAYOUT), condition=PureToken.NX)
        layout = int(await client.get(f"{self._prefix}layout") or 0)
        if layout > _LAYOUT:
            raise Misuse(f"the keys of {self._agent} are of a later release; expected layout {_LAYOUT}, found {layout}")
        await client.sadd(_AGENTS, [self._agent])

    def _client(self) -> Redis[bytes]:
        if self._opened is None:
            raise Misuse("this store is not open: an app opens it when its server starts it, or else `async with`")
        return self._opened

    async def _run(self, source: str, *arguments: str | bytes | float) -> Any:
        self._client()
        return await self._scripts[source](keys=[self._prefix], args=arguments)

    def _fields(self, mark: str, record: TaskRecord, events: Sequence[TaskEvent]) -> list[str | bytes | float]:
        return [
            mark,
            dump_state(record),
            record.status.value,
            record.owner,
            repr(record.lease),
            repr(record.updated),
            record.version,
            repr(record.expires),
            record.reply or b"",
            _milliseconds(record.expires - record.updated) if is_final(record.status) else "",
            self._limits.task_events,
            len(events),
            *(part for event in events for part in (event.number, dump_event(event))),
        ]


def agents(url: str) -> tuple[str, ...]:
    """The agents that have tasks in the database; for whoever has no event loop."""
    return anyio.run(_agents, url)


async def _agents(url: str) -> tuple[str, ...]:
    async with _connected(url) as client:
        known = sorted(name.decode() for name in await client.smembers(_AGENTS))
        return tuple([name for name in known if await client.exists([f"asap:{{{name}}}:ids"])])


def _connected(url: str) -> Redis[bytes]:
    return Redis.from_url(
        f"redis{url.removeprefix('valkey')}" if url.startswith("valkey") else url,
        verify_version=False,  # Valkey counts its own
        retry_policy=_RETRIES,
        pool_timeout=_REPLY_SECONDS,
        connect_timeout=_CONNECT_SECONDS,
        stream_timeout=_REPLY_SECONDS,
    )


def _joined(one: str, two: str) -> str:
    """Two names as one that no other two make."""
    return f"{len(one)}:{one}:{two}"


def _milliseconds(seconds: float) -> str:
    """How long the server itself keeps what is over: by its clock, while answers go by the times handed in."""
    return "" if isinf(seconds) else str(max(1000, round(seconds * 1000)))


def _record(row: Any) -> TaskRecord:
    job, state, status, owner, lease, updated, version, expires, reply = row
    return load_record(
        job,
        state,
        status=status.decode(),
        owner=owner.decode(),
        lease=float(lease),
        updated=float(updated),
        version=int(version),
        expires=float(expires),
        reply=reply,
    )
