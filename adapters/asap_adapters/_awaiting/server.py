"""The server's commands, performed on the async fronts: one short method for each."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

import anyio
import anyio.to_thread

from asap_proto.roles import (
    AnyCommand,
    Authenticate,
    ClaimNonce,
    Invoke,
    KeepReply,
    Observe,
    OpenSlot,
    Outcome,
    Pause,
    Raised,
    ReadMetrics,
    ReadState,
    Returned,
    Saturated,
    Spend,
    TimedOut,
    Together,
    Transmit,
)
from asap_proto.rules.identity import Identity

from .._shared.agents import Served, identity_of
from .._shared.logs import log_raised
from .._shared.performing import BasePerformer, letting_nobody_in
from .._shared.skills import Handler
from .drive import drive_together
from .tasks import Task, ThreadTask

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Performer", "Within"]

#: Awaits for at most so many seconds.
Within = Callable[[float, Coroutine[Any, Any, Any]], Awaitable[Returned | TimedOut]]


class Performer(BasePerformer):
    """Performs what one served agent's stories ask."""

    def __init__(self, agent: Agent, served: Served, within: Within) -> None:
        super().__init__(served, agent)
        self._agent = agent
        self._within = within
        self._limiter: anyio.CapacityLimiter | None = None

    async def perform(self, command: AnyCommand) -> Any:
        match command:
            case Invoke():
                started = self._clock.elapsed()
                return self._ended(command, await self._invoke(command), started)
            case Observe():
                return self._observe(command)
            case ClaimNonce() | OpenSlot() | KeepReply() | Spend():
                return self._remember(command)
            case Authenticate():
                return await self._authenticate(command)
            case Together():
                return await drive_together(command, self.perform)
            case ReadMetrics():
                return self._metrics()
            case ReadState():
                return self._state(ready=self._is_open())
            case Transmit() | Pause():
                raise TypeError(f"a server is never asked to {type(command).__name__}")
            case _:
                assert_never(command)

    async def _authenticate(self, command: Authenticate) -> Identity | None:
        with letting_nobody_in():
            answer = self._vouched(command)
            if inspect.isawaitable(answer):
                with anyio.fail_after(self._served.limits.auth_seconds):
                    answer = await answer
            return identity_of(answer)
        return None

    async def _invoke(self, command: Invoke) -> Outcome:
        handler = self._served.handler(command.name, command.job)
        task = Task(command.job, self._agent)
        self._active += 1
        try:
            if handler.colour == "async":
                running = handler.function(*handler.arguments(task))
            elif self._free_threads.acquire(blocking=False):
                running = self._in_thread(handler, ThreadTask(task))
            else:
                return Saturated()
            outcome = await self._within(command.timeout, running)
            return Returned(handler.signature.write(outcome.value)) if isinstance(outcome, Returned) else outcome
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a handler may raise anything)
            return Raised(log_raised(command, error))
        finally:
            self._active -= 1

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
