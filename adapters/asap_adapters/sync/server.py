"""The server's commands, performed in the thread that asks: one short method for each."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, assert_never

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
    Together,
    Transmit,
)
from asap_proto.rules.identity import Identity
from asap_proto.rules.quota import Allowed

from .._shared.agents import Served, bearer_token, identity_of
from .._shared.logs import log_raised
from .drive import drive_together
from .tasks import Task

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Performer"]

log = logging.getLogger("asap_adapters.server")


class Performer:
    """Performs what one served agent's stories ask; any number of threads at once."""

    def __init__(self, agent: Agent, served: Served) -> None:
        self._agent = agent
        self._served = served
        self._stores = served.stores
        # One lock for all stores: each call is a few microseconds.
        self._lock = threading.Lock()
        self._free_threads = threading.BoundedSemaphore(served.limits.handler_threads)
        self._active = 0

    def perform(self, command: AnyCommand) -> Any:
        match command:
            case Invoke():
                return self._invoke(command)
            case Observe():
                return self._served.observe(command.event)
            case ClaimNonce():
                return self._claim(command)
            case OpenSlot():
                return self._open(command)
            case KeepReply():
                return self._keep(command)
            case Spend():
                return self._spend(command)
            case Authenticate():
                return self._authenticate(command)
            case Together():
                return drive_together(command, self.perform)
            case ReadMetrics():
                return self._metrics()
            case ReadState():
                return ServerState(ready=True, started=self._served.started, active=self._active)
            case Transmit() | Pause():
                raise TypeError(f"a server is never asked to {type(command).__name__}")
            case _:
                assert_never(command)

    def _claim(self, command: ClaimNonce) -> str:
        with self._lock:
            return self._stores.nonces.claim(command.sender, command.nonce, now=command.now, until=command.until)

    def _open(self, command: OpenSlot) -> Any:
        with self._lock:
            return self._stores.slots.open(command.key, command.digest, now=command.now, until=command.until)

    def _keep(self, command: KeepReply) -> None:
        with self._lock:
            if command.reply is None:
                self._stores.slots.free(command.key)
            else:
                self._stores.slots.keep(command.key, command.reply, until=command.until)

    def _spend(self, command: Spend) -> Any:
        quotas = self._stores.quotas
        if quotas is None:
            return Allowed()
        with self._lock:
            return quotas.spend(command.caller, command.cost, now=command.now)

    def _metrics(self) -> HttpResponse:
        return self._served.metrics.response()

    def _authenticate(self, command: Authenticate) -> Identity | None:
        token, validator = bearer_token(command.authorization), self._served.token_validator
        if token is None or validator is None:
            return None
        try:
            return identity_of(validator(token))
        except Exception:
            # A validator that fails lets nobody in; the caller is not told why.
            log.exception("the token validator failed")
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
