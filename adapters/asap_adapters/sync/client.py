"""The client of the sync front."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

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
from .._shared.deflate import deflate
from .._shared.tasks import (
    TaskState,
    compose_message,
    compose_news,
    compose_request,
    compose_restore,
    response_of,
    state_of,
)
from .drive import Perform, drive, drive_together
from .pooled_transport import PooledTransport
from .sharing import tell_once
from .transport import Pieces, Transport

__all__ = ["Client"]

R = TypeVar("R")


class Client(BaseClient):
    """Talks to one peer, as the agent `me`; the options are those of `ClientOptions`."""

    def __init__(
        self, url: str, *, me: str, transport: Transport | None = None, **options: Unpack[ClientOptions]
    ) -> None:
        super().__init__(url, me, options, transport)
        self._turn = threading.Lock()
        self._transport = transport or PooledTransport(
            self._base_url, self._limits, targets=self._targets, tls=self._tls
        )

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
            self._peer or self._peer_urn(),
            skill,
            input,
            config=config,
            conversation_id=conversation_id,
            trace_id=trace_id,
            within=within,
        )
        return response_of(self.send(envelope))

    def submit(
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
            self._peer or self._peer_urn(),
            skill,
            input,
            config=config,
            conversation_id=conversation_id,
            trace_id=trace_id,
            within=within,
            at_once=True,
            idempotency_key=idempotency_key,
        )
        return response_of(self._tell(self._role.send(envelope, idempotency_key=idempotency_key)))

    @contextmanager
    def stream(
        self,
        skill: str,
        input: dict[str, Any],
        *,
        config: dict[str, Any] | None = None,
        conversation_id: str | None = None,
        trace_id: str | None = None,
        idempotency_key: str | None = None,
        within: Job | None = None,
    ) -> Iterator[Iterator[Payload | dict[str, Any]]]:
        """Hands over a task and follows it: gives its updates as they come, its `TaskResponse` last.

        The reference's agents tell pieces instead, each the JSON object it is: chunk, progress, final, status.
        A connection that drops is opened again from the event last seen. Raises as `request` does.
        """
        envelope = compose_request(
            self._role,
            self._peer or self._peer_urn(),
            skill,
            input,
            config=config,
            conversation_id=conversation_id,
            trace_id=trace_id,
            within=within,
            idempotency_key=idempotency_key,
        )
        with self._streaming(self._role.stream(envelope, idempotency_key=idempotency_key)) as payloads:
            yield payloads

    @contextmanager
    def follow(self, task_id: str) -> Iterator[Iterator[Payload | dict[str, Any]]]:
        """Follows a task from its first event on, as `stream` does."""
        envelope = self._role.compose(self._peer_urn(), StateQuery(task_id))
        with self._streaming(self._role.stream(envelope)) as payloads:
            yield payloads

    def state(self, task_id: str, version: int | None = None) -> TaskState:
        """How a task stands, with its newest snapshot or the one of `version`; raises `TaskNotFound`."""
        return state_of(self._ask(StateQuery(task_id, version)))

    def wait(self, task_id: str, *, seconds: float = 600.0, every: float = 1.0) -> TaskState:
        """Asks for a task's state until it is over or waits for input; raises `PeerTimedOut`."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            state = self.state(task_id)
            if state.is_final or state.question is not None:
                return state
            time.sleep(every)
        raise PeerTimedOut(f"the task is not over after {seconds:g} s")

    def cancel(self, task_id: str, reason: str | None = None) -> TaskResponse:
        """Stops a task; answers the status reached. Raises `TaskNotFound` or `TaskFinished`."""
        return response_of(self._ask(TaskCancel(task_id, reason)))

    def tell(self, task_id: str, input: dict[str, Any] | None = None, *, parts: Sequence[str] = ()) -> TaskResponse:
        """Answers a task that waits for input; raises `IllegalMove` for one that does not."""
        to = self._peer_urn()
        message = compose_message(self._role, to, task_id, input, parts, self._me)
        return response_of(self.send(message))

    def restore(self, task_id: str, snapshot_id: str, *, brought: TaskState | None = None) -> TaskResponse:
        """Has a task go on from a snapshot, as a new task where it is over.

        With `brought`, the state of another agent's task, this peer goes on with that one's work.
        """
        to = self._peer_urn()
        return response_of(self.send(compose_restore(self._role, to, task_id, snapshot_id, brought)))

    def report(self, job: Job, news: Payload) -> Envelope:
        """Tells the peer, once, what has happened to the task that it asked for."""
        timeout = min(self._timeout, self._limits.progress_seconds)
        return self._tell(self._role.send(compose_news(self._role, job, news), retry=ONCE, timeout=timeout))

    def send(self, envelope: Envelope) -> Envelope:
        """Sends an envelope as it is; answers the reply that fits it."""
        return self._tell(self._role.send(envelope))

    def send_batch(self, envelopes: Sequence[Envelope]) -> list[Envelope | AsapError]:
        """Sends many; answers in order, for each its reply or its error."""
        return self._tell(self._role.send_batch(envelopes))

    def manifest(self) -> Manifest:
        """What the peer publishes; asked again after five minutes, or sooner where the peer says so.

        Raises `OtherAgent` or `UnverifiedManifest` for one that is not the peer's, or not signed as it has to be.
        """
        return self._tell(self._role.discover())

    def _ask(self, payload: Payload) -> Envelope:
        return self.send(self._role.compose(self._peer_urn(), payload))

    @contextmanager
    def _streaming(self, steps: Steps[None]) -> Iterator[Iterator[Payload | dict[str, Any]]]:
        with ExitStack() as streams:
            opened: list[Pieces] = []

            def perform(command: AnyCommand) -> Any:
                if isinstance(command, OpenStream):
                    streams.close()
                    found = streams.enter_context(self._transport.stream(command.request, command.timeout))
                    if isinstance(found, TransportFailure):
                        return found
                    if found.pieces is not None:
                        opened[:] = [found.pieces]
                    return found.head
                if isinstance(command, ReadStream):
                    return opened[0](command.timeout)
                return self._perform(command)

            yield self._payloads(steps, perform)

    def _payloads(self, steps: Steps[None], perform: Perform) -> Iterator[Payload | dict[str, Any]]:
        """What the story delivers, as it does."""
        answer: Any = None
        tell = steps.send
        while True:
            try:
                with self._turn:
                    command = tell(answer)
            except StopIteration:
                return
            if isinstance(command, Deliver):
                yield command.envelope.payload
                answer, tell = None, steps.send
                continue
            try:
                answer, tell = perform(command), steps.send
            except Exception as error:  # noqa: BLE001  (the story ends with it)
                answer, tell = error, steps.throw

    def _peer_urn(self) -> str:
        if self._peer is None:
            self._peer = self.manifest().id
        return self._peer

    def _tell(self, steps: Steps[R]) -> R:
        return drive(steps, self._perform, self._turn)

    def _perform(self, command: AnyCommand) -> Any:
        if command.__class__ is Transmit:
            return self._transmit(command)
        match command:
            case Pause():
                return time.sleep(command.seconds)
            case Together():
                return drive_together(command, self._perform, self._turn)
            case Compress():
                return deflate(command.body, command.coding)
            case Shared():
                return tell_once(self._manifests, command, self._perform, self._turn)
            case RecallManifest():
                return self._manifests.recall(command.name)
            case SaveManifest():
                return self._manifests.save(command.name, command.record)
            case _:
                raise TypeError(f"a client is never asked to {type(command).__name__}")

    def _transmit(self, command: Transmit) -> HttpResponse | TransportFailure:
        return self._transport.send(command.request, command.timeout)
