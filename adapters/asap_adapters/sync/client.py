"""The client of the sync front."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.model import Envelope, Manifest, TaskResponse
from asap_proto.roles import AnyCommand, ClientRole, Job, Pause, Steps, Together, Transmit
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.retry import RetryRule
from asap_proto.sources import Sources

from .._shared.sources import SYSTEM
from .._shared.tasks import compose_progress, compose_request, response_of
from .._shared.urls import check_base_url
from .drive import drive, drive_together
from .httpx_transport import HttpxTransport, Transport

__all__ = ["Client", "HttpxTransport", "Transport"]

R = TypeVar("R")


class Client:
    """Talks to one peer, as the agent `me`.

    Parameters:
        url: the peer's base URL; https, or http on this machine (elsewhere only with `allow_http`).
        me: the URN that envelopes are sent from.
        peer: the peer's URN; without it the peer's manifest is asked, once.
        token: sent as a bearer token.
        timeout: seconds for each try; `retry` says how many tries, `breaker` when to stop trying.
        transport: how to reach the peer, instead of httpx.

    Every call raises `AsapError`: `RemoteFault` for what the peer did or reports, `Misuse` for our own.
    """

    def __init__(
        self,
        url: str,
        *,
        me: str,
        peer: str | None = None,
        token: str | None = None,
        timeout: float = 60.0,
        limits: Limits = Limits(),  # noqa: B008  (frozen)
        retry: RetryRule = RetryRule(),  # noqa: B008  (frozen)
        breaker: Breaker | None = None,
        nonces: bool = True,
        allow_http: bool = False,
        transport: Transport | None = None,
        sources: Sources = SYSTEM,
    ) -> None:
        base_url = check_base_url(url, allow_http=allow_http)
        self._peer = peer
        self._role = ClientRole(
            me,
            sources,
            token=token,
            limits=limits,
            retry=retry,
            breaker=breaker,
            nonces=nonces,
            timeout=timeout,
        )
        self._turn = threading.Lock()
        self._transport = transport or HttpxTransport(base_url, limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives back every connection."""
        self._transport.close()

    def request(
        self,
        skill: str,
        input: dict[str, Any],
        *,
        config: dict[str, Any] | None = None,
        conversation_id: str | None = None,
        trace_id: str | None = None,
        within: Job | None = None,
    ) -> TaskResponse:
        """Hands over a task and waits for its end; `within` is the task that this one is a part of."""
        envelope = compose_request(
            self._role,
            self._peer_urn(),
            skill,
            input,
            config=config,
            conversation_id=conversation_id,
            trace_id=trace_id,
            within=within,
        )
        return response_of(self.send(envelope))

    def report(self, job: Job, percent: float, message: str | None = None) -> Envelope:
        """Tells the peer how far the task has come that it asked for."""
        return self.send(compose_progress(self._role, job, percent, message))

    def send(self, envelope: Envelope) -> Envelope:
        """Sends an envelope as it is; answers the reply that fits it."""
        return self._tell(self._role.send(envelope))

    def send_batch(self, envelopes: Sequence[Envelope]) -> list[Envelope | AsapError]:
        """Sends many; answers in order, for each its reply or its error."""
        return self._tell(self._role.send_batch(envelopes))

    def manifest(self) -> Manifest:
        """What the peer publishes; asked again after five minutes."""
        return self._tell(self._role.discover())

    @property
    def role(self) -> ClientRole:
        """The story teller, for those who compose envelopes themselves."""
        return self._role

    def _peer_urn(self) -> str:
        if self._peer is None:
            self._peer = self.manifest().id
        return self._peer

    def _tell(self, steps: Steps[R]) -> R:
        return drive(steps, self._perform, self._turn)

    def _perform(self, command: AnyCommand) -> Any:
        match command:
            case Transmit():
                return self._transmit(command)
            case Pause():
                return time.sleep(command.seconds)
            case Together():
                return drive_together(command, self._perform, self._turn)
            case _:
                raise TypeError(f"a client is never asked to {type(command).__name__}")

    def _transmit(self, command: Transmit) -> HttpResponse | TransportFailure:
        return self._transport.send(command.request, command.timeout)
