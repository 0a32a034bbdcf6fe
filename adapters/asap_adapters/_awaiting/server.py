"""The server's commands, performed on the async fronts: one short method for each."""

from __future__ import annotations

import functools
import inspect
import itertools
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import suppress
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, assert_never

import anyio
import anyio.lowlevel
import anyio.to_thread
from anyio.abc import TaskGroup

from asap_proto.errors import AsapError, Overloaded, StateUnavailable
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.roles import (
    Accept,
    AnyCommand,
    Authenticate,
    Background,
    Cancelled,
    Compress,
    Deliver,
    Emit,
    Forget,
    InputNeeded,
    Interrupt,
    Invoke,
    Job,
    Observe,
    OpenStream,
    Outcome,
    Pause,
    Placed,
    ReadEvents,
    ReadMetrics,
    ReadSnapshot,
    ReadState,
    ReadStream,
    ReadTask,
    RecallManifest,
    Renew,
    Returned,
    Saturated,
    SaveManifest,
    Shared,
    Spend,
    Steps,
    StoreCommand,
    Suspended,
    TakeOver,
    TaskCancelled,
    TimedOut,
    Together,
    Transmit,
    Watch,
    Write,
)
from asap_proto.rules.identity import Identity
from asap_proto.rules.shedding import SAMPLE_SECONDS
from asap_proto.stores import MemoryState

from .._shared.agents import Served
from .._shared.logs import log_raised
from .._shared.performing import BasePerformer, Run, log_nobody_in
from .._shared.schemes import Authenticator, identity_of, keys_request
from .._shared.skills import Handler
from .._shared.urls import targets_for
from .compressing import Compressor
from .drive import drive, drive_together
from .load import Caller
from .tasks import Task, ThreadTask

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Closing", "Follower", "Performer"]

log = logging.getLogger("asap_adapters.server")

Perform = Callable[[AnyCommand], Awaitable[Any]]

#: How long a handler waits before anybody looks whether its caller has hung up.
_WATCH_SECONDS: Final = 0.05


class Closing(Exception):
    """A stream ends here: the server shuts down, and what it follows is not run by this worker."""


class Follower:
    """A stream's reader, and how far it has come in the log of the task it follows."""

    __slots__ = ("is_local", "moved", "seen")

    def __init__(self, seen: int) -> None:
        self.seen = seen
        self.moved = anyio.Event()
        #: Whether this worker runs the task.
        self.is_local = False

    def move(self, seen: int) -> None:
        """It has read so far; whoever waits for that looks again."""
        self.seen, moved, self.moved = seen, self.moved, anyio.Event()
        moved.set()


