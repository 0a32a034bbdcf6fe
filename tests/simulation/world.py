"""A world of a few agents, made and moved by one seed: `run(seed, steps)` says what came of it."""

from __future__ import annotations

import random
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import frozen

from asap_proto.errors import AsapError
from asap_proto.limits import Limits
from asap_proto.model import TaskStatus
from asap_proto.roles import (
    Accept,
    ClientRole,
    Interrupt,
    Invoke,
    Pause,
    ReadEvents,
    ReadSnapshot,
    ReadTask,
    StoreCommand,
    Together,
    Watch,
    Write,
)
from asap_proto.rules.identity import Identity
from asap_proto.rules.retry import RetryRule
from asap_proto.stores import StateStore

from .agents import Agent, Worker
from .ledger import Ledger, short
from .network import FAIR, Network, Towards, Weather
from .scheduler import WAITS, Clock, Cut, Late, Process, Scheduler, Story
from .stores import Lossy, Survivor
from .users import ACTIONS, AHEAD, INPUTS, OLDEST, Call, Known, User

__all__ = ["Parts", "Report", "World", "run"]

#: Steps of a world before it may come to its end. Most are short, as most faults are found soon; what takes long to
#: come about is found in the others (docs/adr/0045).
_STEPS = (200, 200, 200, 1000)

T = TypeVar("T")

AGENTS = ("urn:asap:agent:ada", "urn:asap:agent:bo", "urn:asap:agent:cy")
USERS = tuple(f"urn:asap:agent:user-{number}" for number in range(1, 5))

#: Seconds within which all must have come to an end, once the weather is fair.
_PATIENCE = 300.0

#: How wrong a clock may be, in seconds: nonces are remembered for longer than envelopes live by twice that.
_WRONG = 17.0

#: Of what was asked and known that much is remembered, to be asked about.
_RECENT = 40


@frozen
class Report:
    """What came of a run, of so many steps as were `asked` for: `failure` says which rule was broken, if one was.

    `tail` is the end of the trace, `digest` stands for the whole of it.
    """

    seed: int
    asked: int | None
    steps: int
    digest: str
    counts: Counter[str]
    failure: str | None
    tail: tuple[str, ...]

    @property
    def again(self) -> str:
        """What is typed to see it again."""
        return f"nox -s simulate -- --seed {self.seed}" + (f" --steps {self.asked}" if self.asked else "")

    def __str__(self) -> str:
        if self.failure is None:
            return f"seed {self.seed}: {self.steps} steps, {self.digest}"
        lines = "\n".join(self.tail)
        failure = f"seed {self.seed} fails at step {self.steps}, {self.digest}: {self.failure}"
        return f"{lines}\n{failure}\nTo see it again: {self.again}"


@frozen
class Parts:
    """What a world is made of. Without a `store` each agent has one that is durable, or that may lose the newest."""

    store: Callable[[str, Limits], StateStore] | None = None
    worker: type[Worker] = Worker
    network: type[Network] = Network


def run(seed: int, steps: int | None = None, parts: Parts = Parts()) -> Report:
    """Moves a world by so many steps, lets the weather clear, and waits until all has come to its end."""
    world = World(seed, parts)
    failure = None
    try:
        world.run(steps or world.steps)
    except AssertionError as error:
        failure = f"{error}" + (f": {error.__cause__!r}" if error.__cause__ else "")
    except Exception:
        failure = traceback.format_exc()
    scheduler = world.scheduler
    return Report(seed, steps, scheduler.steps, scheduler.digest, world.counts, failure, tuple(scheduler.tail))


