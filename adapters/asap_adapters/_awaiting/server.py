"""The server's commands, performed on the async fronts: one short method for each."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, assert_never

import anyio
import anyio.to_thread

from asap_proto.http import HttpResponse
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
    ServerState,
    Spend,
    TimedOut,
    Together,
    Transmit,
)
from asap_proto.rules.identity import Identity
from asap_proto.rules.quota import Allowed

from .._shared.agents import Served, bearer_token, identity_of
from .._shared.logs import log_raised
from .._shared.skills import Handler
from .drive import drive_together
from .tasks import Task, ThreadTask

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Performer", "Within"]

#: Awaits for at most so many seconds.
Within = Callable[[float, Coroutine[Any, Any, Any]], Awaitable[Returned | TimedOut]]

log = logging.getLogger("asap_adapters.server")


class Performer:
    """Performs what one served agent's stories ask."""

    def __init__(self, agent: Agent, served: Served, within: Within) -> None:
        self._agent = agent
        self._within = within
        self._served = served
        self._stores = served.stores
        self._free_threads = threading.BoundedSemaphore(served.limits.handler_threads)
        self._active = 0
        self._limiter: anyio.CapacityLimiter | None = None

    async def perform(self, command: AnyCommand) -> Any:
        match command:
            case Invoke():
                return await self._invoke(command)
            case Observe():
                return self._served.observe(command.event)
            case ClaimNonce():
                return self._stores.nonces.claim(command.sender, command.nonce, now=command.now, until=command.until)
            case OpenSlot():
                return self._stores.slots.open(command.key, command.digest, now=command.now, until=command.until)
            case KeepReply():
                return self._keep(command)
            case Spend():
                return self._spend(command)
            case Authenticate():
                return await self._authenticate(command)
            case Together():
                return await drive_together(command, self.perform)
            case ReadMetrics():
                return self._metrics()
            case ReadState():
                return ServerState(ready=True, started=self._served.started, active=self._active)
            case Transmit() | Pause():
                raise TypeError(f"a server is never asked to {type(command).__name__}")
            case _:
                assert_never(command)

    def _keep(self, command: KeepReply) -> None:
        if command.reply is None:
            self._stores.slots.free(command.key)
        else:
            self._stores.slots.keep(command.key, command.reply, until=command.until)

    def _spend(self, command: Spend) -> Any:
        quotas = self._stores.quotas
        return quotas.spend(command.caller, command.cost, now=command.now) if quotas else Allowed()

    def _metrics(self) -> HttpResponse:
        return self._served.metrics.response()

    async def _authenticate(self, command: Authenticate) -> Identity | None:
        token, validator = bearer_token(command.authorization), self._served.token_validator
        if token is None or validator is None:
            return None
        try:
            answer = validator(token)
            return identity_of(await answer if inspect.isawaitable(answer) else answer)
        except Exception:
            # A validator that fails lets nobody in; the caller is not told why.
            log.exception("the token validator failed")
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
