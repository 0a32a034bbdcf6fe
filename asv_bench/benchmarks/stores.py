"""What state costs: tasks kept in a file, the room that finished ones take, and nonces, however many there are."""

import asyncio
import gc
import sqlite3
import statistics
import tempfile
import tracemalloc
from contextlib import closing
from pathlib import Path
from time import perf_counter, perf_counter_ns

from attrs import evolve

from asap_adapters.bench import fixtures
from asap_adapters.bench.measure import in_turn
from asap_adapters.stores.sqlite import SqliteState
from asap_proto import Limits
from asap_proto.model import TaskStatus
from asap_proto.rules.slot import Fresh
from asap_proto.stores import Change, Job, MemoryState, NonceClaim, Slot, TaskEvent, TaskRecord

from . import QUICK

ROUNDS = 1 if QUICK else 5
CONCURRENT = 100
REQUESTS = 1 if QUICK else 20


class Exchange:
    """Requests with nonce and key, answered by the ASGI app, as a multiple of the same with its tasks in memory."""

    params = ("NORMAL", "FULL")
    param_names = ("synchronous",)

    def track_sqlite(self, synchronous):
        return statistics.median(asyncio.run(self.once(synchronous)) for _ in range(ROUNDS))

    async def once(self, synchronous):
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "state"
            with SqliteState(path, agent=fixtures.ECHO, synchronous=synchronous) as state:
                apps = {"memory": fixtures.echo_app(), "sqlite": fixtures.echo_app(state)}
                took = {name: await self.seconds(app) for name, app in apps.items()}
        return took["sqlite"] / took["memory"]

    async def seconds(self, app):
        requests = iter(fixtures.requests(CONCURRENT * REQUESTS))

        async def caller():
            for body in requests:
                sent = await app(body)
                assert sent[0]["status"] == 200

        begin = perf_counter()
        async with asyncio.TaskGroup() as callers:
            for _ in range(CONCURRENT):
                callers.create_task(caller())
        return perf_counter() - begin

    track_sqlite.unit = "x in memory"


