"""An agent of the simulation: one or two workers on one store, which crash, stand still, stop, and come again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

from attrs import define, field

from asap_proto.errors import AsapError, StateUnavailable
from asap_proto.model import AuthScheme, Capabilities, Endpoints, Manifest
from asap_proto.model import Skill as Described
from asap_proto.roles import (
    Accept,
    Authenticate,
    Background,
    Cancelled,
    ClientRole,
    Compress,
    Emit,
    Forget,
    InputNeeded,
    Interrupt,
    Invoke,
    Job,
    KeeperRole,
    Observe,
    Outcome,
    Pause,
    Raised,
    ReadEvents,
    ReadMetrics,
    ReadSnapshot,
    ReadState,
    ReadTask,
    Renew,
    Returned,
    Saturated,
    ServerCommand,
    ServerRole,
    Spend,
    StoreCommand,
    Suspended,
    TakeOver,
    TaskCancelled,
    TaskRole,
    TimedOut,
    Together,
    Watch,
    Write,
)
from asap_proto.stores import StateStore

from .scheduler import WAITS, Clock, Cut, Ended, Late, Process, Story
from .skills import SKILLS, Boom, Skill
from .stores import Lossy

if TYPE_CHECKING:
    from .world import World

__all__ = ["Agent", "Run", "Worker"]


class Run:
    """A handler that runs for `caller`; `version` is that of the record which it was started with."""

    handler: Process

    def __init__(self, worker: Worker, command: Invoke, skill: Skill, caller: Process) -> None:
        self.worker = worker
        self.job: Job = command.job
        self.role: TaskRole = command.task
        self.skill = skill
        self.task_id = command.job.task_id
        self.version = command.task.record.version
        self.started = worker.agent.world.now
        self.caller, self.ticket = caller, caller.ticket
        #: Why it was cut off, if it was.
        self.cut: Cancelled | TimedOut | None = None

    @property
    def input(self) -> dict[str, Any]:
        return self.job.payload.input  # type: ignore[union-attr]

    def load(self) -> Story:
        data = yield from self.role.load()
        self.worker.agent.world.ledger.loaded(self.worker, self, data)
        return data


class Worker:
    """One process of an agent, from its start to its end. Performs what its stories ask, one command at a time."""

    def __init__(self, agent: Agent, name: str) -> None:
        world = agent.world
        self.agent = agent
        self.name = name
        #: Each worker has a machine of its own, but for what its agent keeps.
        self.clock: Clock = world.new_clock()
        sources = world.scheduler.sources(self.clock)
        self.frozen = False
        self.parked: list[Process] = []
        self.thawed = self.renewed = 0.0
        #: Until when it does not reach its store, beside the times in which nobody does.
        self.away_until = 0.0
        #: Whether it takes work.
        self.open = True
        self.role = ServerRole(
            agent.manifest,
            sources,
            restartable=[name for name, skill in SKILLS.items() if skill.restartable],
            limits=world.limits,
            worker=name,
            durable=True,
        )
        self._scheduler = world.scheduler
        self._keeper = KeeperRole(self.role, sources, world.limits)
        self._clients: dict[str, ClientRole] = {}
        #: What runs here, each with what is to be done should it be lost.
        self._processes: dict[Process, Callable[[], None] | None] = {}
        self._runs: dict[str, Run] = {}
        self._run_of: dict[Process, Run] = {}
        self._threads = 0
        self._background = 0
        self._watching: dict[str, list[tuple[Process, int]]] = {}
        self.start("keeper", self._keep(), self._kept)

    def client(self, peer: str) -> ClientRole:
        if peer not in self._clients:
            self._clients[peer] = self.agent.world.client(self.agent.urn, peer, self.clock)
        return self._clients[peer]

    def run_of(self, task_id: str) -> Run | None:
        """The handler that runs here for this task, unless it was cut off."""
        run = self._runs.get(task_id)
        return None if run is None or run.handler.done or run.cut is not None else run

    # -- its life ------------------------------------------------------------------------------------------------------

    def start(self, name: str, story: Story, ended: Ended, lost: Callable[[], None] | None = None) -> Process:
        """Tells a story here; `lost` is called, and nothing else, if the worker crashes before its end."""

        def over(value: Any, error: BaseException | None) -> None:
            self._processes.pop(process, None)
            self._run_of.pop(process, None)
            ended(value, error)

        process = self._scheduler.start(f"{self.name} {name}", story, over, self)
        self._processes[process] = lost
        return process

    def freeze(self) -> None:
        self.frozen = True

    def thaw(self) -> None:
        if self.frozen:
            self.frozen = False
            self.thawed = self.agent.world.now
            self._scheduler.thaw(self)

    @property
    def back(self) -> float:
        """Since when it reaches its store, or when it will again."""
        return max(self.away_until, self.agent.away_until)

    def reaches(self, command: StoreCommand) -> bool:
        """Whether its store hears this."""
        return self.agent.world.now >= self.back

    def stop(self, grace: float) -> None:
        """Takes no more work; what still runs after `grace` seconds is cut off, and then the worker ends."""
        self.open = False

        def cut() -> None:
            self.thaw()
            for process in [*self._processes]:
                self._scheduler.cut(process)
            self._scheduler.call_later(0.2, self.crash)

        self._scheduler.call_later(grace, cut)

    def crash(self) -> None:
        """Ends without a word."""
        self.open = False
        self.agent.workers.pop(self.name, None)
        for process, lost in self._processes.items():
            was_done = process.done
            self._scheduler.kill(process)
            if lost is not None and not was_done:
                lost()
        self._processes.clear()
        self.parked.clear()

    def _keep(self) -> Story:
        while True:
            with suppress(StateUnavailable):  # it is tried again in a moment
                yield from self._keeper.beat()
            yield Pause(self.agent.world.limits.beat_seconds)

    def _kept(self, _: Any, error: BaseException | None) -> None:
        if not isinstance(error, Cut):
            raise AssertionError(f"{self.name} cares for its store no more") from error

    # -- what its stories ask ------------------------------------------------------------------------------------------

    def perform(self, process: Process, command: ServerCommand) -> Any:
        match command:
            case Write(change):
                written = self._remember(process, command)
                if written and change.events:
                    for watcher, ticket in self._watching.pop(change.record.id, ()):
                        self._scheduler.wake(watcher, ticket, None)
                return written
            case Invoke():
                return self._invoke(process, command)
            case Background(story):
                return self._place(story)
            case Interrupt(task_id):
                return self._interrupt(task_id)
            case Watch(task_id, after, seconds):
                return self._watch(process, task_id, after, seconds)
            case Emit(part):
                return self.agent.world.network.emit(process, part)
            case Authenticate(head):
                return self.agent.world.identities.get(head.headers.get("authorization", ""))
            case Observe(event):
                self.agent.world.counts[f"observed {getattr(event, 'code', None)}"] += 1
                return None
            case Compress() | Pause() | Together() | Spend() | ReadMetrics() | ReadState():
                raise AssertionError(f"{process.name} asks for {command}")
            case _:
                return self._remember(process, command)

    def _remember(self, process: Process, command: StoreCommand) -> Any:
        """What the store answers, once the ledger has seen it."""
        store, ledger = self.agent.store, self.agent.world.ledger
        match command:
            case Accept(record, nonce, events, now):
                accepted = store.accept(record, nonce, events, now=now)
                ledger.accepted(self, command, accepted)
                return accepted
            case ReadTask(task_id, now):
                found = store.read(task_id, now=now)
                ledger.was_read(self, command, found)
                return found
            case Write(change):
                written = store.write(change)
                run = self._run_of.get(process)
                ledger.written(self, command, written, run if run and run.task_id == change.record.id else None)
                return written
            case ReadEvents(task_id, after, most):
                log = store.events(task_id, after=after, most=most)
                ledger.was_told_events(self, command, log)
                return log
            case ReadSnapshot(task_id, which):
                return store.snapshot(task_id, which)
            case Renew(owner, until):
                held = store.renew(owner, until=until)
                self.renewed = self.agent.world.now
                ledger.renewed(self, command, held)
                return held
            case TakeOver(owner, now, until, most):
                taken = store.take_over(owner, now=now, until=until, most=most)
                ledger.taken(self, command, taken)
                return taken
            case Forget(now):
                return store.forget(now=now)
            case _:
                assert_never(command)

    def unreached(self, command: StoreCommand) -> Any:
        """What a story hears that does not reach its store, or no longer: at once, or when it has waited for long."""
        self.agent.world.ledger.unheard(self, command)
        return Late(None, self.agent.world.some_of([0.0, 0.0, 0.5]), StateUnavailable("the store is away"))

    def _watch(self, process: Process, task_id: str, after: int, seconds: float) -> Any:
        if self.agent.store.events(task_id, after=after, most=1):
            return None
        self._watching.setdefault(task_id, []).append((process, process.ticket))
        self._scheduler.wake_later(seconds, process, process.ticket, None)
        return WAITS

    def _place(self, story: Story) -> str:
        if not self.open or self._background >= self.agent.background_most:
            self.agent.world.counts["background full"] += 1
            return "full"

        def over(_: Any, error: BaseException | None) -> None:
            self._background -= 1
            if error is not None and not isinstance(error, Cut):
                raise AssertionError(f"a task in the background of {self.name} was lost") from error

        self._background += 1
        self.start("background", story, over)
        return "started"

    def _interrupt(self, task_id: str) -> bool:
        run = self._runs.get(task_id)
        if run is None:
            return False
        run.role.interrupted = True
        self._cut_off(run, Cancelled())
        return True

    def _cut_off(self, run: Run, why: Cancelled | TimedOut) -> None:
        """What can be cut off is; a thread goes on, and is left to itself where the front can do that."""
        if run.cut is not None or run.handler.done:
            return
        if run.skill.can_be_cut:
            run.cut = why
            self._scheduler.cut(run.handler)
        elif self.agent.leaves_threads:
            run.cut = why
            self._scheduler.wake(run.caller, run.ticket, why)

    def _invoke(self, process: Process, command: Invoke) -> Any:
        if self._threads >= self.agent.threads:
            self.agent.world.counts["saturated"] += 1
            return Saturated()
        skill = SKILLS[command.name]
        run = Run(self, command, skill, process)
        self.agent.world.ledger.started(self, command, safe=skill.restartable)
        self._threads += 1
        self._runs[run.task_id] = self._run_of[process] = run

        def over(value: Any, error: BaseException | None) -> None:
            self._threads -= 1
            if self._runs.get(run.task_id) is run:
                del self._runs[run.task_id]
            if skill.can_be_cut:
                self.agent.world.ledger.stopped(self, run)
            if isinstance(error, Cut) and run.cut is None:
                self._scheduler.wake(process, run.ticket, None, error)
            else:
                self._scheduler.wake(process, run.ticket, _outcome(run, value, error))

        run.handler = self.start(command.name, skill.story(run), over)
        self._run_of[run.handler] = run
        process.children = (run.handler,) if skill.can_be_cut else ()
        self._scheduler.call_later(command.timeout, lambda: self._cut_off(run, TimedOut()))
        return WAITS


def _outcome(run: Run, value: Any, error: BaseException | None) -> Outcome:
    """What a front makes of how a handler has ended; raises what none of our handlers may."""
    match error:
        case None:
            return Returned(value)
        case Cut():
            assert run.cut is not None
            return run.cut
        case InputNeeded():
            return Suspended(error.question)
        case TaskCancelled():
            return Cancelled()
        case Boom() | AsapError():
            return Raised(error)
        case _:
            raise error


@define(eq=False)
class Agent:
    """What stays when its workers go: its store, and how it is served."""

    world: World
    urn: str
    store: StateStore
    needs_token: bool
    #: How many handlers a worker runs at once, and how many tasks that nobody waits for.
    threads: int
    background_most: int
    #: Whether a thread that is cut off is left to itself, as on the async fronts; else it is waited for.
    leaves_threads: bool
    workers: dict[str, Worker] = field(factory=dict)
    born: int = 0
    #: Whether it has lost tasks that it had accepted, as its store may.
    has_lost: bool = False
    #: Until when nobody reaches its store, and until when one of its workers does not, or last did not.
    away_until: float = 0.0
    last_away: float = 0.0

    @property
    def name(self) -> str:
        return self.urn.rpartition(":")[2]

    @property
    def manifest(self) -> Manifest:
        skills = tuple(Described(name, name) for name in SKILLS)
        auth = AuthScheme(("bearer",)) if self.needs_token else None
        return Manifest(self.urn, self.name, "1.0.0", "", Capabilities(skills=skills), Endpoints("/asap"), auth)

    def start(self) -> None:
        """A worker with a name of its own."""
        self.born += 1
        name = f"{self.name}-{self.born}"
        self.workers[name] = self.world.parts.worker(self, name)

    def lose_power(self) -> None:
        """All its workers are gone at once, and with them what its store has not synced."""
        for worker in [*self.workers.values()]:
            worker.crash()
        if isinstance(self.store, Lossy):
            self.world.counts["writes lost"] += self.store.lose()
            if self.store.says_so:
                self.has_lost = True
                self.world.ledger.lose(self.urn)

    def sync(self) -> None:
        """From here on nothing is lost of what was written until now."""
        if isinstance(self.store, Lossy):
            self.store.sync()
            self.world.ledger.sync(self.urn)

    def some_worker(self) -> Worker | None:
        found = [worker for worker in self.workers.values() if worker.open]
        return self.world.scheduler.chance.choice(found) if found else None
