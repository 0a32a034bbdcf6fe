"""The agent as an ASGI app (ASGI 3, HTTP and lifespan)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import anyio

from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, RequestHead, fold
from asap_proto.roles import Admitted, Emit
from asap_proto.rules.redaction import redact_text
from asap_proto.wire.body import BodyGauge

from .._shared.agents import Served
from .._shared.inflate import inflater
from .._shared.logs import Exchange
from .drive import drive
from .server import Closing, Follower, Performer

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["App"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Gone(Exception):
    """The caller hung up before it had said all."""


class App:
    """A plain ASGI callable; any server runs it, any framework mounts it.

    Tasks that nobody waits for, and the care for a store that outlives the process, need a server that runs the
    app's lifespan.
    """

    def __init__(self, agent: Agent, served: Served) -> None:
        self._agent = agent
        self._role = served.role
        self._state = served.stores.state
        self._grace = served.limits.grace_seconds
        self._clock = served.clock
        self._closed: float | None = None
        self._performer = Performer(agent, served)
        self._perform = self._performer.perform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            head = _head(scope)
            exchange = Exchange(head)
            try:
                response = await self._answer(head, exchange, receive, send)
            except _Gone:
                return
            except Exception as error:
                if exchange.begun:
                    raise  # only so the server breaks the connection off
                response = self._performer.ours(error)
            if response is not None:
                exchange.answered(response)
                await _send(send, response)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    def close(self) -> None:
        """Takes no more work; what runs may end within `Limits.grace_seconds` from now. To be called in its event loop.

        Streams end at once, but for those of tasks that run here: a reader finds its task again at another worker.
        For a server that is told to stop: it says so to the app only once no request runs any more.
        """
        if self._closed is None:
            self._closed = self._clock.elapsed()
            self._performer.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with AsyncExitStack() as stack:
            if hasattr(self._state, "__aenter__"):
                try:
                    await stack.enter_async_context(self._state)
                except Exception as error:  # noqa: BLE001  (some servers would serve without it)
                    found: BaseException = error
                    while isinstance(found, BaseExceptionGroup):
                        found = found.exceptions[0]
                    message = redact_text(f"the store can't be opened: {type(found).__name__}: {found}")
                    await send({"type": "lifespan.startup.failed", "message": message})
                    return
            async with anyio.create_task_group() as group:
                self._performer.group = group
                self._closed = None
                self._performer.open()
                group.start_soon(self._performer.keep)
                await send({"type": "lifespan.startup.complete"})
                await receive()
                self.close()
                await self._wind_up()
                group.cancel_scope.cancel()
            self._performer.group = None
        await self._agent.hang_up()
        await send({"type": "lifespan.shutdown.complete"})

    async def _wind_up(self) -> None:
        """Lets what runs in the background end; what then still runs is cut off, and given back to the store."""
        passed = self._clock.elapsed() - (self._closed or 0.0)
        with anyio.move_on_after(max(0.0, self._grace - passed)):
            await self._performer.idle()

    async def _answer(self, head: RequestHead, exchange: Exchange, receive: Receive, send: Send) -> HttpResponse | None:
        admitted = await drive(self._role.admit(head), self._perform)
        if isinstance(admitted, HttpResponse):
            exchange.heard()
            return admitted
        try:
            body = await _read(receive, admitted)
        except AsapError as error:
            return self._role.refuse(admitted, error)
        exchange.heard(body)
        if admitted.streams:
            return await self._stream(admitted, body, exchange, receive, send)
        return await drive(self._role.receive(admitted, body), self._perform)

    async def _stream(
        self, admitted: Admitted, body: bytes, exchange: Exchange, receive: Receive, send: Send
    ) -> HttpResponse | None:
        """Answers in parts, until all is said or the reader is gone."""
        follower = Follower(admitted.seen)

        async def emit(command: Emit) -> None:
            if isinstance(part := command.part, HttpResponse):
                await send({"type": "http.response.start", "status": part.status, "headers": _headers(part)})
                exchange.answered(part)
            else:
                exchange.said(part)
                await send({"type": "http.response.body", "body": part, "more_body": True})

        whole: HttpResponse | None = None

        async def tell() -> None:
            nonlocal whole
            with suppress(Closing):
                whole = await drive(self._role.stream(admitted, body), self._performer.follow(follower, emit))
            group.cancel_scope.cancel()

        try:
            async with anyio.create_task_group() as group:
                group.start_soon(tell)
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()
        finally:
            self._performer.leave(follower)
        if exchange.begun:
            with suppress(OSError):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        return whole


def _head(scope: Scope) -> RequestHead:
    path, client = scope["path"], scope.get("client")
    # A framework that mounts us leaves its own prefix in the path; some servers take it out.
    if (root := scope.get("root_path")) and path.startswith(root + "/"):
        path = path[len(root) :]
    return RequestHead(scope["method"], path, fold(scope["headers"]), client[0] if client else "")


async def _read(receive: Receive, admitted: Admitted) -> bytes:
    """The body, within bounds as sent and as inflated."""
    raw = BodyGauge(admitted.most_bytes, what="request")
    plain = inflater(admitted.encoding, BodyGauge(admitted.most_bytes, what="inflated request"))
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunks.append(plain.feed(raw.feed(message.get("body", b""))))
        if not message.get("more_body", False):
            plain.finish()
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _headers(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]


async def _send(send: Send, response: HttpResponse) -> None:
    headers = _headers(response)
    if "content-length" not in response.headers and response.status not in (204, 304):
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