class FinishedTasks:
    """100,000 tasks that end and expire, ten in a second and each kept for a minute."""

    timeout = 600
    COUNT = 1_000 if QUICK else 100_000
    LIMITS = Limits(task_seconds=60.0, nonce_seconds=60.0)

    def track_memory_growth(self):
        """Bytes that the store takes more after all of them than after half of them."""
        state = MemoryState(self.LIMITS)
        tracemalloc.start()
        try:
            self.end_tasks(state, range(self.COUNT // 2))
            before = self.traced()
            self.end_tasks(state, range(self.COUNT // 2, self.COUNT))
            return self.traced() - before
        finally:
            tracemalloc.stop()

    def track_sqlite_file_growth(self):
        """How many times larger the file is after a tenth of them than after half as many."""
        sizes, count = [], self.COUNT // 10
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "state"
            for numbers in (range(count // 2), range(count // 2, count)):
                with SqliteState(path, agent=fixtures.ECHO, limits=self.LIMITS) as state:
                    self.end_tasks(state, numbers)
                sizes.append(path.stat().st_size)
        return sizes[1] / sizes[0]

    def end_tasks(self, state, numbers):
        envelope = fixtures.decode_request(fixtures.requests(1)[0])
        for number in numbers:
            now = number / 10
            slot = Slot("urn:asap:agent:caller", str(number), b"digest")
            job = Job(envelope.payload, envelope, f"task_{number:09}", 0, None, "echo", slot, now, 742)
            record = TaskRecord(job, TaskStatus.WORKING, "worker", now + 15, now, events=1)
            state.accept(record, None, (TaskEvent(1, now, "status_change", TaskStatus.WORKING),), now=now)
            event = TaskEvent(2, now, "status_change", TaskStatus.COMPLETED)
            ended = evolve(
                record,
                status=TaskStatus.COMPLETED,
                version=2,
                events=2,
                expires=now + self.LIMITS.task_seconds,
                reply=b"reply " * 100,
            )
            assert state.write(Change(ended, (event,)))
            if number % 10 == 0:
                state.forget(now=now)

    def traced(self):
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    track_memory_growth.unit = "bytes"
    track_sqlite_file_growth.unit = "x"


class Nonces:
    """To claim a nonce while so many live, as a multiple of the same with a thousand, and the longest claim.

    Redis and PostgreSQL are not measured here: they find a nonce by its key or by an index, in a process of their own.
    """

    params = (1_000, 10_000 if QUICK else 1_000_000)
    param_names = ("live",)
    timeout = 600
    FEW = 1_000
    CLAIMS = 400  # each forgets two that are over: there have to be some for the last
    SECONDS = 600.0
    SENDER = "urn:asap:agent:caller"
    LIMITS = Limits(nonces=2_000_000, nonces_each=2_000_000, nonce_seconds=SECONDS)

    def track_memory(self, live):
        """Claims at a time when none of the others is over."""
        return self.ratio(self.memory(self.FEW), self.memory(live), now=1.0)

    def track_memory_while_others_end(self, live):
        """Claims at a time when all of the others are over: they go little by little, with each claim."""
        return self.ratio(self.memory(self.FEW), self.memory(live), now=2 * self.SECONDS)

    def track_memory_longest(self, live):
        """Of the claims that lead there: each as fast as in the better of two rounds, as others disturb."""
        return max(map(min, *(self.each_claim(MemoryState(self.LIMITS), live) for _ in range(2)))) / 1e6

    def track_sqlite(self, live):
        with (
            tempfile.TemporaryDirectory() as directory,
            self.file(directory, self.FEW) as few,
            self.file(directory, live) as many,
        ):
            return self.ratio(few, many, now=1.0)

    def track_sqlite_longest(self, live):
        """Of a thousand claims, of which the first has the living counted, as one a second has."""
        with tempfile.TemporaryDirectory() as directory, self.file(directory, live) as state:
            rounds = (self.each_claim(state, 1_000, f"{turn} ", at=10.0 * turn) for turn in range(2))
            return max(map(min, *rounds)) / 1e6

    def ratio(self, few, many, *, now):
        subjects = {
            "few": lambda claim: self.claim(few, claim, now),
            "many": lambda claim: self.claim(many, claim, now),
        }
        claims = [NonceClaim(self.SENDER, f"new {number}", now + self.SECONDS) for number in range(self.CLAIMS)]
        took = in_turn(subjects, claims)
        return took["many"] / took["few"]

    def each_claim(self, state, count, name="", at=0.0):
        """Nanoseconds that each of so many claims takes."""
        took = []
        gc.collect()
        gc.disable()
        try:
            for number in range(count):
                claim = NonceClaim(self.SENDER, f"{name}{number:032x}", at + self.SECONDS)
                begin = perf_counter_ns()
                self.claim(state, claim, at)
                took.append(perf_counter_ns() - begin)
        finally:
            gc.enable()
        return took

    def claim(self, state, claim, now):
        assert isinstance(state.accept(None, claim, (), now=now), Fresh)

    def memory(self, live):
        state = MemoryState(self.LIMITS)
        self.each_claim(state, live)
        return state

    def file(self, directory, live):
        """A store whose nonces were written at once: to claim them one by one would take minutes."""
        path = Path(tempfile.mkdtemp(dir=directory), "state")
        state = SqliteState(path, agent=fixtures.ECHO, limits=self.LIMITS)
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "WITH RECURSIVE number (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n < ? - 1) "
                "INSERT INTO nonce SELECT ?, ?, printf('%032x', n), ? FROM number",
                (live, fixtures.ECHO, self.SENDER, self.SECONDS),
            )
        return state

    track_memory.unit = track_memory_while_others_end.unit = track_sqlite.unit = "x with a thousand"
    track_memory_longest.unit = track_sqlite_longest.unit = "ms"
