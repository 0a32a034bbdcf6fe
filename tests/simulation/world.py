"""A world of three agents, made and moved by one seed: `run(seed, steps)` says what came of it."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable
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

from .agents import Agent, Survivor, Worker
from .ledger import Ledger, short
from .network import FAIR, Network, Towards, Weather
from .scheduler import WAITS, Cut, Late, Process, Scheduler, Story
from .users import Call, Known, User

__all__ = ["Report", "World", "run"]

T = TypeVar("T")

AGENTS = ("urn:asap:agent:ada", "urn:asap:agent:bo", "urn:asap:agent:cy")
USERS = tuple(f"urn:asap:agent:user-{number}" for number in range(1, 5))

#: Seconds within which all must have come to an end, once the weather is fair.
_PATIENCE = 300.0

#: Of what was asked and known that much is remembered, to be asked about.
_RECENT = 40


@frozen
class Report:
    """What came of a run: `failure` says which rule was broken, if one was; `tail` is the end of the trace."""

    seed: int
    steps: int
    digest: str
    counts: Counter[str]
    failure: str | None
    tail: tuple[str, ...]

    def __str__(self) -> str:
        if self.failure is None:
            return f"seed {self.seed}: {self.steps} steps, {self.digest}"
        lines = "\n".join(self.tail)
        again = f"pytest tests/simulation --seed {self.seed}"
        return f"{lines}\nseed {self.seed} fails at step {self.steps}: {self.failure}\nTo see it again: {again}"


def run(seed: int, steps: int = 10_000, store: Callable[[str, Limits], StateStore] = Survivor) -> Report:
    """Moves a world by so many steps, lets the weather clear, and waits until all has come to its end."""
    world = World(seed, store)
    failure = None
    try:
        world.run(steps)
    except AssertionError as error:
        failure = f"{error}" + (f": {error.__cause__!r}" if error.__cause__ else "")
    except Exception:
        failure = traceback.format_exc()
    scheduler = world.scheduler
    return Report(seed, scheduler.steps, scheduler.digest, world.counts, failure, tuple(scheduler.tail))


class World:
    """Three agents, those who ask things of them, a network, and fate."""

    def __init__(self, seed: int, store: Callable[[str, Limits], StateStore]) -> None:
        self.scheduler = Scheduler(seed, self._perform)
        self.ledger = Ledger(self)
        self.network = Network(self)
        self.counts: Counter[str] = Counter()
        self.closing = False
        self.limits = Limits(
            lease_seconds=4.0,
            beat_seconds=1.0,
            cancel_seconds=1.0,
            handler_seconds=20.0,
            stream_beat_seconds=2.0,
            task_runs=self.some(2, 5),
        )
        # Each world has a climate of its own: a mishap that always comes with all others hides what it does alone.
        self.weather = Weather(
            refused=self.some_of([0.0, 0.02]),
            lost=self.some_of([0.0, 0.02, 0.1]),
            broken=self.some_of([0.0, 0.02, 0.05]),
            twice=self.some_of([0.0, 0.05, 0.2]),
            delay=self.some_of([0.001, 0.02, 0.2]),
        )
        self.haste = self.some_of([2.0, 6.0, 20.0])
        #: How many of the stores' answers come late, and how late at most, in seconds.
        self._late = self.some_of([0.0, 0.1, 0.5])
        self._lag = self.some_of([0.005, 0.05, 0.3])
        #: How likely it is that a worker crashes, or stands still, before it hears what its store has answered.
        self._malice = self.some_of([0.0, 0.001, 0.01])
        self._misfortune = self.some_of([0.1, 0.5, 1.5])
        self.known: list[Known] = []
        self.calls: list[Call] = []
        self.artifacts: list[tuple[Known, str]] = []
        #: Keys that were used for more than one thing.
        self.reused: set[str] = set()
        #: Envelopes that were on the network twice, though they were sent once.
        self.heard_twice: set[str] = set()
        self._numbers = 0
        self.identities = {f"Bearer token-of-{urn}": Identity(urn) for urn in (*AGENTS, *USERS)}
        self.agents = {urn: self._agent(urn, store) for urn in AGENTS}
        #: Each asks two things at a time.
        self.users = {urn: User(self, urn) for urn in USERS}
        for agent in self.agents.values():
            for _ in range(self.some(1, 2)):
                agent.start()
        self._asking = 0
        for number, urn in enumerate(USERS * 2, 1):
            self._asking += 1
            name = f"{urn.rpartition(':')[2]}.{number}"
            self.scheduler.start(name, self.users[urn].story(), self._asked)
        self.scheduler.start("fate", self._fate(), _over)

    def _agent(self, urn: str, store: Callable[[str, Limits], StateStore]) -> Agent:
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
        """Unix seconds."""
        return self.scheduler.time.now().timestamp()

    @property
    def slowness(self) -> float:
        """What slow stores may add to what a worker does within a beat, in seconds."""
        return 10 * self._lag if self._late else 0.0

    def chances(self, likely: float) -> bool:
        return self.scheduler.chance.random() < likely

    def some(self, least: int, most: int) -> int:
        return self.scheduler.chance.randint(least, most)

    def some_of(self, things: list[T]) -> T:
        return self.scheduler.chance.choice(things)

    def delay(self) -> float:
        """How long a message is on its way."""
        return self.scheduler.chance.expovariate(1 / self.weather.delay)

    def new_number(self) -> int:
        self._numbers += 1
        return self._numbers

    # -- what is known of it -------------------------------------------------------------------------------------------

    def client(self, me: str, peer: str) -> ClientRole:
        token = f"token-of-{me}" if self.agents[peer].needs_token else None
        retry = RetryRule(attempts=self.some(2, 8), base_seconds=0.2, most_seconds=2.0)
        return ClientRole(me, self.scheduler.sources, token=token, limits=self.limits, retry=retry, timeout=4.0)

    def know(self, known: Known) -> None:
        self.known.append(known)
        del self.known[:-_RECENT]
        del self.calls[:-_RECENT]
        del self.artifacts[:-_RECENT]

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
        self._late = self._malice = 0.0
        for agent in self.agents.values():
            for worker in [*agent.workers.values()]:
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
        """Workers crash, stand still, are told to stop; those who went come again."""
        while not self.closing:
            yield Pause(self.scheduler.chance.expovariate(self._misfortune))
            agent = self.some_of([*self.agents.values()])
            workers = [*agent.workers.values()]
            if not workers or self.closing:
                continue
            self._strike(self.some_of(workers))

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
        answer = worker.perform(process, command)
        if isinstance(command, StoreCommand):
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
    match command:
        case Towards(peer, asked):
            return f"{type(asked).__name__} to {peer.rpartition(':')[2]}"
        case Write(change):
            record = change.record
            return f"Write {record.id} v{record.version} {record.status} of {record.owner or 'nobody'}"
        case Accept(None):
            return "Accept a nonce"
        case Accept(record):
            return f"Accept {record.id} {record.job.name} {record.status}"
        case ReadTask(task_id) | ReadEvents(task_id) | ReadSnapshot(task_id) | Watch(task_id) | Interrupt(task_id):
            return f"{type(command).__name__} {task_id}"
        case Invoke(name, job):
            return f"Invoke {name} {job.task_id}"
        case Pause(seconds):
            return f"Pause {seconds:.4f}"
        case _:
            return type(command).__name__
