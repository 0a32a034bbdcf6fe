"""The part of a performer that has no colour: the stores, the counters, whether work is taken."""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any, assert_never

from asap_proto.http import HttpResponse
from asap_proto.roles import (
    Authenticate,
    ClaimNonce,
    Invoke,
    KeepReply,
    Observe,
    OpenSlot,
    Outcome,
    Returned,
    Saturated,
    ServerState,
    Spend,
)
from asap_proto.rules.quota import Allowed

from .agents import Served, bearer_token

if TYPE_CHECKING:
    from .agents import BaseAgent

__all__ = ["BasePerformer", "Remembering", "letting_nobody_in"]

log = logging.getLogger("asap_adapters.server")

#: What the stores answer.
Remembering = ClaimNonce | OpenSlot | KeepReply | Spend


class BasePerformer:
    """Performs what one served agent's stories ask, as far as nothing waits. A front that has threads adds the lock."""

    def __init__(self, served: Served, agent: BaseAgent) -> None:
        self._served = served
        self._stores = served.stores
        self._clock = served.clock
        self._free_threads = threading.BoundedSemaphore(served.limits.handler_threads)
        self._active = 0
        self._owner = agent
        self.open()

    def open(self) -> None:
        """Work is taken from now on."""
        self._closings: int | None = self._owner.closings

    def close(self) -> None:
        """The server shuts down: who asks is told that no work is taken."""
        self._closings = None

    def _is_open(self) -> bool:
        return self._closings == self._owner.closings

    def _remember(self, command: Remembering) -> Any:
        match command:
            case ClaimNonce():
                return self._stores.nonces.claim(command.sender, command.nonce, now=command.now, until=command.until)
            case OpenSlot():
                return self._stores.slots.open(command.key, command.digest, now=command.now, until=command.until)
            case KeepReply(reply=None):
                return self._stores.slots.free(command.key)
            case KeepReply():
                return self._stores.slots.keep(command.key, command.reply, until=command.until)  # type: ignore[arg-type]
            case Spend():
                quotas = self._stores.quotas
                return quotas.spend(command.caller, command.cost, now=command.now) if quotas else Allowed()
            case _:
                assert_never(command)

    def _observe(self, command: Observe) -> None:
        self._served.observe(command.event)

    def _metrics(self) -> HttpResponse:
        return self._served.metrics.response()

    def _state(self, *, ready: bool) -> ServerState:
        return ServerState(ready=ready, started=self._served.started, active=self._active)

    def _vouched(self, command: Authenticate) -> Any:
        """What the token validator answers; on the async fronts that may still have to be awaited."""
        token, validator = bearer_token(command.authorization), self._served.token_validator
        return None if token is None or validator is None else validator(token)

    def _ended(self, command: Invoke, outcome: Outcome, started: float) -> Outcome:
        """Counts what became of a handler, and hands it on."""
        metrics = self._served.metrics
        if isinstance(outcome, Saturated):
            metrics.count_saturated()
        else:
            seconds = self._clock.elapsed() - started
            metrics.count_handler(command.job.envelope.payload_type, seconds, good=isinstance(outcome, Returned))
        return outcome


class letting_nobody_in:  # noqa: N801  (it is used as a function)
    """Around a token validator: one that fails lets nobody in; the caller is not told why."""

    def __enter__(self) -> None:
        """There is nothing to prepare."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, Exception):
            log.error("the token validator failed", exc_info=error)
            return True
        return False
