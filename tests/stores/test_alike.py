"""Whatever is asked of them, in whatever order, the stores that outlive the process answer alike."""

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from asap_adapters.stores.portal import PortalState
from asap_adapters.stores.postgres import PostgresState
from asap_adapters.stores.redis import RedisState
from asap_adapters.stores.sqlite import SqliteState
from asap_proto import Limits
from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.rules.lifecycle import is_final
from asap_proto.stores import NEVER, Change, NonceClaim, StateStore
from asap_testkit.nouns import ME

from .given import NOW, event, new_agent, record
from .servers import PostgresServer, RedisServer

LIMITS = Limits(nonces=6, task_events=4, task_snapshots=2)
Question = Callable[[StateStore], Any]


class Asking:
    """Questions by chance, about few enough tasks, keys and nonces that they meet each other."""

    def __init__(self, seed: int, known: StateStore) -> None:
        self._chance = random.Random(seed)
        self._known = known
        self._ids = ["task_0000"]
        self._now = NOW

    def questions(self, count: int) -> Iterator[Question]:
        kinds = [self._accept] * 4 + [self._write] * 5 + [self._owners] * 3 + [self._look] * 4
        for number in range(1, count + 1):
            self._now += self._chance.choice([0.0, 0.0, 0.5, 1.0, 5.0])
            yield self._chance.choice(kinds)(number)

    def _accept(self, number: int) -> Question:
        any_of, now = self._chance.choice, self._now
        nonce = any_of([None, NonceClaim(ME, any_of("abcdefghij"), now + 20.0)])
        task = record(
            f"task_{number:04}",
            any_of([None, "a", "b", "c"]),
            owner=any_of(["", "one", "two"]),
            lease=any_of([0.0, now + 5.0]),
            updated=now,
        )
        if task.job.slot is not None and any_of([False, False, True]):
            task = evolve(task, job=evolve(task.job, slot=evolve(task.job.slot, digest=b"other")))
        self._ids.append(task.id)
        return lambda store: store.accept(task, nonce, [event(1)], now=now)

    def _write(self, number: int) -> Question:
        any_of, now = self._chance.choice, self._now
        before = self._known.read(any_of(self._ids[-6:]), now=0.0)
        if before is None:
            return lambda store: store.tasks()
        status = any_of([*TaskStatus])
        change = evolve(
            before,
            job=any_of([before.job, before.job, before.job, evolve(before.job, slot=None)]),
            status=status,
            owner=any_of(["", "one", "two"]),
            lease=any_of([0.0, now + 5.0]),
            updated=now,
            version=before.version + any_of([1, 1, 1, 1, 0, 2]),
            expires=now + 30.0 if is_final(status) else NEVER,
            events=before.events + 2,
            reply=any_of([None, b'"result":1']),
        )
        events = (event(before.events + 2), event(before.events + 3))
        if any_of([False, True]):
            return lambda store: store.write(Change(change, events))
        change = evolve(change, snapshots=before.snapshots + 1)
        made = datetime(2026, 1, 2, tzinfo=UTC)
        snapshot = StateSnapshot(f"snap_{number}", change.id, change.snapshots, {"number": number}, made)
        return lambda store: store.write(Change(change, events, snapshot))

    def _owners(self, _: int) -> Question:
        now, owner, most = self._now, self._chance.choice(["one", "two"]), self._chance.choice([1, 3, 50])
        asked: list[Question] = [
            lambda store: store.renew(owner, until=now + 5.0),
            lambda store: store.take_over(owner, now=now, until=now + 5.0, most=most),
            lambda store: store.forget(now=now, most=most),
        ]
        return self._chance.choice(asked)

    def _look(self, number: int) -> Question:
        any_of, now, id = self._chance.choice, self._now, self._chance.choice(self._ids)
        status, after, most = any_of([None, *TaskStatus]), any_of(["", "task_0020"]), any_of([2, 100])
        which = any_of([None, 1, 2, 3, f"snap_{self._chance.randrange(number)}"])
        asked: list[Question] = [
            lambda store: store.read(id, now=now),
            lambda store: store.events(id, after=most // 2, most=3),
            lambda store: store.snapshot(id, which),
            lambda store: store.tasks(status=status, after=after, most=most),
        ]
        return any_of(asked)


@pytest.mark.parametrize("seed", range(10))
def test_stores_answer_alike(seed: int, tmp_path: Path, redis_server: RedisServer, postgres_server: PostgresServer):
    """An answer that differs shows which of them reads the contract in its own way."""
    agent = new_agent()
    with (
        SqliteState(tmp_path / "state", agent=agent, limits=LIMITS) as sqlite,
        PortalState(RedisState(redis_server.url, agent=agent, limits=LIMITS)) as redis,
        PostgresState(postgres_server.url, agent=agent, limits=LIMITS, connections=1) as postgres,
    ):
        stores: dict[str, StateStore] = {"sqlite": sqlite, "redis": redis, "postgres": postgres}
        for number, question in enumerate(Asking(seed, sqlite).questions(150)):
            answers = {name: question(store) for name, store in stores.items()}
            assert answers["redis"] == answers["sqlite"], f"question {number}"
            assert answers["postgres"] == answers["sqlite"], f"question {number}"
