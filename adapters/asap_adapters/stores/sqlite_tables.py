"""The tables of an SQLite file that hold tasks, and each call of a store as statements on them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

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

__all__ = ["Tables", "opened"]

#: The layout below; a file of a later one is refused.
_VERSION: Final = 1

#: How long another process may hold the file, in seconds.
_BUSY_SECONDS: Final = 10.0

#: How soon a file is tried again that another process has locked while it is opened, in seconds.
_BUSY_AGAIN_SECONDS: Final = 0.005

_LAYOUT: Final = """
CREATE TABLE task (
    agent TEXT NOT NULL, id TEXT NOT NULL, caller TEXT, key TEXT, digest BLOB, version INTEGER NOT NULL,
    status TEXT NOT NULL, owner TEXT NOT NULL, lease REAL NOT NULL, updated REAL NOT NULL, expires REAL NOT NULL,
    job BLOB NOT NULL, state BLOB NOT NULL, reply BLOB,
    PRIMARY KEY (agent, id)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX task_slot ON task (agent, caller, key) WHERE key IS NOT NULL;
CREATE INDEX task_live ON task (agent, lease) WHERE status IN ('submitted', 'working');
CREATE INDEX task_ends ON task (agent, expires)
    WHERE status IN ('completed', 'failed', 'cancelled', 'input_required');
CREATE TABLE event (
    agent TEXT NOT NULL, task TEXT NOT NULL, number INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (agent, task, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE snapshot (
    agent TEXT NOT NULL, task TEXT NOT NULL, version INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (agent, task, version)
) STRICT;
CREATE TABLE nonce (
    agent TEXT NOT NULL, sender TEXT NOT NULL, nonce TEXT NOT NULL, until REAL NOT NULL,
    PRIMARY KEY (agent, sender, nonce)
) STRICT, WITHOUT ROWID;
CREATE INDEX nonce_until ON nonce (agent, until);
"""

_COLUMNS: Final = "job, state, status, owner, lease, updated, version, expires, reply"

_FRESH = Fresh()


class Tables:
    """The store itself, within a transaction of whoever calls."""

    def __init__(self, connection: sqlite3.Connection, agent: str, limits: Limits) -> None:
        self._run = connection.execute
        self._agent = agent
        self._limits = limits
        self._rooms = Rooms(limits)

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        slot = record.job.slot if record is not None else None
        if slot is not None:
            found = self._run(
                "SELECT id, reply, digest, expires FROM task WHERE agent = ? AND caller = ? AND key = ?",
                (self._agent, slot.caller, slot.key),
            ).fetchone()
            if found is not None:
                id, reply, digest, expires = found
                if now < expires:
                    return look(id, reply, known=digest, digest=slot.digest)
                self._drop(id)
        if nonce is not None and (refused := self._claim(nonce, now)) is not None:
            return refused
        if record is not None:
            self._insert(record)
            self._log(record.id, events)
        return _FRESH

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        row = self._run(
            f"SELECT {_COLUMNS} FROM task WHERE agent = ? AND id = ? AND expires > ?",  # nosec B608  # names of ours
            (self._agent, task_id, now),
        ).fetchone()
        return _record(row) if row else None

    def write(self, change: Change) -> bool:
        record = change.record
        done = self._run(
            "UPDATE task SET version = ?, status = ?, owner = ?, "
            "lease = CASE WHEN ? AND owner = ? THEN max(lease, ?) ELSE ? END, updated = ?, expires = ?, state = ?, "
            "reply = ?, key = CASE WHEN ? THEN key END WHERE agent = ? AND id = ? AND version = ? "
            "AND status NOT IN ('completed', 'failed', 'cancelled')",
            (
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
            ),
        ).rowcount
        if not done:
            return False
        self._log(record.id, change.events)
        if change.snapshot is not None:
            self._save(record.id, change.snapshot)
        return True

    def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        rows = self._run(
            "SELECT body FROM event WHERE agent = ? AND task = ? AND number > ? ORDER BY number LIMIT ?",
            (self._agent, task_id, after, most),
        )
        return tuple(load_event(body) for (body,) in rows)

    def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        where, given = "", ()
        if which is not None:
            where, given = f"AND {'version' if isinstance(which, int) else 'id'} = ?", (which,)  # type: ignore[assignment]
        row = self._run(
            f"SELECT body FROM snapshot WHERE agent = ? AND task = ? {where} ORDER BY version DESC LIMIT 1",  # nosec B608  # names of ours
            (self._agent, task_id, *given),
        ).fetchone()
        return load_snapshot(task_id, row[0]) if row else None

    def renew(self, owner: str, *, until: float) -> Mapping[str, int]:
        rows = self._run(
            "UPDATE task SET lease = ? WHERE agent = ? AND owner = ? AND status IN ('submitted', 'working') "
            "RETURNING id, version",
            (until, self._agent, owner),
        )
        return dict(rows.fetchall())

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        rows = self._run(
            "UPDATE task SET owner = ?, lease = ?, version = version + 1 WHERE agent = ? AND id IN "  # nosec B608  # names of ours
            "(SELECT id FROM task WHERE agent = ? AND status IN ('submitted', 'working') AND lease <= ? "
            f"ORDER BY id LIMIT ?) RETURNING id, {_COLUMNS}",
            (owner, until, self._agent, self._agent, now, most),
        ).fetchall()
        return tuple(_record(row[1:]) for row in sorted(rows, key=lambda row: row[0]))

    def tasks(self, *, status: TaskStatus | None = None, after: str = "", most: int = 100) -> tuple[TaskRecord, ...]:
        rows = self._run(
            f"SELECT {_COLUMNS} FROM task WHERE agent = ? AND id > ? AND (? IS NULL OR status = ?) ORDER BY id LIMIT ?",  # nosec B608  # names of ours
            (self._agent, after, status, status, most),
        )
        return tuple(_record(row) for row in rows)

    def forget(self, *, now: float, most: int = 1000) -> int:
        over = self._run(
            "SELECT id FROM task WHERE agent = ? AND expires <= ? "
            "AND status IN ('completed', 'failed', 'cancelled', 'input_required') ORDER BY expires LIMIT ?",
            (self._agent, now, most),
        ).fetchall()
        for (id,) in over:
            self._drop(id)
        self._run(
            "DELETE FROM nonce WHERE agent = ? AND (sender, nonce) IN "
            "(SELECT sender, nonce FROM nonce WHERE agent = ? AND until <= ? LIMIT ?)",
            (self._agent, self._agent, now, most),
        )
        return len(over)

    def _insert(self, record: TaskRecord) -> None:
        slot = record.job.slot
        self._run(
            f"INSERT INTO task (agent, id, caller, key, digest, {_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",  # nosec B608  # names of ours
            (
                self._agent,
                record.id,
                slot.caller if slot else None,
                slot.key if slot else None,
                slot.digest if slot else None,
                dump_job(record.job),
                dump_state(record),
                record.status.value,
                record.owner,
                record.lease,
                record.updated,
                record.version,
                record.expires,
                record.reply,
            ),
        )

    def _claim(self, claim: NonceClaim, now: float) -> Refused | None:
        key = (self._agent, claim.sender, claim.nonce)
        seen = self._run("SELECT until FROM nonce WHERE agent = ? AND sender = ? AND nonce = ?", key).fetchone()
        if seen is not None and now < seen[0]:
            return Refused("repeated")
        if seen is None and not self._rooms.take(claim.sender, now, partial(self._count, now)):
            return Refused("nonces full")
        self._run("INSERT OR REPLACE INTO nonce VALUES (?,?,?,?)", (*key, claim.until))
        return None

    def _count(self, now: float, sender: str | None, most: int) -> int:
        """How many nonces live, up to that many: a sender's, or all."""
        whose, given = ("", ()) if sender is None else ("AND sender = ?", (sender,))
        (live,) = self._run(
            f"SELECT count(*) FROM (SELECT 1 FROM nonce WHERE agent = ? {whose} AND until > ? LIMIT ?)",  # nosec B608  # names of ours
            (self._agent, *given, now, most),
        ).fetchone()
        return int(live)

    def _log(self, task_id: str, events: Sequence[TaskEvent]) -> None:
        if not events:
            return
        for event in events:
            self._run("INSERT INTO event VALUES (?,?,?,?)", (self._agent, task_id, event.number, dump_event(event)))
        last = events[-1].number - self._limits.task_events
        if last > 0:
            self._run("DELETE FROM event WHERE agent = ? AND task = ? AND number <= ?", (self._agent, task_id, last))

    def _save(self, task_id: str, snapshot: StateSnapshot) -> None:
        self._run(
            "INSERT INTO snapshot VALUES (?,?,?,?,?)",
            (self._agent, task_id, snapshot.version, snapshot.id, dump_snapshot(snapshot)),
        )
        last = snapshot.version - self._limits.task_snapshots
        if last > 0:
            self._run(
                "DELETE FROM snapshot WHERE agent = ? AND task = ? AND version <= ?", (self._agent, task_id, last)
            )

    def _drop(self, task_id: str) -> None:
        for table in ("event", "snapshot"):
            self._run(f"DELETE FROM {table} WHERE agent = ? AND task = ?", (self._agent, task_id))  # nosec B608  # names of ours
        self._run("DELETE FROM task WHERE agent = ? AND id = ?", (self._agent, task_id))


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


def opened(path: str | Path, synchronous: str) -> sqlite3.Connection:
    """A connection, for any thread, to the file, which is created if need be.

    Waits for other processes, `_BUSY_SECONDS` at most. Raises `Misuse` for a file that is no state of ours, is of a
    later release or can't be used.
    """
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return _opened(path, synchronous)
        except sqlite3.Error as error:
            # Of several kinds (https://sqlite.org/rescode.html#busy), told apart by the higher bits.
            is_busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > until:
                raise Misuse(f"can't use {path} as a store: {error}") from None
        time.sleep(_BUSY_AGAIN_SECONDS)


def _opened(path: str | Path, synchronous: str) -> sqlite3.Connection:
    """The same, once: raises `sqlite3.OperationalError` where another process has locked the file.

    While the file is laid out SQLite is not let wait itself. Where the journal mode changes it would not: it holds a
    lock to read by then, and two that want more would wait for each other (https://sqlite.org/c3ref/busy_handler.html).
    """
    connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=64)
    try:
        connection.execute("BEGIN")
        _check_layout(connection, path)  # first, as WAL mode would stay with a file that isn't ours
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("BEGIN IMMEDIATE")
        if _check_layout(connection, path) == 0:
            for statement in _LAYOUT.split(";\n"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_SECONDS * 1000:.0f}")
    except BaseException:
        connection.close()
        raise
    return connection


def _check_layout(connection: sqlite3.Connection, path: str | Path) -> int:
    """The version of the file's layout, 0 for an empty file; raises `Misuse` for one that is not ours to use."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if version > _VERSION or (version == 0 and tables):
        what = "of a later release" if version > _VERSION else "no state of an agent"
        raise Misuse(f"{path} is {what}; expected layout {_VERSION}, found {version}")
    return int(version)
