"""The server's commands, performed in the thread that asks: one short method for each."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, assert_never

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
    Together,
    Transmit,
)
from asap_proto.rules.identity import Identity

from .._shared.agents import Served, identity_of
from .._shared.logs import log_raised
from .._shared.performing import BasePerformer, Remembering, letting_nobody_in
from .drive import drive_together
from .tasks import Task

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Performer"]


class Performer(BasePerformer):
    """Performs what one served agent's stories ask; any number of threads at once."""

    def __init__(self, agent: Agent, served: Served) -> None:
        super().__init__(served, agent)
        self._agent = agent
        # One lock for all stores: each call is a few microseconds.
        self._lock = threading.Lock()

    def perform(self, command: AnyCommand) -> Any:
        match command:
            case Invoke():
                started = self._clock.elapsed()
                return self._ended(command, self._invoke(command), started)
            case Observe():
                return self._observe(command)
            case ClaimNonce() | OpenSlot() | KeepReply() | Spend():
                return self._remember(command)
            case Authenticate():
                return self._authenticate(command)
            case Together():
                return drive_together(command, self.perform)
            case ReadMetrics():
                return self._metrics()
            case ReadState():
                return self._read_state()
            case Transmit() | Pause():
                raise TypeError(f"a server is never asked to {type(command).__name__}")
            case _:
                assert_never(command)

    def _remember(self, command: Remembering) -> Any:
        with self._lock:
            return super()._remember(command)

    def _read_state(self) -> ServerState:
        # Every request needs a thread here, so with all of them taken no work is.
        return self._state(ready=self._is_open() and self._active < self._served.limits.handler_threads)

    def _authenticate(self, command: Authenticate) -> Identity | None:
        with letting_nobody_in():
            return identity_of(self._vouched(command))
        return None

    def _invoke(self, command: Invoke) -> Outcome:
        """Runs the handler here and now. A thread can't be cut off, so `command.timeout` is not enforced."""
        handler = self._served.handler(command.name, command.job)
        if not self._free_threads.acquire(blocking=False):
            return Saturated()
        with self._lock:
            self._active += 1
        try:
            value = handler.function(*handler.arguments(Task(command.job, self._agent)))
            return Returned(handler.signature.write(value))
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a handler may raise anything)
            return Raised(log_raised(command, error))
        finally:
            with self._lock:
                self._active -= 1
            self._free_threads.release()
