"""The agent as an ASGI app (ASGI 3, HTTP and lifespan)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, suppress
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

import anyio

from asap_proto.errors import AsapError, BodyTooSlow, Overloaded
from asap_proto.http import HttpResponse, RequestHead, fold
from asap_proto.roles import Admitted, Emit, Returned, Steps
from asap_proto.rules.redaction import redact_text
from asap_proto.wire.body import BodyGauge
from asap_proto.wire.digests import BodyDigest

from .._shared.agents import Served
from .._shared.inflate import inflater
from .._shared.logs import Exchange
from .._shared.performing import Wait
from .drive import drive
from .load import Load, Share
from .server import Caller, Closing, Follower, Performer

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["App", "patience_with"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


#: How long the end of a stream may take to be sent once the grace is over.
_LAST_SECONDS = 0.2


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
        self.limits = served.limits
        #: How long what runs may go on after `close`.
        self.grace_seconds = served.limits.grace_seconds
        self._clock = served.clock
        self._closed: float | None = None
        self._performer = Performer(agent, served)
        self._perform = self._performer.begin
        self._within = agent._within
        self._load = Load(served.limits)
        #: What callers are waited for with: for their bodies, and that they read their streams.
        self._waits: set[Wait] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            head = _head(scope)
            exchange = Exchange(head)
            share = Share(self._load)
            try:
                response = await self._answer(head, exchange, share, receive, send)
                if response is not None:
                    exchange.answered(response)
                    share.hold(response.body)
                    await _send(send, response)
            except _Gone:
                return
            except Exception as error:
                if exchange.begun:
                    raise  # only so the server breaks the connection off
                response = self._performer.ours(error)
                exchange.answered(response)
                await _send(send, response)
            finally:
                share.end()
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
            if self._performer.group is not None:
                self._performer.group.start_soon(self._end_grace)

    async def _end_grace(self) -> None:
        await anyio.sleep(self.grace_seconds)
        self._performer.cut_off()
        self._wait_no_more()

    def _wait_no_more(self) -> None:
        """Callers that are slow now are slow no longer."""
        for wait in tuple(self._waits):
            wait.interrupt()

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
                if isfinite(self.limits.late_seconds):
                    group.start_soon(self._performer.feel)
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
        with anyio.move_on_after(max(0.0, self.grace_seconds - passed)):
            await self._performer.idle()

    async def _answer(
        self, head: RequestHead, exchange: Exchange, share: Share, receive: Receive, send: Send
    ) -> HttpResponse | None:
        # Whoever only looks, as a load balancer does, is always answered.
        if self._load.is_full and head.method == "POST":
            exchange.heard()
            return await drive(self._role.turn_away(), self._perform)
        admitted = await drive(self._role.admit(head), self._perform)
        if isinstance(admitted, HttpResponse):
            exchange.heard()
            return admitted
        try:
            body = await self._read(receive, admitted, share)
        except AsapError as error:
            return _last(await drive(self._role.unread(admitted, error), self._perform))
        exchange.heard(body)
        if self._load.is_full:
            return await drive(self._role.turn_away(), self._perform)
        self._load.requests += 1
        try:
            if admitted.streams:
                return await self._stream(admitted, body, exchange, receive, send)
            story = self._role.receive(admitted, body)
            del body  # a large one is not kept beside all that is made of it
            return await self._work(story, admitted, receive)
        finally:
            self._load.requests -= 1

    async def _read(self, receive: Receive, admitted: Admitted, share: Share) -> bytes:
        wait = Wait(self._waits.add)
        begun = self._within(self.limits.body_seconds, _read(receive, admitted, share), wait)
        if isinstance(begun, Returned):
            return begun.value  # type: ignore[no-any-return]
        try:
            read = await begun
        finally:
            self._waits.discard(wait)
        if isinstance(read, Returned):
            return read.value  # type: ignore[no-any-return]
        if wait.interrupted:
            raise Overloaded("the server is shutting down", facts={"retry_after": 1})
        raise BodyTooSlow(f"the body did not come within {self.limits.body_seconds:g} s")

    async def _work(self, story: Steps[HttpResponse], admitted: Admitted, receive: Receive) -> HttpResponse:
        """Answers in one piece."""
        caller = Caller(receive)
        try:
            return await drive(story, functools.partial(self._perform, caller=caller))
        finally:
            caller.leave()

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

        wait = Wait()
        self._waits.add(wait)
        try:
            async with anyio.create_task_group() as group:
                wait.cut = group.cancel_scope.cancel
                group.start_soon(tell)
                while (await receive())["type"] != "http.disconnect":
                    pass
                group.cancel_scope.cancel()
        finally:
            self._waits.discard(wait)
            self._performer.leave(follower)
        if exchange.begun:
            await self._end_stream(send, wait)
        return whole

    async def _end_stream(self, send: Send, wait: Wait) -> None:
        # A reader that does not read must not hold up who shuts down.
        with anyio.move_on_after(_LAST_SECONDS if wait.interrupted else inf), suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


def patience_with(app: Any) -> float:
    """Seconds that a server waits for requests when it is told to stop: ours ends them itself, when its grace is over.

    Beyond that it has a second to send its last answers.
    """
    return app.grace_seconds + 1.0 if isinstance(app, App) else 5.0


def _head(scope: Scope) -> RequestHead:
    path, client = scope["path"], scope.get("client")
    lines = scope["headers"]
    if not path.startswith("/") and "://" in path:
        # What a proxy is asked, and any server has to take (RFC 9112 section 3.2.2): some hand it on as it is.
        host, _, path = path.partition("://")[2].partition("/")
        path = "/" + path
        if all(value != host.encode() for name, value in lines if name == b"host"):
            lines = [*lines, (b"host", host.encode())]
    # A framework that mounts us leaves its own prefix in the path; some servers take it out.
    if (root := scope.get("root_path")) and path.startswith(root + "/"):
        path = path[len(root) :]
    return RequestHead(scope["method"], path, fold(lines), client[0] if client else "", len(lines))


async def _read(receive: Receive, admitted: Admitted, share: Share) -> bytes:
    """The body, within bounds as sent and as inflated."""
    message = await receive()
    if admitted.is_plain and not message.get("more_body", False):
        # What comes as it is, in one piece, is counted at a glance.
        body: bytes = message.get("body", b"")
        if message["type"] == "http.request" and len(body) <= admitted.most_bytes:
            return share.receive(body)
    raw = BodyGauge(admitted.most_bytes, what="request")
    signed = BodyDigest(admitted.digests)
    plain = inflater(admitted.encoding, BodyGauge(admitted.most_bytes, what="inflated request"))
    chunks = []
    while True:
        if message["type"] == "http.disconnect":
            raise _Gone
        chunks.append(share.receive(plain.feed(signed.feed(raw.take(message.get("body", b""))))))
        if not message.get("more_body", False):
            signed.finish()
            plain.finish()
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        message = await receive()


def _last(response: HttpResponse) -> HttpResponse:
    """An answer to a body that was not read to its end: what still comes of it is not to be taken for a request."""
    return HttpResponse(response.status, {**response.headers, "connection": "close"}, response.body)


def _headers(response: HttpResponse) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]


async def _send(send: Send, response: HttpResponse) -> None:
    headers = _headers(response)
    if "content-length" not in response.headers and response.status not in (204, 304):
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
