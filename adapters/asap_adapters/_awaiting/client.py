"""The client of the async fronts."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import anyio
from anyio import to_thread

from asap_proto.errors import AsapError, PeerTimedOut
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.model import Envelope, Manifest, Payload, StateQuery, TaskCancel, TaskResponse
from asap_proto.roles import (
    AnyCommand,
    Compress,
    Deliver,
    Job,
    OpenStream,
    Pause,
    ReadStream,
    RecallManifest,
    SaveManifest,
    Shared,
    Steps,
    Together,
    Transmit,
)

from .._shared.clients import ONCE, BaseClient, ClientOptions
from .._shared.tasks import (
    TaskState,
    compose_message,
    compose_news,
    compose_request,
    compose_restore,
    response_of,
    state_of,
)
from .compressing import Compressor
from .drive import Perform, drive, drive_together
from .sharing import tell_once
from .transport import Connect, Transport

__all__ = ["Client"]

R = TypeVar("R")


class Client(BaseClient):
    """Talks to one peer, as the agent `me`; the options are those of `ClientOptions`."""

    #: How to reach a peer where no transport is handed in: each runtime has its own.
    _connect: Connect

    def __init__(
        self, url: str, *, me: str, transport: Transport | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        super().__init__(url, me, options, transport)
        self._compressor = Compressor(self._limits)
        self._transport = transport or self._connect(self._base_url, self._limits, targets=self._targets, tls=self._tls)

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
            self._peer or await self._peer_urn(),
            skill,
            input,
            config=config,
            conversation_id=conversation_id,
            trace_id=trace_id,
            within=within,
        )
        return response_of(await drive(self._role.send(envelope), self._perform))

    async def submit(
        self,
        skill: str,
        input: dict[str, Any],
        *,
        config: dict[str, Any] | None = None,
        conversation_id: str | None = None,
        trace_id: str | None = None,
        idempotency_key: str | None = None,
        within: Job | None = None,
    ) -> TaskResponse:
        """Hands over a task without waiting for its end: the answer is ``submitted``, `state` tells the rest.

        A peer that knows no such thing answers at the end, as `request` does.
        """
        envelope = compose_request(
            self._role,
            self._peer or await self._peer_urn(),
            skill,
            input,
            config=config,
            conversation_id=conversation_id,
            trace_id=trace_id,
            within=within,
            at_once=True,
            idempotency_key=idempotency_key,
        )
        return response_of(await self._tell(self._role.send(envelope, idempotency_key=idempotency_key)))

    @asynccontextmanager
    async def stream(
        self,
        skill: str,
        input: dict[str, Any],
        *,
        config: dict[str, Any] | None = None,
        conversation_id: str | None = None,
        trace_id: str | None = None,
        idempotency_key: str | None = None,
        within: Job | None = None,
    ) -> AsyncIterator[AsyncIterator[Payload | dict[str, Any]]]:
        """Hands over a task and follows it: gives its updates as they come, its `TaskResponse` last.

        The reference's agents tell pieces instead, each the JSON object it is: chunk, progress, final, status.
        A connection that drops is opened again from the event last seen. Raises as `request` does.
        """
        envelope = compose_request(
            self._role,
            self._peer or await self._peer_urn(),
            skill,
            input,
            config=config,
            conversation_id=conversation_id,
            trace_id=trace_id,
            within=within,
            idempotency_key=idempotency_key,
        )
        async with self._streaming(self._role.stream(envelope, idempotency_key=idempotency_key)) as payloads:
            yield payloads

    @asynccontextmanager
    async def follow(self, task_id: str) -> AsyncIterator[AsyncIterator[Payload | dict[str, Any]]]:
        """Follows a task from its first event on, as `stream` does."""
        envelope = self._role.compose(await self._peer_urn(), StateQuery(task_id))
        async with self._streaming(self._role.stream(envelope)) as payloads:
            yield payloads

    async def state(self, task_id: str, version: int | None = None) -> TaskState:
        """How a task stands, with its newest snapshot or the one of `version`; raises `TaskNotFound`."""
        return state_of(await self._ask(StateQuery(task_id, version)))

    async def wait(self, task_id: str, *, seconds: float = 600.0, every: float = 1.0) -> TaskState:
        """Asks for a task's state until it is over or waits for input; raises `PeerTimedOut`."""
        with anyio.move_on_after(seconds):
            while True:
                state = await self.state(task_id)
                if state.is_final or state.question is not None:
                    return state
                await anyio.sleep(every)
        raise PeerTimedOut(f"the task is not over after {seconds:g} s")

    async def cancel(self, task_id: str, reason: str | None = None) -> TaskResponse:
        """Stops a task; answers the status reached. Raises `TaskNotFound` or `TaskFinished`."""
        return response_of(await self._ask(TaskCancel(task_id, reason)))

    async def tell(
        self, task_id: str, input: dict[str, Any] | None = None, *, parts: Sequence[str] = ()
    ) -> TaskResponse:
        """Answers a task that waits for input; raises `IllegalMove` for one that does not."""
        to = await self._peer_urn()
        message = compose_message(self._role, to, task_id, input, parts, self._me)
        return response_of(await self.send(message))

    async def restore(self, task_id: str, snapshot_id: str, *, brought: TaskState | None = None) -> TaskResponse:
        """Has a task go on from a snapshot, as a new task where it is over.

        With `brought`, the state of another agent's task, this peer goes on with that one's work.
        """
        to = await self._peer_urn()
        return response_of(await self.send(compose_restore(self._role, to, task_id, snapshot_id, brought)))

    async def report(self, job: Job, news: Payload) -> Envelope:
        """Tells the peer, once, what has happened to the task that it asked for."""
        timeout = min(self._timeout, self._limits.progress_seconds)
        return await self._tell(self._role.send(compose_news(self._role, job, news), retry=ONCE, timeout=timeout))

    async def send(self, envelope: Envelope) -> Envelope:
        """Sends an envelope as it is; answers the reply that fits it."""
        return await self._tell(self._role.send(envelope))

    async def send_batch(self, envelopes: Sequence[Envelope]) -> list[Envelope | AsapError]:
        """Sends many; answers in order, for each its reply or its error."""
        return await self._tell(self._role.send_batch(envelopes))

    async def manifest(self) -> Manifest:
        """What the peer publishes; asked again after five minutes, or sooner where the peer says so.

        Raises `OtherAgent` or `UnverifiedManifest` for one that is not the peer's, or not signed as it has to be.
        """
        return await self._tell(self._role.discover())

    async def _ask(self, payload: Payload) -> Envelope:
        return await self.send(self._role.compose(await self._peer_urn(), payload))

    @asynccontextmanager
    async def _streaming(self, steps: Steps[None]) -> AsyncIterator[AsyncIterator[Payload | dict[str, Any]]]:
        async with AsyncExitStack() as streams:
            chunks: list[AsyncIterator[bytes | TransportFailure]] = []

            async def perform(command: AnyCommand) -> Any:
                if isinstance(command, OpenStream):
                    await streams.aclose()
                    opened = await streams.enter_async_context(self._transport.stream(command.request, command.timeout))
                    if isinstance(opened, TransportFailure):
                        return opened
                    chunks[:] = [] if opened.pieces is None else [opened.pieces]
                    return opened.head
                if isinstance(command, ReadStream):
                    return await _piece(chunks[0], command.timeout)
                return await self._perform(command)

            async with aclosing(_payloads(steps, perform)) as payloads:
                yield payloads

    async def _peer_urn(self) -> str:
        if self._peer is None:
            self._peer = (await self.manifest()).id
        return self._peer

    async def _tell(self, steps: Steps[R]) -> R:
        return await drive(steps, self._perform)

    def _perform(self, command: AnyCommand) -> Coroutine[Any, Any, Any]:
        if command.__class__ is Transmit:
            return self._transmit(command)
        match command:
            case Pause():
                return anyio.sleep(command.seconds)
            case Together():
                return drive_together(command, self._perform)
            case Compress():
                return self._compressor.compress(command)
            case Shared():
                return tell_once(self._manifests.flights, command, self._perform)
            case RecallManifest():
                return to_thread.run_sync(self._manifests.recall, command.name)
            case SaveManifest():
                return to_thread.run_sync(self._manifests.save, command.name, command.record)
            case _:
                raise TypeError(f"a client is never asked to {type(command).__name__}")

    async def _transmit(self, command: Transmit) -> HttpResponse | TransportFailure:
        return await self._transport.send(command.request, command.timeout)


async def _piece(pieces: AsyncIterator[bytes | TransportFailure], seconds: float) -> bytes | TransportFailure | None:
    try:
        with anyio.fail_after(seconds):
            return await anext(pieces, None)
    except TimeoutError:
        return TransportFailure("timed_out", f"nothing came for {seconds:g} s")


async def _payloads(steps: Steps[None], perform: Perform) -> AsyncGenerator[Payload | dict[str, Any], None]:
    """What the story delivers, as it does."""
    answer: Any = None
    tell = steps.send
    while True:
        try:
            command = tell(answer)
        except StopIteration:
            return
        if isinstance(command, Deliver):
            yield command.envelope.payload
            answer, tell = None, steps.send
            continue
        try:
            answer, tell = await perform(command), steps.send
        except Exception as error:  # noqa: BLE001  (the story ends with it)
            answer, tell = error, steps.throw