class Performer(BasePerformer):
    """Performs what one served agent's stories ask."""

    def __init__(self, agent: Agent, served: Served) -> None:
        super().__init__(served, agent)
        #: Whose tasks these are.
        self.agent = agent
        self._within = agent._within
        self._handlers = served.handlers
        self._outcome_of: Callable[[Future[Any]], Awaitable[Any]] = agent._outcome_of
        self._free_threads = threading.BoundedSemaphore(served.limits.handler_threads)
        self._limiter: anyio.CapacityLimiter | None = None
        self._compressor = Compressor(served.limits)
        #: Where stories run that nobody waits for; there is such a place while a server runs the app's lifespan.
        self.group: TaskGroup | None = None
        self._background_count = 0
        self._idle: anyio.Event | None = None
        self._submits = hasattr(served.stores.state, "submit")
        self._waits = self._submits or hasattr(served.stores.state, "__aenter__")
        # What each exchange asks, found without a look at all the rest.
        self._quick: dict[type, Callable[[Any], Any]] = {
            Authenticate: self.authenticate,
            Observe: lambda command: served.observe(command.event),
            Spend: self._spend,
        }
        if isinstance(state := served.stores.state, MemoryState):
            # Memory does not fail; any other store may.
            self._ask: Callable[[StoreCommand], Any] = functools.partial(self._asked, state)
            self._quick[Accept] = lambda asked: state.accept(asked.record, asked.nonce, asked.events, now=asked.now)
            self._quick[Write] = lambda asked: self._written(asked, state.write(asked.change))
        else:
            self._ask = self._ask_plain
        self._news: dict[str, anyio.Event] = {}
        # Callers for whom something waits since a moment, and whether a task looks at them.
        self._unwatched: list[Caller] = []
        self._is_looking = False
        self._fetching = anyio.Lock()
        self._followers: dict[str, set[Follower]] = {}

    async def perform(self, command: AnyCommand, caller: Caller | None = None) -> Any:
        """The answer to a command."""
        answer = self.begin(command, caller)
        return await answer if answer.__class__ is CoroutineType else answer

    def begin(self, command: AnyCommand, caller: Caller | None = None) -> Any:
        """The same for `drive`: the answer where nothing has to be waited for, else a coroutine of it."""
        quick = self._quick.get(command.__class__)
        return self._begin(command, caller) if quick is None else quick(command)

    def _begin(self, command: AnyCommand, caller: Caller | None) -> Any:
        match command:
            case Invoke():
                return self.invoke(command, caller)
            case Observe():
                return self._observe(command)
            case Write():
                return self._write(command) if self._waits else self._written(command, self._ask(command))
            case Accept() | ReadTask() | ReadEvents() | ReadSnapshot() | Renew() | TakeOver() | Forget():
                return self._remember(command) if self._waits else self._ask(command)
            case Spend():
                return self._spend(command)
            case Authenticate():
                return self.authenticate(command)
            case Together():
                return drive_together(command, functools.partial(self.begin, caller=caller))
            case Background():
                return self._background(command, self.group)
            case Compress():
                return self._compressor.compress(command)
            case Interrupt():
                return self._interrupt(command)
            case Pause():
                return anyio.sleep(command.seconds)
            case ReadMetrics():
                return self._metrics()
            case ReadState():
                return self._state(ready=self._is_open())
            case (
                Transmit()
                | OpenStream()
                | ReadStream()
                | Deliver()
                | Emit()
                | Watch()
                | Shared()
                | RecallManifest()
                | SaveManifest()
            ):
                raise TypeError(f"a server is never asked to {type(command).__name__} here")
            case _:
                assert_never(command)

    async def _remember(self, command: StoreCommand) -> Any:
        """Asks a store that is waited for. What it was asked it does, so its answer is not given up either."""
        try:
            with anyio.CancelScope(shield=True):
                if self._submits:
                    state = self._stores.state
                    return await self._outcome_of(state.submit(lambda inner: self._asked(inner, command)))
                return await self._asked(self._stores.state, command)
        except Exception as error:
            raise self._unavailable(command, error) from error

    def _ask_plain(self, command: StoreCommand) -> Any:
        """Asks a store whose methods answer at once."""
        try:
            return self._asked(self._stores.state, command)
        except Exception as error:
            raise self._unavailable(command, error) from error

    async def _write(self, command: Write) -> bool:
        return self._written(command, await self._remember(command))

    def _written(self, command: Write, written: bool) -> bool:
        if self._news and written and command.change.events:
            news = self._news.pop(command.change.record.id, None)
            if news is not None:
                news.set()
        return written

    async def perform_for(self, run: Run, command: AnyCommand) -> Any:
        """Performs what a handler asks of its task. What it tells waits for whoever follows the task.

        So a slow reader slows the handler of what it reads, and nothing else: not how the task ends, nor anybody's
        cancel, nor the news of its subtasks.
        """
        # A handler that does nothing but tell is cut off here, if it is to be, and lets others have their turn.
        await anyio.lowlevel.checkpoint()
        answer = await self.perform(command)
        if isinstance(command, Write) and answer and command.change.events and self._followers:
            task_id, number = command.change.record.id, command.change.events[-1].number
            for follower in tuple(self._followers.get(task_id, ())):
                while self._is_on(task_id, run) and number - follower.seen > self._served.limits.stream_events:
                    await follower.moved.wait()
        return answer

    def _is_on(self, task_id: str, run: Run) -> bool:
        """Whether the run was neither cut off nor given up, as a thread is that takes too long."""
        return self._runs.get(task_id) is run and not run.interrupted

    def _interrupt(self, command: Interrupt) -> bool:
        found = super()._interrupt(command)
        self._let_writers_look(command.task_id)
        return found

    def _let_writers_look(self, task_id: str) -> None:
        """Wakes whoever waits for readers of this task: a thread is not cut off, and hears of its end only so."""
        for follower in self._followers.get(task_id, ()):
            follower.move(follower.seen)

    def open(self) -> None:
        super().open()
        self._is_over = False

    def close(self) -> None:
        super().close()
        self._send_readers_away()

    def cut_off(self) -> None:
        """The grace is over: what still runs is given back, and whoever waits for it is told to ask again."""
        self._is_over = True
        for run in tuple(self._runs.values()):
            run.interrupt()
        self._send_readers_away()

    def _send_readers_away(self) -> None:
        for news in self._news.values():
            news.set()
        self._news.clear()

    def follow(self, follower: Follower, emit: Callable[[Emit], Awaitable[None]]) -> Perform:
        """Performs for one stream: what is emitted goes to its reader, how far that has come is noted.

        Raises `Closing` instead of waiting where there is nothing to wait for any more.
        """
        news = anyio.Event()

        async def perform(command: AnyCommand) -> Any:
            nonlocal news
            match command:
                case Emit():
                    return await emit(command)
                case ReadTask():
                    found = await self.perform(command)
                    follower.is_local = found is not None and found.owner == self._served.role.worker
                    return found
                case ReadEvents():
                    self._followers.setdefault(command.task_id, set()).add(follower)
                    follower.move(command.after)
                    # What is written from now on is news: it may come while the store is still being read.
                    news = self._news.setdefault(command.task_id, anyio.Event())
                    return await self.perform(command)
                case Watch():
                    if not self._is_open() and (self._is_over or not follower.is_local):
                        raise Closing
                    with anyio.move_on_after(command.seconds):
                        await news.wait()
                    return None
                case _:
                    return await self.perform(command)

        return perform

    def leave(self, follower: Follower) -> None:
        """A stream has ended."""
        follower.move(1 << 62)
        for task_id, followers in list(self._followers.items()):
            followers.discard(follower)
            if not followers:
                del self._followers[task_id]
                self._news.pop(task_id, None)

    def _background(self, command: Background, group: TaskGroup | None) -> Placed:
        if group is None:
            return "nowhere"
        if not self._is_open() or self._background_count >= self._served.limits.background_tasks:
            return "full"
        self._background_count += 1
        group.start_soon(self._alone, command.story)
        return "started"

    async def _alone(self, story: Steps[Any]) -> None:
        try:
            await drive(story, self.begin)
        except Exception:
            log.exception("a task in the background was lost")
        finally:
            self._background_count -= 1
            if self._idle is not None and not self._background_count:
                self._idle.set()

    async def idle(self) -> None:
        """Waits until nothing runs in the background."""
        if self._background_count:
            self._idle = anyio.Event()
            await self._idle.wait()

    def look_after(self, run: Run) -> None:
        """From now on what runs is cancelled once its caller has hung up. For that a server has to run the lifespan."""
        if self.group is None:
            return
        caller, job = run.caller, run.role.job
        if caller.jobs is not None:
            caller.jobs.append(job)
            if caller.is_gone:
                self.group.start_soon(self._abandon, job)
        else:
            caller.jobs = [job]
            self._unwatched.append(caller)
            if not self._is_looking:
                self._is_looking = True
                self.group.start_soon(self._look, self.group)

    async def _look(self, group: TaskGroup) -> None:
        """Watches callers who wait for longer than a moment, until there are none.

        A task for each of them from the first wait on would cost more than most handlers do.
        """
        try:
            while callers := self._unwatched:
                self._unwatched = []
                await anyio.sleep(_WATCH_SECONDS)
                for caller in callers:
                    if not caller.is_over:
                        caller.watch = anyio.CancelScope()
                        group.start_soon(self._watch, caller, caller.watch)
        finally:
            self._is_looking = False

    async def _watch(self, caller: Caller, watch: anyio.CancelScope) -> None:
        with watch:
            try:
                while (await caller.receive())["type"] != "http.disconnect":
                    pass
            except Exception:
                log.exception("a server does not say whether a caller is still there")
                return
            caller.is_gone = True
            async with anyio.create_task_group() as group:
                for job in caller.jobs or ():
                    group.start_soon(self._abandon, job)

    async def _abandon(self, job: Job) -> None:
        try:
            await drive(self._served.role.abandon(job), self.begin)
        except Exception:
            log.exception("a task without a caller could not be cancelled")

    async def keep(self) -> None:
        """Cares for the store, once a beat, until cancelled."""
        while True:
            try:
                await drive(self._served.keeper.beat(), self.begin)
            except StateUnavailable:
                pass  # it was told, and is tried again in a moment
            except Exception:
                log.exception("the store could not be cared for; tried again in a moment")
            await anyio.sleep(self._served.limits.beat_seconds)

    async def feel(self) -> None:
        """Looks how late things are, until cancelled."""
        while True:
            due = self.clock.elapsed() + SAMPLE_SECONDS
            await anyio.sleep(SAMPLE_SECONDS)
            try:
                await drive(self._served.keeper.feel(due), self.begin)
            except Exception:
                log.exception("how late things are could not be felt; tried again in a moment")

    def authenticate(self, command: Authenticate) -> Identity | Coroutine[Any, Any, Identity | None] | None:
        """Who calls: at once, unless keys have to be fetched or a validator waits."""
        schemes = iter(self._served.auth)
        for scheme in schemes:
            try:
                if self._keys_wanted(scheme, command) is not None:
                    return self._authenticated(command, scheme, schemes, None)
                answer = scheme.verify(command.head, command.now)
                if answer.__class__ is Identity:
                    return answer
                if inspect.isawaitable(answer):
                    return self._authenticated(command, scheme, schemes, answer)
                known = identity_of(answer)
            except Exception as error:  # noqa: BLE001  (a validator may raise anything)
                log_nobody_in(command, scheme, error)
                continue
            if known is not None:
                return known
        return None

    async def _authenticated(
        self, command: Authenticate, scheme: Authenticator, left: Iterator[Authenticator], answer: Any
    ) -> Identity | None:
        """The same from a scheme on that has to be waited for: for its keys, or for its `answer`."""
        until = anyio.current_time() + self._served.limits.auth_seconds
        for each in itertools.chain((scheme,), left):
            try:
                if answer is None:
                    if self._keys_wanted(each, command) is not None:
                        with anyio.fail_after(until - anyio.current_time()):
                            await self._fetch_keys(each, command)
                    answer = each.verify(command.head, command.now)
                if inspect.isawaitable(answer):
                    with anyio.fail_after(until - anyio.current_time()):
                        answer = await answer
                if (known := identity_of(answer)) is not None:
                    return known
            except Exception as error:  # noqa: BLE001  (a validator may raise anything)
                log_nobody_in(command, each, error)
            answer = None
        return None

    async def _fetch_keys(self, scheme: Authenticator, command: Authenticate) -> None:
        """Fetches the keys that a scheme asks for, once for all that ask at the same time."""
        async with self._fetching:
            if (url := self._keys_wanted(scheme, command)) is None:
                return
            base_url, request = keys_request(url)
            # What is begun is ended: else whoever hangs up in time could keep new keys away.
            with anyio.CancelScope(shield=True):
                targets = targets_for(base_url, self._served.targets)
                transport = self.agent._client._connect(base_url, self._served.limits, targets=targets)
                answer: HttpResponse | TransportFailure
                try:
                    answer = await transport.send(request, self._served.limits.auth_seconds)
                except AsapError as error:
                    answer = TransportFailure("broken", error.message)
                finally:
                    await transport.aclose()
            self._learn(scheme, url, answer, command)

    def invoke(self, command: Invoke, caller: Caller | None) -> Outcome | Coroutine[Any, Any, Outcome]:
        """Runs a handler: what comes of it is there at once, unless it waits."""
        started, job = self._elapsed(), command.job
        try:
            handler = self._handlers[job.payload.__class__, command.name]
            task = Task(job, command.task, self, started + command.timeout, caller)
            if handler.colour == "async":
                takes = handler.signature.input_class is not None
                running = handler.function(*handler.arguments(task)) if takes else handler.function(task)
            elif self._free_threads.acquire(blocking=False):
                running = self._in_thread(handler, ThreadTask(task))
            else:
                return self._ended(command, Saturated(), started)
            begun = self._within(command.timeout, running, task._as_run)
            if isinstance(begun, Returned):
                if begun.value.__class__ is not dict:
                    begun = handler.returned(begun)
                self._count_run(job.envelope.payload_type, self._elapsed() - started, True)
                return begun
        except BaseException as error:  # noqa: BLE001  (what is no outcome is raised again)
            return self._ended(command, self._failed(command, error), started)
        # Before it waits nobody else could ask for it.
        run = task._as_run()
        self._active += 1
        self._runs[job.task_id] = run
        return self._outcome(command, handler, run, begun, started)

    async def _outcome(
        self, command: Invoke, handler: Handler, run: Run, begun: Awaitable[Returned | TimedOut], started: float
    ) -> Outcome:
        outcome: Outcome
        try:
            outcome = await begun
            if isinstance(outcome, Returned):
                outcome = handler.returned(outcome)
            elif run.interrupted:
                raise TaskCancelled(None)
        except BaseException as error:  # noqa: BLE001  (what is no outcome is raised again)
            outcome = self._failed(command, error)
        finally:
            self._leave(run)
        return self._ended(command, outcome, started)

    def _failed(self, command: Invoke, error: BaseException) -> Outcome:
        """What it comes to that a handler raised this; raises it again where it is not the handler's."""
        if isinstance(error, InputNeeded):
            return Suspended(error.question)
        if isinstance(error, TaskCancelled):
            if self._is_over:
                raise Overloaded("the server is shutting down", facts={"retry_after": 1}) from None
            return Cancelled()
        if isinstance(error, Exception | SystemExit):  # a handler may raise anything
            return log_raised(command, error)
        raise error

    def _leave(self, run: Run) -> None:
        self._active -= 1
        task_id = run.role.job.task_id
        if self._runs.get(task_id) is run:  # a task that was lost and taken over again may have two for a moment
            del self._runs[task_id]
        if self._followers:
            self._let_writers_look(task_id)

    async def _in_thread(self, handler: Handler, task: ThreadTask) -> Any:
        """Runs a plain function. When cut off it goes on, so it holds its thread's place until it ends."""
        ticket = [self._free_threads]

        def run() -> Any:
            place = ticket.pop()
            try:
                return handler.function(*handler.arguments(task))
            finally:
                place.release()

        try:
            return await anyio.to_thread.run_sync(run, abandon_on_cancel=True, limiter=self._threads())
        finally:
            # Cancelled before a thread took it: whoever pops the ticket gives the place back.
            with suppress(IndexError):
                ticket.pop().release()

    def _threads(self) -> anyio.CapacityLimiter:
        # Our own count refuses instead of queueing; this one must only never be the narrower.
        if self._limiter is None:
            self._limiter = anyio.CapacityLimiter(self._served.limits.handler_threads * 2)
        return self._limiter
