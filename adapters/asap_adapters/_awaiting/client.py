"""The client of the async fronts."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import anyio

from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.model import Envelope, Manifest, TaskResponse
from asap_proto.roles import AnyCommand, Job, Pause, Steps, Together, Transmit

from .._shared.clients import ONCE, BaseClient, ClientOptions
from .._shared.tasks import compose_progress, compose_request, response_of
from .drive import drive, drive_together
from .httpx_transport import HttpxTransport, Transport

__all__ = ["Client"]

R = TypeVar("R")


class Client(BaseClient):
    """Talks to one peer, as the agent `me`; the options are those of `ClientOptions`."""

    def __init__(
        self, url: str, *, me: str, transport: Transport | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        super().__init__(url, me, options)
        self._transport = transport or HttpxTransport(self._base_url, self._limits)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Gives back every connection."""
        await self._transport.aclose()

    async def request(
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
            await self._peer_urn(),
            skill,
            input,
            config=config,
            conversation_id=conversation_id,
            trace_id=trace_id,
            within=within,
        )
        return response_of(await self.send(envelope))

    async def report(self, job: Job, percent: float, message: str | None = None) -> Envelope:
        """Tells the peer, once, how far the task has come that it asked for."""
        timeout = min(self._timeout, self._limits.progress_seconds)
        steps = self._role.send(compose_progress(self._role, job, percent, message), retry=ONCE, timeout=timeout)
        return await self._tell(steps)

    async def send(self, envelope: Envelope) -> Envelope:
        """Sends an envelope as it is; answers the reply that fits it."""
        return await self._tell(self._role.send(envelope))

    async def send_batch(self, envelopes: Sequence[Envelope]) -> list[Envelope | AsapError]:
        """Sends many; answers in order, for each its reply or its error."""
        return await self._tell(self._role.send_batch(envelopes))

    async def manifest(self) -> Manifest:
        """What the peer publishes; asked again after five minutes."""
        return await self._tell(self._role.discover())

    async def _peer_urn(self) -> str:
        if self._peer is None:
            self._peer = (await self.manifest()).id
        return self._peer

    async def _tell(self, steps: Steps[R]) -> R:
        return await drive(steps, self._perform)

    async def _perform(self, command: AnyCommand) -> Any:
        match command:
            case Transmit():
                return await self._transmit(command)
            case Pause():
                return await anyio.sleep(command.seconds)
            case Together():
                return await drive_together(command, self._perform)
            case _:
                raise TypeError(f"a client is never asked to {type(command).__name__}")

    async def _transmit(self, command: Transmit) -> HttpResponse | TransportFailure:
        return await self._transport.send(command.request, command.timeout)
