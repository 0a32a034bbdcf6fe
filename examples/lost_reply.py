"""The core in a runtime of its own: a simulation, where time passes only while somebody waits.

python examples/lost_reply.py

A client and a server are wired to each other in memory; the network loses the first reply.
The client waits and tries again, and the server gives the reply it has kept: the work was done once.
No socket is opened and nothing sleeps, so hours of retries take no time and go the same way at every run.
"""

from datetime import UTC, datetime, timedelta

from asap_proto import Sources, TaskRequest
from asap_proto.http import HttpResponse, RequestHead, TransportFailure
from asap_proto.model import Capabilities, Endpoints, Manifest, Skill, make_ulid
from asap_proto.roles import Accept, ClientRole, Invoke, Observe, Pause, Returned, ServerRole, Transmit, Write
from asap_proto.stores import MemoryState


class SimulatedTime:
    """A clock that somebody moves."""

    seconds = 0.0

    def now(self):
        return datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def elapsed(self):
        return self.seconds

    def pass_by(self, seconds):
        self.seconds += seconds


class Counted:
    """Ids and nonces that count up: the same run has the same ones."""

    count = 0

    def new_id(self, at):
        self.count += 1
        return make_ulid(at, self.count)

    def nonce(self):
        self.count += 1
        return f"nonce-{self.count}"

    def jitter(self):
        return 0.5


class World:
    """All that the two roles ask for is done here."""

    def __init__(self, weather):
        self.time = SimulatedTime()
        self.weather = list(weather)
        self.state = MemoryState()
        sources = Sources(self.time, Counted())
        skills = Capabilities(skills=(Skill("add", "Adds two numbers"),))
        adder = Manifest("urn:asap:agent:adder", "Adder", "1.0.0", "Adds", skills, Endpoints("/asap"))
        self.server = ServerRole(adder, sources)
        self.client = ClientRole("urn:asap:agent:caller", sources)

    def run(self, steps):
        answer = None
        while True:
            try:
                command = steps.send(answer)
            except StopIteration as end:
                return end.value
            answer = self.perform(command)

    def perform(self, command):
        match command:
            case Transmit(request=request):
                return self.transmit(request)
            case Pause(seconds=seconds):
                return self.time.pass_by(seconds)
            case Invoke(job=job):
                numbers = job.payload.input
                print(f"{self.time.seconds:6.2f} s  the adder adds {numbers['a']} and {numbers['b']}")
                return Returned({"sum": numbers["a"] + numbers["b"]})
            case Accept():
                return self.state.accept(command.record, command.nonce, command.events, now=command.now)
            case Write():
                return self.state.write(command.change)
            case Observe():
                return None
            case _:
                raise NotImplementedError(f"nothing in this world asks for {type(command).__name__}")

    def transmit(self, request):
        head = RequestHead(request.method, request.target, request.headers, "the caller")
        answer = self.run(self.server.admit(head))
        if not isinstance(answer, HttpResponse):
            answer = self.run(self.server.receive(answer, request.body))
        weather = self.weather.pop(0) if self.weather else "fair"
        print(f"{self.time.seconds:6.2f} s  request {request.headers['x-idempotency-key'][-4:]}, {weather}")
        return TransportFailure("timed_out", "no answer") if weather == "reply lost" else answer


def main():
    world = World(weather=["reply lost", "reply lost", "fair"])
    request = world.client.compose("urn:asap:agent:adder", TaskRequest("conversation", "add", {"a": 1, "b": 2}))
    reply = world.run(world.client.send(request))
    print(f"{world.time.seconds:6.2f} s  the caller has {reply.payload.result}")


if __name__ == "__main__":
    main()
