"""What it costs to look up a manifest that is known already, among few and many peers."""

import asyncio

from asap_adapters.asyncio import Client
from asap_adapters.bench import fixtures
from asap_proto.http import HttpResponse
from asap_proto.model import Capabilities, Endpoints, Manifest, Skill
from asap_proto.wire.json import dump
from asap_proto.wire.nouns import encode

LOOKUPS = 100


class Peer:
    """A transport whose peer has a manifest and nothing else."""

    def __init__(self):
        manifest = Manifest(
            id=fixtures.ECHO,
            name="Echo",
            version="1.0.0",
            description="Repeats what it hears",
            capabilities=Capabilities(skills=(Skill("echo", "Repeats the input"),)),
            endpoints=Endpoints("http://localhost/asap"),
        )
        self.answer = HttpResponse(200, {"content-type": "application/json"}, dump(encode(manifest)))
        self.fetches = 0

    async def send(self, request, timeout):
        self.fetches += 1
        return self.answer

    async def aclose(self):
        pass


class Manifests:
    """Look-ups of manifests that were fetched before."""

    params = (1, 100, 1000)
    param_names = ("agents",)

    def setup(self, agents):
        self.loop = asyncio.new_event_loop()
        self.peer = Peer()
        urls = [f"http://127.0.0.1/{number}" for number in range(agents)]
        self.clients = [Client(url, me="urn:asap:agent:caller", transport=self.peer) for url in urls]
        self.loop.run_until_complete(self.look_up(agents))

    def teardown(self, agents):
        self.loop.close()

    def time_look_up(self, agents):
        self.loop.run_until_complete(self.look_up(LOOKUPS))

    def peakmem_clients(self, agents):
        self.loop.run_until_complete(self.look_up(LOOKUPS))

    def track_fetches(self, agents):
        """How often the peer was asked by so many clients, whatever they looked up."""
        self.loop.run_until_complete(self.look_up(10 * LOOKUPS))
        return self.peer.fetches / agents

    async def look_up(self, lookups):
        for number in range(lookups):
            await self.clients[number % len(self.clients)].manifest()

    track_fetches.unit = "for each agent"