class World:
    """One to three agents, those who ask things of them, a network, and fate."""

    def __init__(self, seed: int, parts: Parts) -> None:
        self.parts = parts
        self.scheduler = Scheduler(seed, self._perform)
        self.ledger = Ledger(self)
        self.network = parts.network(self)
        self.counts: Counter[str] = Counter()
        self.closing = False
        self.steps = self.some_of([*_STEPS])
        beat = self.some_of([1.0, 2.0])
        self.limits = Limits(
            lease_seconds=beat * self.some_of([2.0, 4.0]),
            beat_seconds=beat,
            cancel_seconds=1.0,
            handler_seconds=20.0,
            stream_beat_seconds=2.0,
            oldest_seconds=OLDEST,
            ahead_seconds=AHEAD,
            nonce_seconds=OLDEST + AHEAD + 2 * _WRONG,
            task_runs=self.some(2, 5),
        )
        # Each world has a climate of its own: a mishap that always comes with all others hides what it does alone.
        self.weather = Weather(
            refused=self.some_of([0.0, 0.02]),
            lost=self.some_of([0.0, 0.02, 0.1]),
            broken=self.some_of([0.0, 0.02, 0.05]),
            twice=self.some_of([0.0, 0.05, 0.2]),
            unheard=self.some_of([0.0, 0.3, 1.0]),
            delay=self.some_of([0.001, 0.02, 0.2]),
        )
        self.haste = self.some_of([0.5, 2.0, 10.0])
        #: How wrong each clock is, at most, and by how much two of them may differ.
        self._wrong = self.some_of([0.0, 0.0, 1.0, _WRONG])
        self.apart = 2 * self._wrong
        self._clocks: list[Clock] = []
        #: How many of the stores' answers come late, and how late at most, in seconds.
        self._late = self.some_of([0.0, 0.1, 0.5])
        self._lag = self.some_of([0.005, 0.05, 0.3])
        #: How likely it is that a worker crashes, or stands still, before it hears what its store has answered.
        self._malice = self.some_of([0.0, 0.01, 0.05])
        self._misfortune = self.some_of([0.2, 1.0, 5.0])
        self._mishaps = self.swarm(["worker", "power", "sync", "links", "clock"])
        # Drawn apart: a world whose stores are always there is the one that it was when none could be away.
        apart = random.Random(f"the stores of {seed}")
        self._stores_go_away = apart.random() < 0.5
        #: How likely it is that a store does what it is asked, and is away before it can say so.
        self._speechless = apart.choice([0.0, 0.005, 0.03]) if self._stores_go_away else 0.0
        if self._stores_go_away:
            self._mishaps.append("store")
        #: What is asked, and of which skills.
        self.actions = self.swarm([*ACTIONS])
        self.skills = self.swarm([*INPUTS])
        self.known: list[Known] = []
        self.calls: list[Call] = []
        #: Keys that were used for more than one thing.
        self.reused: set[str] = set()
        #: Envelopes that were on the network twice, though they were sent once.
        self.heard_twice: set[str] = set()
        self._numbers = 0
        self.identities = {f"Bearer token-of-{urn}": Identity(urn) for urn in (*AGENTS, *USERS)}
        self.agents = {urn: self._agent(urn) for urn in AGENTS[-self.some(1, 3) :]}
        #: Each asks up to two things at a time.
        self.users = {urn: User(self, urn) for urn in USERS}
        for agent in self.agents.values():
            for _ in range(self.some(1, 3)):
                agent.start()
        self._asking = 0
        for number, urn in enumerate((USERS * 2)[: self.some(1, 8)], 1):
            self._asking += 1
            name = f"{urn.rpartition(':')[2]}.{number}"
            self.scheduler.start(name, self.users[urn].story(), self._asked)
        self.scheduler.start("fate", self._fate(), _over)

    def _agent(self, urn: str) -> Agent:
        store = self.parts.store or self.some_of([Survivor, Survivor, Lossy])
        return Agent(
            self,
            urn,
            store(urn, self.limits),
            needs_token=urn.endswith("cy"),
            threads=self.some_of([4, 20, 1000]),
            background_most=self.some_of([2, 10, 1000]),
            leaves_threads=self.chances(0.5),
        )

    # -- chance and time -----------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """The true time, in Unix seconds."""
        return self.scheduler.now

    @property
    def slowness(self) -> float:
        """What slow stores may add to what a worker does within a beat, in seconds."""
        return 10 * self._lag if self._late else 0.0

    def chances(self, likely: float) -> bool:
        return self.scheduler.chance.random() < likely

    def some(self, least: int, most: int) -> int:
        return self.scheduler.chance.randint(least, most)

    def some_of(self, things: Sequence[T]) -> T:
        return self.scheduler.chance.choice(things)

    def swarm(self, things: list[T]) -> list[T]:
        """Some of these, and never none: what is always done with all else happens too seldom by itself."""
        return [thing for thing in things if self.chances(0.5)] or [self.some_of(things)]

    def delay(self) -> float:
        """How long a message is on its way."""
        return self.scheduler.chance.expovariate(1 / self.weather.delay)

    def held_back(self) -> float:
        """How much longer the second of two copies takes: where stores go away, it may come after they are back."""
        return self.some_of([0.0, 1.0, 20.0]) if self._stores_go_away else 0.0

    def new_number(self) -> int:
        self._numbers += 1
        return self._numbers

    # -- what is known of it -------------------------------------------------------------------------------------------

    def new_clock(self) -> Clock:
        """The clock of a machine, as wrong as it may be."""
        wrong = 0.0 if self.closing else self._wrong
        self._clocks.append(Clock(self.scheduler.time, self.scheduler.chance.uniform(-wrong, wrong)))
        return self._clocks[-1]

    def client(self, me: str, peer: str, clock: Clock) -> ClientRole:
        token = f"token-of-{me}" if self.agents[peer].needs_token else None
        retry = RetryRule(attempts=self.some(2, 8), base_seconds=0.2, most_seconds=2.0)
        sources = self.scheduler.sources(clock)
        return ClientRole(me, sources, token=token, limits=self.limits, retry=retry, timeout=4.0)

    def know(self, known: Known) -> None:
        self.known.append(known)
        del self.known[:-_RECENT]
        del self.calls[:-_RECENT]

    def hear_twice(self, asked: Any) -> None:
        """The network brings a request twice: who asked may be told that it is not new."""
        self.counts["heard twice"] += 1
        frames = asked if isinstance(asked, list) else [asked]
        self.heard_twice |= {frame["params"]["envelope"]["id"] for frame in frames}

    # -- how it goes ---------------------------------------------------------------------------------------------------

    def run(self, steps: int) -> None:
        """Asserts what must hold, all the while and at the end."""
        while self.scheduler.steps < steps:
            assert self.scheduler.step(), "nobody has anything to do"
        self.closing = True
        self.weather = FAIR
        self._late = self._malice = self._speechless = 0.0
        for clock in self._clocks:
            clock.offset = 0.0
        for agent in self.agents.values():
            agent.away_until = min(agent.away_until, self.now)
            agent.last_away = min(agent.last_away, self.now)
            for worker in [*agent.workers.values()]:
                worker.away_until = min(worker.away_until, self.now)
                worker.thaw()
            if agent.some_worker() is None:
                agent.start()
        self.scheduler.start("janitor", self._finish(), _over)
        until = self.now + _PATIENCE
        while self._asking or self.ledger.unfinished():
            assert self.now < until, f"no end after {_PATIENCE} s: {self._asking} ask, {self._open()}"
            assert self.scheduler.step(), f"nobody has anything to do: {self._asking} ask, {self._open()}"
        self.ledger.close()

    def _open(self) -> str:
        return ", ".join(f"{entry.record.id} {short(entry.record)}" for _, entry in self.ledger.unfinished())

    def _asked(self, _: Any, error: BaseException | None) -> None:
        self._asking -= 1
        _over(None, error)

    def _fate(self) -> Story:
        """Workers crash, stand still, are told to stop; those who went come again. Power, links and clocks fail."""
        while not self.closing:
            yield Pause(self.scheduler.chance.expovariate(self._misfortune))
            if self.closing:
                return
            agent = self.some_of([*self.agents.values()])
            what = self.some_of(self._mishaps)
            if what == "power":
                self._lose_power(agent)
            elif what == "sync":
                agent.sync()
            elif what == "links":
                self._cut_links(agent.urn)
            elif what == "clock" and self._wrong:
                self._move_clock()
            elif what == "store":
                self._lose_store(agent, self.some_of([None, *agent.workers.values()]))
            elif what == "worker" and agent.workers:
                self._strike(self.some_of([*agent.workers.values()]))

    def _lose_power(self, agent: Agent) -> None:
        self.counts["power lost"] += 1
        self.scheduler.note(f"fate: {agent.name} loses its power")
        agent.lose_power()
        self.scheduler.call_later(self.some_of([0.0, 0.5, 4.0]), agent.start)

    def _lose_store(self, agent: Agent, worker: Worker | None) -> None:
        """An agent's store is away for a while, for all of its workers or for one."""
        seconds = self.some_of([0.2, 1.0, 4.0, 12.0])
        who = worker or agent
        self.counts["store goes away"] += 1
        self.scheduler.note(f"fate: {who.name} is without its store for {seconds} s")
        who.away_until = max(who.away_until, self.now + seconds)
        agent.last_away = max(agent.last_away, who.away_until)
        if isinstance(agent.store, Survivor) and worker is None:
            agent.store.go_away()

    def _cut_links(self, urn: str) -> None:
        """Between an agent and one or all of the others, to it, from it, or both."""
        everybody = [other for other in (*self.agents, *USERS) if other != urn]
        others = self.some_of([everybody, [self.some_of(everybody)]])
        way = self.some_of(["from", "to", "both"])
        seconds = self.some_of([0.3, 2.0, 10.0])
        self.counts[f"cut off: {way}"] += 1
        self.scheduler.note(f"fate: {urn} is cut off for {seconds} s, {way}: {len(others)}")
        ways = [(urn, other) for other in others if way != "to"] + [(other, urn) for other in others if way != "from"]
        self.network.cut(ways, seconds)

    def _move_clock(self) -> None:
        clock = self.some_of(self._clocks)
        offset = self.scheduler.chance.uniform(-self._wrong, self._wrong)
        self.counts["clock goes back" if offset < clock.offset else "clock goes forward"] += 1
        self.scheduler.note(f"fate: a clock goes from {clock.offset:.3f} to {offset:.3f}")
        clock.offset = offset

    def _strike(self, worker: Worker) -> None:
        """Whoever crashes or stops is followed by another; one that is about to stop already is, and may only crash."""
        if not worker.open:
            worker.crash()
            return
        event = self.some_of(["crash", "crash", "freeze", "freeze", "stop"])
        self.counts[event] += 1
        self.scheduler.note(f"fate: {worker.name} is to {event}")
        if event == "freeze":
            worker.freeze()
            self.scheduler.call_later(self.some_of([0.2, 1.0, 5.0, 10.0]), worker.thaw)
            return
        if event == "crash":
            worker.crash()
        else:
            worker.stop(self.some_of([0.0, 0.3, 1.0]))
        self.scheduler.call_later(self.some_of([0.0, 0.5, 4.0]), worker.agent.start)

    def _finish(self) -> Story:
        """Tells the tasks that wait what they ask, so that all come to their end."""
        while True:
            yield Pause(0.5)
            for agent, entry in self.ledger.unfinished():
                record = entry.record
                if record.status is TaskStatus.INPUT_REQUIRED:
                    user = self.users[record.job.envelope.sender]
                    yield from user.answer(agent, record.id)

    # -- what is asked -------------------------------------------------------------------------------------------------

    def _perform(self, process: Process, command: Any) -> Any:
        self.scheduler.note(f"{process.name}: {_shown(command)}")
        match command:
            case Pause(seconds):
                self.scheduler.wake_later(seconds, process, process.ticket, None)
                return WAITS
            case Together(stories, most):
                return self._together(process, stories, most)
            case Towards():
                return self.network.perform(process, command)
            case _:
                return self._perform_there(process, command)

    def _perform_there(self, process: Process, command: Any) -> Any:
        worker = process.place
        assert isinstance(worker, Worker), f"{process.name} asks for {command}"
        is_for_store = isinstance(command, StoreCommand)
        if is_for_store and not worker.reaches(command):
            self.counts["store away"] += 1
            return worker.unreached(command)
        answer = worker.perform(process, command)
        if is_for_store:
            if self._speechless and self.chances(self._speechless):
                self.counts["store does what it is asked, and is away"] += 1
                self._lose_store(worker.agent, self.some_of([None, worker]))
                return worker.unreached(command)
            if self.chances(self._malice):
                self._strike(worker)
            if self.chances(self._late):
                return Late(answer, self.scheduler.chance.uniform(0.0, self._lag))
        return answer

    def _together(self, process: Process, stories: tuple[Story, ...], most: int) -> Any:
        results: list[Any] = [None] * len(stories)
        waiting = list(enumerate(stories))
        running: list[Process] = []
        ticket = process.ticket

        def begin() -> None:
            index, story = waiting.pop(0)

            def over(value: Any, error: BaseException | None) -> None:
                if error is not None and not isinstance(error, AsapError | Cut):
                    raise error
                results[index] = value if error is None else error
                if isinstance(error, Cut):
                    waiting.clear()
                if waiting:
                    begin()
                elif all(child.done for child in running):
                    cut = next((result for result in results if isinstance(result, Cut)), None)
                    self.scheduler.wake(process, ticket, tuple(results), cut)

            start = self.scheduler.start if process.place is None else process.place.start
            running.append(start(f"{process.name}[{index}]", story, over))
            process.children = tuple(running)

        for _ in range(min(most, len(stories))):
            begin()
        return WAITS


def _over(_: Any, error: BaseException | None) -> None:
    if error is not None:
        raise error


def _shown(command: Any) -> str:
    """A command as a word or two of the trace."""
    kind = command.__class__
    show = _SHOWN.get(kind)
    return kind.__name__ if show is None else f"{kind.__name__} {show(command)}"


def _shown_write(command: Write) -> str:
    record = command.change.record
    return f"{record.id} v{record.version} {record.status} of {record.owner or 'nobody'}"


def _shown_accept(command: Accept) -> str:
    record = command.record
    return "a nonce" if record is None else f"{record.id} {record.job.name} {record.status}"


_SHOWN: Mapping[type, Callable[[Any], str]] = {
    Accept: _shown_accept,
    Interrupt: lambda command: command.task_id,
    Invoke: lambda command: f"{command.name} {command.job.task_id}",
    Pause: lambda command: f"{command.seconds:.4f}",
    ReadEvents: lambda command: command.task_id,
    ReadSnapshot: lambda command: command.task_id,
    ReadTask: lambda command: command.task_id,
    Towards: lambda towards: f"{type(towards.command).__name__} to {towards.peer.rpartition(':')[2]}",
    Watch: lambda command: command.task_id,
    Write: _shown_write,
}
