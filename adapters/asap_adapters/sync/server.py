"""The server's commands, performed in the thread that asks: one short method for each."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

from asap_proto.errors import AsapError, Misuse, StateUnavailable
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
    ServerState,
    Shared,
    Spend,
    Steps,
    StoreCommand,
    Suspended,
    TakeOver,
    TaskCancelled,
    Together,
    Transmit,
    Watch,
    Write,
)
from asap_proto.rules.identity import Identity
from asap_proto.stores import Accepted, Change, Job, MemoryState, NonceClaim, Started, TaskEvent, TaskRecord

from .._shared.agents import Served
from .._shared.deflate import deflate
from .._shared.logs import Exchange, log_raised
from .._shared.performing import BasePerformer, Run, log_nobody_in
from .._shared.schemes import Authenticator, identity_of, keys_request
from .._shared.urls import targets_for
from .drive import drive, side_by_side
from .pooled_transport import PooledTransport
from .tasks import Task

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Performer"]

log = logging.getLogger("asap_adapters.server")


class Performer(BasePerformer):
    """Performs what one served agent's stories ask; any number of threads at once."""

    def __init__(self, agent: Agent, served: Served) -> None:
        super().__init__(served, agent)
        #: Whose tasks these are.
        self.agent = agent
        # One lock for what is in memory: each call is a few microseconds.
        self._lock = threading.Lock()
        self._fetching = threading.Lock()
        if inspect.iscoroutinefunction(getattr(served.stores.state, "accept", None)):
            name = type(served.stores.state).__name__
            raise Misuse(f"a {name} has to be awaited; hand it to an agent of threads as a PortalState({name}(...))")
        self._in_memory = isinstance(served.stores.state, MemoryState)
        self._news = threading.Condition()
        #: How far each reader of a stream has come, by the task it follows; and how often that told something here.
        self._followers: dict[str, dict[int, int]] = {}
        self._told: dict[str, int] = {}
        self._threads: ThreadPoolExecutor | None = None
        # Threads that help with batches, whichever.
        self._helpers: ThreadPoolExecutor | None = None
        self._background_count = 0
        self._wound_up = False

        # What each exchange asks, found without a look at all the rest.
        self._quick: dict[type, Callable[[Any], Any]] = {
            Invoke: self._invoke,
            Authenticate: self.authenticate,
            Observe: lambda command: served.observe(command.event),
            Spend: self._spend,
        }
        if self._in_memory:
            self._quick[Accept] = lambda asked: self.accept(asked.record, asked.nonce, asked.events, now=asked.now)
            self._quick[Write] = lambda asked: self.write(asked.change)

    def perform(self, command: AnyCommand) -> Any:
        """The answer to a command."""
        quick = self._quick.get(command.__class__)
        return self._perform(command) if quick is None else quick(command)

    def _perform(self, command: AnyCommand) -> Any:
        match command:
            case Invoke():
                return self._invoke(command)
            case Observe():
                return self._observe(command)
            case Write():
                return self._write(command)
            case Accept() | ReadTask() | ReadEvents() | ReadSnapshot() | Renew() | TakeOver() | Forget():
                return self._remember(command)
            case Spend():
                return self._spend(command)
            case Authenticate():
                return self.authenticate(command)
            case Together():
                return self._together(command)
            case Background():
                return self._background(command)
            case Compress():
                return deflate(command.body, command.coding)
            case Interrupt():
                return self._interrupt(command)
            case Pause():
                return self._pause(command.seconds)
            case ReadMetrics():
                return self._metrics()
            case ReadState():
                return self._read_state()
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

    def _remember(self, command: StoreCommand) -> Any:
        if not self._in_memory:
            try:
                return self._asked(self._stores.state, command)
            except Exception as error:
                if self._wound_up:  # the store may be closed by now, which a thread that goes on can't know
                    raise self._shutting_down() from error
                raise self._unavailable(command, error) from error
        with self._lock:
            return self._asked(self._stores.state, command)

    def _pause(self, seconds: float) -> None:
        if self._wound_up:  # nobody can cut this thread off, and Python waits for it before it ends
            raise self._shutting_down()
        time.sleep(seconds)

    @staticmethod
    def _shutting_down() -> StateUnavailable:
        return StateUnavailable("the server is shutting down", facts={"retry_after": 1})

    def _write(self, command: Write) -> bool:
        written: bool = self._remember(command)
        if written and command.change.events:
            self._tell_followers(command.change.record.id)
        return written

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        """What a store in memory says, asked in turn."""
        with self._lock:
            answer: Accepted = self._stores.state.accept(record, nonce, events, now=now)
            return answer

    def begin(self, task: Started, nonce: NonceClaim | None) -> Accepted:
        """The same of a task that runs at once."""
        with self._lock:
            answer: Accepted = self._stores.state.begin(task, nonce)
            return answer

    def end(self, job: Job, envelope: dict[str, Any], reply: bytes, *, now: float, expires: float) -> bool:
        """Completes a task in memory, in turn; whoever follows it hears of that."""
        with self._lock:
            ended: bool = self._stores.state.end(job, envelope, reply, now=now, expires=expires)
        if ended:
            self._tell_followers(job.task_id)
        return ended

    def write(self, change: Change) -> bool:
        """Writes to a store in memory, in turn; whoever follows the task hears of it."""
        with self._lock:
            written: bool = self._stores.state.write(change)
        if written and change.events:
            self._tell_followers(change.record.id)
        return written

    def _tell_followers(self, task_id: str) -> None:
        if self._followers:
            with self._news:
                if task_id in self._followers:
                    self._told[task_id] += 1
                    self._news.notify_all()

    def charge(self, caller: str, cost: int) -> Any:
        with self._lock:
            return super().charge(caller, cost)

    def _spend(self, command: Spend) -> Any:
        with self._lock:
            return super()._spend(command)

    def _together(self, command: Together) -> tuple[Any, ...]:
        def tell(index: int) -> Any:
            try:
                return drive(command.stories[index], self.perform)
            except AsapError as error:
                return error

        return tuple(side_by_side(tell, len(command.stories), command.most, self.submit))

    def submit(self, work: Callable[[], None]) -> None:
        """Has another thread help with a batch, if there is one."""
        with self._lock:
            if self._helpers is None:
                self._helpers = ThreadPoolExecutor(max(1, self._served.limits.handler_threads), "asap-together")
        with suppress(RuntimeError):  # it is wound up by now
            self._helpers.submit(work)

    def perform_for(self, run: Run, command: AnyCommand) -> Any:
        """Performs what a handler asks of its task. What it tells waits for whoever follows the task.

        So a slow reader slows the handler of what it reads, and nothing else: not how the task ends, nor anybody's
        cancel, nor the news of its subtasks.
        """
        answer = self.perform(command)
        if isinstance(command, Write) and answer and command.change.events and self._followers:
            task_id, number = command.change.record.id, command.change.events[-1].number
            with self._news:
                self._news.wait_for(lambda: self._wound_up or run.interrupted or not self._is_ahead(task_id, number))
        return answer

    def _is_ahead(self, task_id: str, number: int) -> bool:
        seen = min(self._followers.get(task_id, {}).values(), default=number)
        return number - seen > self._served.limits.stream_events

    def _interrupt(self, command: Interrupt) -> bool:
        found = super()._interrupt(command)
        self.let_all_look()
        return found

    def close(self) -> None:
        super().close()
        self.let_all_look()

    def let_all_look(self) -> None:
        with self._news:
            self._news.notify_all()

    def send_readers_away(self) -> None:
        """The grace is over: no stream goes on, and no handler waits for one."""
        self._wound_up = True
        self.let_all_look()

    def _watch(self, command: Watch, heard: int, *, is_local: bool, is_gone: Callable[[], bool]) -> bool:
        """Waits for more than was heard; answers whether it may come: not where another worker is to go on."""

        def is_over() -> bool:
            return self._wound_up or is_gone() or not (is_local or self._is_open())

        with self._news:
            self._news.wait_for(lambda: is_over() or self._told[command.task_id] > heard, command.seconds)
        return not is_over()

    def tell_stream(
        self, steps: Steps[HttpResponse | None], exchange: Exchange, is_gone: Callable[[], bool]
    ) -> Iterator[HttpResponse | bytes]:
        """Tells a stream's story: gives its parts, the head first, or the whole answer alone.

        When the server shuts down it ends, and its reader finds the task again at another worker; while the task
        runs here it is told to its end, within the grace.
        """
        me, task_id, heard, is_local = id(steps), "", 0, False
        answer: Any = None
        tell = steps.send
        try:
            while True:
                try:
                    command = tell(answer)
                except StopIteration as finish:
                    if finish.value is not None:
                        yield finish.value
                    return
                if isinstance(command, Emit):
                    if isinstance(command.part, bytes):
                        exchange.said(command.part)
                    yield command.part
                    answer, tell = None, steps.send
                    continue
                if isinstance(command, Watch):
                    if not self._watch(command, heard, is_local=is_local, is_gone=is_gone):
                        return
                    answer, tell = None, steps.send
                    continue
                if isinstance(command, ReadEvents):
                    with self._news:
                        task_id = command.task_id
                        self._followers.setdefault(task_id, {})[me] = command.after
                        # What is written from now on is more: it may come while the store is still being read.
                        heard = self._told.setdefault(task_id, 0)
                        self._news.notify_all()
                try:
                    answer, tell = self.perform(command), steps.send
                except BaseException as error:  # noqa: BLE001  (the story ends with it)
                    answer, tell = error, steps.throw
                if isinstance(command, ReadTask):
                    is_local = getattr(answer, "owner", "") == self._served.role.worker
        finally:
            with self._news:
                followers = self._followers.get(task_id, {})
                followers.pop(me, None)
                if not followers:
                    self._followers.pop(task_id, None)
                    self._told.pop(task_id, None)
                self._news.notify_all()

    def _background(self, command: Background) -> Placed:
        with self._lock:
            if not self._is_open() or self._background_count >= self._served.limits.handler_threads:
                return "full"
            self._background_count += 1
            if self._threads is None:
                self._threads = ThreadPoolExecutor(self._served.limits.handler_threads, "asap-background")
            self._threads.submit(self._alone, command.story)
        return "started"

    def _alone(self, story: Steps[Any]) -> None:
        try:
            drive(story, self.perform)
        except Exception:
            log.exception("a task in the background was lost")
        finally:
            with self._lock:
                self._background_count -= 1

    def keep(self) -> None:
        """Cares for the store once."""
        try:
            drive(self._served.keeper.beat(), self.perform)
        except StateUnavailable:
            pass  # it was told, and is tried again in a moment
        except Exception:
            log.exception("the store could not be cared for; tried again in a moment")

    def feel(self, due: float) -> None:
        """Looks how late things are."""
        try:
            drive(self._served.keeper.feel(due), self.perform)
        except Exception:
            log.exception("how late things are could not be felt; tried again in a moment")

    def wind_up(self, seconds: float) -> None:
        """Lets what runs in the background end; a thread can't be cut off, so what still runs keeps its lease."""
        until = time.monotonic() + seconds
        while self._background_count and time.monotonic() < until:
            time.sleep(0.02)
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
        if self._helpers is not None:
            self._helpers.shutdown(wait=False)
        self.send_readers_away()

    def _read_state(self) -> ServerState:
        # Every request needs a thread here, so with all of them taken no work is.
        return self._state(ready=self._is_open() and self._active < self._served.limits.handler_threads)

    def authenticate(self, command: Authenticate) -> Identity | None:
        """Who calls."""
        for scheme in self._served.auth:
            try:
                if self._keys_wanted(scheme, command) is not None:
                    self._fetch_keys(scheme, command)
                known = identity_of(scheme.verify(command.head, command.now))
            except Exception as error:  # noqa: BLE001  (a validator may raise anything)
                log_nobody_in(command, scheme, error)
                continue
            if known is not None:
                return known
        return None

    def _fetch_keys(self, scheme: Authenticator, command: Authenticate) -> None:
        """Fetches the keys that a scheme asks for, once for all that ask at the same time."""
        seconds = self._served.limits.auth_seconds
        if not self._fetching.acquire(timeout=seconds):
            return
        try:
            if (url := self._keys_wanted(scheme, command)) is None:
                return
            base_url, request = keys_request(url)
            targets = targets_for(base_url, self._served.targets)
            transport = PooledTransport(base_url, self._served.limits, targets=targets)
            answer: HttpResponse | TransportFailure
            try:
                answer = transport.send(request, seconds)
            except AsapError as error:
                answer = TransportFailure("broken", error.message)
            finally:
                transport.close()
            self._learn(scheme, url, answer, command)
        finally:
            self._fetching.release()

    def _invoke(self, command: Invoke) -> Outcome:
        """Runs the handler here and now. A thread can't be cut off, so `command.timeout` is not enforced."""
        started, job, run = self._elapsed(), command.job, Run(command.task)
        task_id = job.task_id
        with self._lock:
            is_full = self._active >= self._served.limits.handler_threads
            if not is_full:
                self._active += 1
                self._runs[task_id] = run
        if is_full:
            return self._ended(command, Saturated(), started)
        outcome: Outcome
        try:
            handler = self._served.handlers[job.payload.__class__, command.name]
            task = Task(job, run, self, started + command.timeout)
            outcome = handler.returned(Returned(handler.function(*handler.arguments(task))))
        except InputNeeded as asked:
            outcome = Suspended(asked.question)
        except TaskCancelled:
            outcome = Cancelled()
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a handler may raise anything)
            outcome = log_raised(command, error)
        finally:
            with self._lock:
                self._active -= 1
                if self._runs.get(task_id) is run:  # a task lost and taken over again may have two for a moment
                    del self._runs[task_id]
        return self._ended(command, outcome, started)
