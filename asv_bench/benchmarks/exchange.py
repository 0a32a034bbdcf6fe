"""Whole exchanges in process, and the rules that each may meet."""

import asyncio
import random
import statistics
from datetime import UTC, datetime

import orjson
from attrs import evolve

from asap_adapters.bench import fixtures
from asap_adapters.bench.measure import in_turn_awaiting
from asap_proto.model import TaskStatus, make_ulid
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.quota import parse_quota
from asap_proto.stores import Change, Job, MemoryQuotas, MemoryState, NonceClaim, Slot, TaskRecord

ROUNDS = 5


class Exchange:
    """A request answered by the echo agent, as a multiple of orjson.loads of its bytes."""

    params = ("plain", "nonce and key")
    param_names = ("request",)

    def track_role(self, request):
        return self.ratios(request)["role"]

    def track_app(self, request):
        return self.ratios(request)["app"]

    def ratios(self, request):
        found = [asyncio.run(self.once(full=request != "plain")) for _ in range(ROUNDS)]
        return {name: statistics.median(took[name] / took["loads"] for took in found) for name in ("role", "app")}

    async def once(self, *, full):
        subjects = {"loads": orjson.loads, "role": fixtures.EchoServer().exchange, "app": fixtures.echo_app()}
        return await in_turn_awaiting(subjects, fixtures.requests(300, full=full))

    track_role.unit = track_app.unit = "x orjson"


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
