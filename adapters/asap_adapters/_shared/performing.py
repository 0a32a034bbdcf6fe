"""The part of a performer that has no colour: the stores, the counters, whether work is taken."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, assert_never

from asap_proto.errors import AsapError, StateUnavailable
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.roles import (
    Accept,
    AnyCommand,
    Authenticate,
    Forget,
    Interrupt,
    Invoke,
    Observe,
    Outcome,
    ReadEvents,
    ReadSnapshot,
    ReadTask,
    Renew,
    Returned,
    Saturated,
    ServerState,
    Spend,
    StoreCommand,
    TakeOver,
    TaskRole,
    Write,
    refusal,
)
from asap_proto.rules.quota import Allowed

from .agents import Served
from .logs import log_ours, new_error_id, safe_logger
from .schemes import Authenticator, secrets_of
from .urls import shown

if TYPE_CHECKING:
    from .agents import BaseAgent

__all__ = ["BasePerformer", "Perform", "Run", "Wait", "log_nobody_in", "performed_first"]

log = safe_logger("asap_adapters.server")

#: Gives a command's answer, or where the front awaits, perhaps a coroutine of it.
Perform = Callable[[AnyCommand], Any]


class Wait:
    """Something that is waited for: how to cut it off, and whether that was done."""

    __slots__ = ("cut", "interrupted", "waits")

    def __init__(self, waits: Callable[[Any], None] | None = None) -> None:
        self.cut: Callable[[], None] | None = None
        #: Called with it when it first waits, for whoever wants to know.
        self.waits = waits
        self.interrupted = False

    def interrupt(self) -> None:
        """Cuts it off where it waits."""
        if not self.interrupted:
            self.interrupted = True
            if self.cut is not None:
                self.cut()


class Run(Wait):
    """A handler that runs, of a task that may be cancelled; one that does not wait is told by its next call."""

    __slots__ = ("caller", "role")

    def __init__(self, role: TaskRole, caller: Any = None, waits: Callable[[Any], None] | None = None) -> None:
        self.role = role
        #: Whoever waits for it.
        self.caller = caller
        self.cut = None
        self.waits = waits
        self.interrupted = False

    def interrupt(self) -> None:
        self.role.interrupted = True
        super().interrupt()


class BasePerformer:
    """Performs what one served agent's stories ask, as far as nothing waits. A front that has threads adds the lock."""

    def __init__(self, served: Served, agent: BaseAgent) -> None:
        self._served = served
        self._stores = served.stores
        self.clock = served.clock
        self._elapsed = served.clock.elapsed
        self._quota = served.stores.quotas.get("")
        self._count_run = served.metrics.count_handler
        self._active = 0
        self._runs: dict[str, Run] = {}
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

    @staticmethod
    def _asked(state: Any, command: StoreCommand) -> Any:
        """What a store is asked, by its own method; where that is a coroutine, its answer has to be awaited."""
        match command:
            case Accept():
                return state.accept(command.record, command.nonce, command.events, now=command.now)
            case ReadTask():
                return state.read(command.task_id, now=command.now)
            case Write():
                return state.write(command.change)
            case ReadEvents():
                return state.events(command.task_id, after=command.after, most=command.most)
            case ReadSnapshot():
                return state.snapshot(command.task_id, command.which)
            case Renew():
                return state.renew(command.owner, until=command.until)
            case TakeOver():
                return state.take_over(command.owner, now=command.now, until=command.until, most=command.most)
            case Forget():
                return state.forget(now=command.now)
            case _:
                assert_never(command)

    def ours(self, error: Exception) -> HttpResponse:
        """The answer where the fault is our own; our log has the rest."""
        return refusal(log_ours(error, self._owner.settings.sources))

    def _unavailable(self, command: StoreCommand, error: Exception) -> StateUnavailable:
        """What a story is told of a store that fails, whatever it raises; our log has the rest."""
        id = new_error_id(self._owner.settings.sources)
        log.error("the store failed to %s: %s: %s [%s]", type(command).__name__, type(error).__name__, error, id)
        log.debug("the store failed", exc_info=error)
        return StateUnavailable("the agent can't remember anything now", facts={"retry_after": 1, "error_id": id})

    def charge(self, caller: str, cost: int) -> Any:
        """Charges a caller within the agent's own quota, which there is: `Allowed` or `RetryAfter`."""
        assert self._quota is not None
        return self._quota.spend(caller, cost, now=self._elapsed())

    def _spend(self, command: Spend) -> Any:
        quotas = self._stores.quotas.get(command.skill)
        return quotas.spend(command.caller, command.cost, now=command.now) if quotas else Allowed()

    def _interrupt(self, command: Interrupt) -> bool:
        run = self._runs.get(command.task_id)
        if run is not None:
            run.interrupt()
        return run is not None

    def _observe(self, command: Observe) -> None:
        self._served.observe(command.event)

    def _metrics(self) -> HttpResponse:
        return self._served.metrics.response()

    def _state(self, *, ready: bool) -> ServerState:
        return ServerState(ready=ready, started=self._served.started, active=self._active)

    @staticmethod
    def _keys_wanted(scheme: Any, command: Authenticate) -> str | None:
        """Where to fetch keys from before the scheme is asked, if it has any to be fetched."""
        if (wanted := getattr(scheme, "wanted", None)) is None:
            return None
        url: str | None = wanted(command.head, command.now)
        return url

    @staticmethod
    def _learn(scheme: Any, url: str, answer: HttpResponse | TransportFailure, command: Authenticate) -> None:
        """Hands on the keys that came. Without new ones, those that are there go on to count."""
        is_good = isinstance(answer, HttpResponse) and answer.status == 200
        try:
            scheme.learn(answer.body if isinstance(answer, HttpResponse) and is_good else None, command.now)
        except AsapError as error:
            log.error("the keys can't be used: %s", error.message)
            return
        if not is_good:
            why = f"HTTP status {answer.status}" if isinstance(answer, HttpResponse) else answer.detail
            log.error("the keys at %s can't be fetched: %s", shown(url), why)

    def _ended(self, command: Invoke, outcome: Outcome, started: float) -> Outcome:
        """Counts what became of a handler, and hands it on."""
        if isinstance(outcome, Saturated):
            self._served.metrics.count_saturated()
        else:
            good = isinstance(outcome, Returned)
            self._count_run(command.job.envelope.payload_type, self._elapsed() - started, good)
        return outcome


def performed_first(first: Callable[[], Any], then: Perform) -> Perform:
    """Performs the first command of a story so, as it was begun before, and all others as ever."""
    begun: Callable[[], Any] | None = first

    def perform(command: AnyCommand) -> Any:
        nonlocal begun
        if begun is None:
            return then(command)
        answer, begun = begun, None
        return answer()

    return perform


def log_nobody_in(command: Authenticate, scheme: Authenticator, error: Exception) -> None:
    """A scheme that fails lets nobody in; the caller is not told why."""
    # Whatever it says of the credentials, it may well say them.
    secrets = secrets_of(command.head)
    log.error("the validator failed (%s)", scheme.scheme, exc_info=error, extra={"secrets": secrets})
