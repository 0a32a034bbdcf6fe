"""The PostgreSQL store itself, within a transaction of whoever calls.

All is decided by single statements that wait for rows others hold, or skip them, under READ COMMITTED: so that of
equal requests one is accepted, a write meets the version it was made against, and a task is taken over once.

Names that a peer chose are kept as bytes: they may hold characters that a text here can't.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import psycopg

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

from .room import Rooms

__all__ = ["Tables", "lay_out"]

#: The layout below; tables of a later one are refused.
_VERSION: Final = 1

#: Held while tables are made; any number that nobody else's software uses.
_LOCK: Final = 0x61736170

_LAYOUT: Final = """
CREATE TABLE asap_layout (version integer NOT NULL);
CREATE TABLE asap_task (
    agent text NOT NULL, id text COLLATE "C" NOT NULL, caller bytea, key bytea, digest bytea, born text NOT NULL,
    mark text NOT NULL, version bigint NOT NULL, status text NOT NULL, owner text NOT NULL, lease float8 NOT NULL,
    updated float8 NOT NULL, expires float8 NOT NULL, job bytea NOT NULL, state bytea NOT NULL, reply bytea,
    PRIMARY KEY (agent, id)
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX asap_task_slot ON asap_task (agent, caller, key) WHERE key IS NOT NULL;
-- A lease is renewed each second: it is in no index, so that this costs no more than the row.
CREATE INDEX asap_task_live ON asap_task (agent, id) WHERE status IN ('submitted', 'working');
CREATE INDEX asap_task_ends ON asap_task (agent, expires)
    WHERE status IN ('completed', 'failed', 'cancelled', 'input_required');
CREATE TABLE asap_event (
    agent text NOT NULL, task text COLLATE "C" NOT NULL, number bigint NOT NULL, body bytea NOT NULL,
    PRIMARY KEY (agent, task, number)
);
CREATE TABLE asap_snapshot (
    agent text NOT NULL, task text COLLATE "C" NOT NULL, version bigint NOT NULL, id text NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (agent, task, version)
);
CREATE TABLE asap_nonce (
    agent text NOT NULL, sender bytea NOT NULL, nonce bytea NOT NULL, until float8 NOT NULL, mark text NOT NULL,
    PRIMARY KEY (agent, sender, nonce)
);
CREATE INDEX asap_nonce_until ON asap_nonce (agent, until);
"""

_COLUMNS: Final = "job, state, status, owner, lease, updated, version, expires, reply"
_LIVE: Final = "status IN ('submitted', 'working')"
_DONE: Final = "status IN ('completed', 'failed', 'cancelled')"
_ENDS: Final = "status IN ('completed', 'failed', 'cancelled', 'input_required')"

#: How often a slot may be taken and given up by others while we look.
_LOOKS_MOST: Final = 10

_FRESH = Fresh()


class Tables:
    """A `StateStore` of one agent on one connection. `mark` tells a call from others, `again` that it may be done."""

    def __init__(
        self, connection: psycopg.Connection[Any], agent: str, limits: Limits, rooms: Rooms, mark: str, *, again: bool
    ) -> None:
        self._connection = connection
        self._agent = agent
        self._limits = limits
        self._rooms = rooms
        self._mark = mark
        self._again = again

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        # The slot is the first to be had: who finds the nonce refused gives it back, unseen by anybody.
        if record is not None and (held := self._insert(record, now)) is not None:
            return held
        if nonce is not None and (refused := self._claim(nonce, now)) is not None:
            if record is not None:
                self._run("DELETE FROM asap_task WHERE agent = %s AND id = %s", self._agent, record.id)
            return refused
        if record is not None:
            self._log(record.id, events)
        return _FRESH

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        row = self._run(
            f"SELECT {_COLUMNS} FROM asap_task WHERE agent = %s AND id = %s AND expires > %s",  # nosec B608  # names of ours
            self._agent,
            _text(task_id),
            now,
        ).fetchone()
        return _record(row) if row else None

    def write(self, change: Change) -> bool:
        record = change.record
        done = self._run(
            "UPDATE asap_task SET mark = %s, version = %s, status = %s, owner = %s, "  # nosec B608  # names of ours
            "lease = CASE WHEN %s AND owner = %s THEN greatest(lease, %s) ELSE %s END, updated = %s, expires = %s, "
            "state = %s, reply = %s, key = CASE WHEN %s THEN key END "
            f"WHERE agent = %s AND id = %s AND version = %s AND NOT ({_DONE})",
            self._mark,
            record.version,
            record.status.value,
            record.owner,
            not is_final(record.status),
            record.owner,
            record.lease,
            record.lease,
            record.updated,
            record.expires,
            dump_state(record),
            record.reply,
            record.job.slot is not None,
            self._agent,
            record.id,
            record.version - 1,
        ).rowcount
        if not done:
            return self._again and self._was_written(record)
        self._log(record.id, change.events)
        if change.snapshot is not None:
            self._save(record.id, change.snapshot)
        return True

    def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        rows = self._run(
            "SELECT body FROM asap_event WHERE agent = %s AND task = %s AND number > %s ORDER BY number LIMIT %s",
            self._agent,
            _text(task_id),
            after,
            most,
        )
        return tuple(load_event(body) for (body,) in rows)

    def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        # What is not asked by is null, and null is what every row is as well as.
        version, id = (which, None) if isinstance(which, int) else (None, which)
        row = self._run(
            "SELECT body FROM asap_snapshot WHERE agent = %s AND task = %s AND version = coalesce(%s, version) "
            "AND id = coalesce(%s, id) ORDER BY version DESC LIMIT 1",
            self._agent,
            _text(task_id),
            version,
            None if id is None else _text(id),
        ).fetchone()
        return load_snapshot(task_id, row[0]) if row else None

    def renew(self, owner: str, *, until: float) -> dict[str, int]:
        rows = self._run(
            f"UPDATE asap_task SET lease = %s WHERE agent = %s AND owner = %s AND {_LIVE} RETURNING id, version",  # nosec B608  # names of ours
            until,
            self._agent,
            owner,
        )
        return dict(rows.fetchall())

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        taken = []
        if self._again:
            taken = self._run(
                f"SELECT id, {_COLUMNS} FROM asap_task WHERE agent = %s AND owner = %s AND mark = %s AND {_LIVE}",  # nosec B608  # names of ours
                self._agent,
                owner,
                self._mark,
            ).fetchall()
        if not taken:
            taken = self._run(
                f"WITH over AS MATERIALIZED (SELECT id FROM asap_task WHERE agent = %s AND {_LIVE} AND lease <= %s "  # nosec B608  # names of ours
                "ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED) "
                "UPDATE asap_task AS task SET mark = %s, owner = %s, lease = %s, version = version + 1 FROM over "
                f"WHERE task.agent = %s AND task.id = over.id RETURNING task.id, {_COLUMNS}",
                self._agent,
                now,
                most,
                self._mark,
                owner,
                until,
                self._agent,
            ).fetchall()
        return tuple(_record(row[1:]) for row in sorted(taken, key=lambda row: row[0]))

    def tasks(self, *, status: TaskStatus | None = None, after: str = "", most: int = 100) -> tuple[TaskRecord, ...]:
        rows = self._run(
            f"SELECT {_COLUMNS} FROM asap_task WHERE agent = %s AND id > %s AND status = coalesce(%s, status) "  # nosec B608  # names of ours
            "ORDER BY id LIMIT %s",
            self._agent,
            _text(after),
            status.value if status else None,
            most,
        )
        return tuple(_record(row) for row in rows)

    def forget(self, *, now: float, most: int = 1000) -> int:
        over = self._run(
            f"SELECT id FROM asap_task WHERE agent = %s AND {_ENDS} AND expires <= %s ORDER BY expires LIMIT %s "  # nosec B608  # names of ours
            "FOR UPDATE SKIP LOCKED",
            self._agent,
            now,
            most,
        ).fetchall()
        self._drop([id for (id,) in over])
        self._run(
            "DELETE FROM asap_nonce WHERE agent = %s AND (sender, nonce) IN "
            "(SELECT sender, nonce FROM asap_nonce WHERE agent = %s AND until <= %s LIMIT %s FOR UPDATE SKIP LOCKED)",
            self._agent,
            self._agent,
            now,
            most,
        )
        return len(over)

    def _run(self, query: str, *parameters: Any) -> psycopg.Cursor[Any]:
        return self._connection.execute(query.encode(), parameters, binary=True)

    def _insert(self, record: TaskRecord, now: float) -> Accepted | None:
        """Adds the record unless its slot is held; answers by whom, or that an earlier try of this call added it."""
        for _ in range(_LOOKS_MOST):
            # Waits for whoever has the same key and has not committed yet.
            if self._try_insert(record):
                return None
            slot = record.job.slot
            row = self._run(
                "SELECT id, reply, digest, expires, born FROM asap_task WHERE agent = %s "
                "AND (id = %s OR (caller = %s AND key = %s)) ORDER BY id = %s LIMIT 1",
                self._agent,
                record.id,
                *((slot.caller.encode(), slot.key.encode()) if slot else (None, None)),
                record.id,
            ).fetchone()
            if row is None:
                continue  # gone meanwhile
            id, reply, known, expires, born = row
            if born == self._mark:
                return _FRESH
            if slot is None:
                raise RuntimeError(f"there is a task {record.id} already")
            if now < expires:
                return look(id, reply, known=known, digest=slot.digest)
            self._drop([id])
        raise RuntimeError(f"the slot of {record.id} changes hands all the time")

    def _try_insert(self, record: TaskRecord) -> bool:
        slot = record.job.slot
        return bool(
            self._run(
                f"INSERT INTO asap_task (agent, id, caller, key, digest, born, mark, {_COLUMNS}) VALUES "  # nosec B608  # names of ours
                "(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
                self._agent,
                record.id,
                slot.caller.encode() if slot else None,
                slot.key.encode() if slot else None,
                slot.digest if slot else None,
                self._mark,
                self._mark,
                dump_job(record.job),
                dump_state(record),
                record.status.value,
                record.owner,
                record.lease,
                record.updated,
                record.version,
                record.expires,
                record.reply,
            ).rowcount
        )

    def _was_written(self, record: TaskRecord) -> bool:
        found = self._run(
            "SELECT 1 FROM asap_task WHERE agent = %s AND id = %s AND version = %s AND mark = %s",
            self._agent,
            record.id,
            record.version,
            self._mark,
        ).fetchone()
        return found is not None

    def _claim(self, claim: NonceClaim, now: float) -> Refused | None:
        key = (self._agent, claim.sender.encode(), claim.nonce.encode())
        seen = self._run(
            "SELECT until, mark FROM asap_nonce WHERE agent = %s AND sender = %s AND nonce = %s", *key
        ).fetchone()
        if seen is not None and now < seen[0]:
            return None if seen[1] == self._mark else Refused("repeated")
        if seen is None and not self._rooms.take(claim.sender, now, partial(self._count, now)):
            return Refused("nonces full")
        claimed = self._run(
            "INSERT INTO asap_nonce AS old VALUES (%s, %s, %s, %s, %s) ON CONFLICT (agent, sender, nonce) "
            "DO UPDATE SET until = excluded.until, mark = excluded.mark WHERE old.until <= %s",
            *key,
            claim.until,
            self._mark,
            now,
        ).rowcount
        return None if claimed else Refused("repeated")

    def _count(self, now: float, sender: str | None, most: int) -> int:
        """How many nonces live, up to that many: a sender's, or all."""
        whose, given = ("", ()) if sender is None else ("AND sender = %s", (sender.encode(),))
        found = self._run(
            f"SELECT count(*) FROM (SELECT FROM asap_nonce WHERE agent = %s {whose} AND until > %s LIMIT %s) AS live",  # nosec B608  # names of ours
            self._agent,
            *given,
            now,
            most,
        ).fetchone()
        return int(found[0]) if found else 0

    def _log(self, task_id: str, events: Sequence[TaskEvent]) -> None:
        if not events:
            return
        self._run(
            "INSERT INTO asap_event SELECT %s, %s, * FROM unnest(%s::bigint[], %s::bytea[])",
            self._agent,
            task_id,
            [event.number for event in events],
            [dump_event(event) for event in events],
        )
        last = events[-1].number - self._limits.task_events
        if last > 0:
            self._run(
                "DELETE FROM asap_event WHERE agent = %s AND task = %s AND number <= %s", self._agent, task_id, last
            )

    def _save(self, task_id: str, snapshot: StateSnapshot) -> None:
        self._run(
            "INSERT INTO asap_snapshot VALUES (%s, %s, %s, %s, %s)",
            self._agent,
            task_id,
            snapshot.version,
            snapshot.id,
            dump_snapshot(snapshot),
        )
        last = snapshot.version - self._limits.task_snapshots
        if last > 0:
            self._run(
                "DELETE FROM asap_snapshot WHERE agent = %s AND task = %s AND version <= %s",
                self._agent,
                task_id,
                last,
            )

    def _drop(self, ids: list[str]) -> None:
        if ids:
            self._run("DELETE FROM asap_event WHERE agent = %s AND task = ANY(%s)", self._agent, ids)
            self._run("DELETE FROM asap_snapshot WHERE agent = %s AND task = ANY(%s)", self._agent, ids)
            self._run("DELETE FROM asap_task WHERE agent = %s AND id = ANY(%s)", self._agent, ids)


def lay_out(connection: psycopg.Connection[Any]) -> None:
    """Makes the tables where there are none; raises `Misuse` for those of a later release."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    if connection.execute("SELECT to_regclass('asap_layout')").fetchone() == (None,):
        connection.execute(_LAYOUT)
        connection.execute("INSERT INTO asap_layout VALUES (%s)", (_VERSION,))
    found = connection.execute("SELECT max(version) FROM asap_layout").fetchone()
    version = found[0] if found else None
    if version is None or version > _VERSION:
        raise Misuse(f"the tables are of a later release; expected layout {_VERSION}, found {version}")


def _text(id: str) -> str:
    """An id that a peer asks for: of ours none has what a text here can't hold."""
    return id.replace("\0", "\ufffd")


def _record(row: Any) -> TaskRecord:
    job, state, status, owner, lease, updated, version, expires, reply = row
    return load_record(
        job,
        state,
        status=status,
        owner=owner,
        lease=lease,
        updated=updated,
        version=version,
        expires=expires,
        reply=reply,
    )
