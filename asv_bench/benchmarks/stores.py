"""What state costs: an exchange whose task is kept in a file, and the room that finished tasks take."""

import asyncio
import gc
import statistics
import tempfile
import tracemalloc
from pathlib import Path
from time import perf_counter

from attrs import evolve

from asap_adapters.bench import fixtures
from asap_adapters.stores.sqlite import SqliteState
from asap_proto import Limits
from asap_proto.model import TaskStatus
from asap_proto.stores import Change, Job, MemoryState, Slot, TaskEvent, TaskRecord

ROUNDS = 5
CONCURRENT = 100
REQUESTS = 20


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
    COUNT = 100_000
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
        """How many times larger the file is after 10,000 than after half of them."""
        sizes = []
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "state"
            for numbers in (range(5_000), range(5_000, 10_000)):
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
