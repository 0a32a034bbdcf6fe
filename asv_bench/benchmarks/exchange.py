"""Whole exchanges in process, one by one and in arrays, and the rules that each may meet."""

import asyncio
import random
import statistics
from datetime import UTC, datetime
from itertools import islice

import orjson
from attrs import evolve

from asap_adapters.bench import fixtures
from asap_adapters.bench.measure import in_turn_awaiting
from asap_proto.model import TaskStatus, make_ulid
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.quota import parse_quota
from asap_proto.stores import Change, Job, MemoryQuotas, MemoryState, NonceClaim, Slot, TaskRecord

from . import QUICK

try:
    from asap_adapters.bench.letters import Letters, template
except ModuleNotFoundError:  # asv looks for benchmarks with the code of an older commit
    Letters = None

ROUNDS = 1 if QUICK else 5


class Exchange:
    """A request answered by the echo agent, as a multiple of orjson.loads of its bytes, and by itself."""

    params = (("plain", "nonce and key"), (742, 20_000))
    param_names = ("request", "bytes")
    REQUESTS = 100

    def setup(self, request, size):
        self.loop = asyncio.new_event_loop()
        if Letters is None:
            raise NotImplementedError
        self.full = request != "plain"
        self.letters = iter(Letters(**template(fixtures.requests(1, full=self.full, size=size)[0])))

    def teardown(self, request, size):
        self.loop.close()

    def track_role(self, request, size):
        return self.ratios(size)["role"]

    def track_app(self, request, size):
        return self.ratios(size)["app"]

    def ratios(self, size):
        found = [asyncio.run(self.once(size)) for _ in range(ROUNDS)]
        return {name: statistics.median(took[name] / took["loads"] for took in found) for name in ("role", "app")}

    async def once(self, size):
        subjects = {"loads": orjson.loads, "role": fixtures.EchoServer().exchange, "app": fixtures.echo_app()}
        return await in_turn_awaiting(subjects, fixtures.requests(self.REQUESTS, full=self.full, size=size))

    def time_role(self, request, size):
        server = fixtures.EchoServer()
        for _, body in islice(self.letters, self.REQUESTS):
            assert server.exchange(body).status == 200

    def time_app(self, request, size):
        self.loop.run_until_complete(self.ask_app())

    async def ask_app(self):
        app = fixtures.echo_app()
        for _, body in islice(self.letters, self.REQUESTS):
            assert (await app(body))[0]["status"] == 200

    track_role.unit = track_app.unit = "x orjson"


class Batch:
    """An array of requests, answered by the ASGI app."""

    params = (1, 10, 50)
    param_names = ("items",)
    BATCHES = 5

    def setup(self, items):
        self.loop = asyncio.new_event_loop()
        if Letters is None:
            raise NotImplementedError
        self.letters = iter(Letters(**template(fixtures.requests(1)[0])))

    def teardown(self, items):
        self.loop.close()

    def track_envelope(self, items):
        """What an item takes, as a multiple of a request by itself."""
        return statistics.median(asyncio.run(self.once(items)) for _ in range(ROUNDS))

    async def once(self, items):
        app = fixtures.echo_app()
        pairs = [(self.array(items), body) for _, body in islice(self.letters, 40)]
        took = await in_turn_awaiting({"array": lambda pair: app(pair[0]), "one": lambda pair: app(pair[1])}, pairs)
        return took["array"] / items / took["one"]

    def time_arrays(self, items):
        self.loop.run_until_complete(self.ask_app(items))

    def peakmem_arrays(self, items):
        self.loop.run_until_complete(self.ask_app(items))

    async def ask_app(self, items):
        app = fixtures.echo_app()
        for _ in range(self.BATCHES):
            sent = await app(self.array(items))
            assert sent[1]["body"].count(b'"completed"') == items

    def array(self, items):
        """Each item with a JSON-RPC id of its own, as a batch has it."""
        bodies = (body for _, body in islice(self.letters, items))
        numbered = (body.replace(b'"req-1"', b'"req-%d"' % number) for number, body in enumerate(bodies))
        return b"[" + b",".join(numbered) + b"]"

    track_envelope.unit = "x one request"


class Rules:
    """The small steps that each exchange takes."""

    def setup(self):
        self.now = datetime.now(UTC)
        self.breaker = Breaker()
        self.quotas = MemoryQuotas(parse_quota("1000000/second;1000000/minute"))
        self.state = MemoryState()
        self.envelope = fixtures.decode_request(fixtures.requests(1)[0])
        self.at = 0.0

    def time_breaker(self):
        self.breaker.admit(0.0)[1].failed(0.0).succeeded()

    def time_quota(self):
        self.at += 0.001
        self.quotas.spend("urn:asap:agent:caller", 1, now=self.at)

    def time_nonce(self):
        self.at += 0.001
        claim = NonceClaim("urn:asap:agent:caller", str(self.at), self.at + 1)
        self.state.accept(None, claim, (), now=self.at)

    def time_task(self):
        """A task with a slot, accepted and ended."""
        self.at += 0.001
        slot = Slot("urn:asap:agent:caller", str(self.at), b"digest")
        job = Job(self.envelope.payload, self.envelope, f"task_{self.at}", 0, None, "echo", slot)
        record = TaskRecord(job, TaskStatus.WORKING, "worker", self.at + 2, self.at)
        self.state.accept(record, None, (), now=self.at)
        done = evolve(record, status=TaskStatus.COMPLETED, version=2, expires=self.at + 1, reply=b"reply")
        self.state.write(Change(done))

    def time_ulid(self):
        make_ulid(self.now, random.getrandbits(80))


class Callers:
    """A quota among so many callers."""

    params = (10, 10_000)
    param_names = ("callers",)

    def setup(self, callers):
        self.quotas = MemoryQuotas(parse_quota("1000000/second;1000000/minute"))
        self.names = [f"urn:asap:agent:caller-{number}" for number in range(callers)]
        self.at = 0.0
        for name in self.names:
            self.quotas.spend(name, 1, now=self.at)

    def time_quota(self, callers):
        self.at += 0.001
        for name in self.names[:10]:
            self.quotas.spend(name, 1, now=self.at)
