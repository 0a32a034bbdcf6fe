"""The client of the sync front."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.model import Envelope, Manifest, TaskResponse
from asap_proto.roles import AnyCommand, Job, Pause, Steps, Together, Transmit

from .._shared.clients import ONCE, BaseClient, ClientOptions
from .._shared.tasks import compose_progress, compose_request, response_of
from .drive import drive, drive_together
from .httpx_transport import HttpxTransport, Transport

__all__ = ["Client", "HttpxTransport", "Transport"]

R = TypeVar("R")


class Client(BaseClient):
    """Talks to one peer, as the agent `me`; the options are those of `ClientOptions`."""

    def __init__(
        self, url: str, *, me: str, transport: Transport | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        super().__init__(url, me, options)
        self._turn = threading.Lock()
        self._transport = transport or HttpxTransport(self._base_url, self._limits)

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
        """Tells the peer, once, how far the task has come that it asked for."""
        timeout = min(self._timeout, self._limits.progress_seconds)
        steps = self._role.send(compose_progress(self._role, job, percent, message), retry=ONCE, timeout=timeout)
        return self._tell(steps)

    def send(self, envelope: Envelope) -> Envelope:
        """Sends an envelope as it is; answers the reply that fits it."""
        return self._tell(self._role.send(envelope))

    def send_batch(self, envelopes: Sequence[Envelope]) -> list[Envelope | AsapError]:
        """Sends many; answers in order, for each its reply or its error."""
        return self._tell(self._role.send_batch(envelopes))

    def manifest(self) -> Manifest:
        """What the peer publishes; asked again after five minutes."""
        return self._tell(self._role.discover())

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
