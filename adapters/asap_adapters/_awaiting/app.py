"""The agent as an ASGI app (ASGI 3, HTTP and lifespan)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, suppress
from math import inf, isfinite
from types import CoroutineType
from typing import TYPE_CHECKING, Any

import anyio

from asap_proto.errors import AsapError, BodyTooSlow, Overloaded
from asap_proto.http import HttpResponse, RequestHead, fold
from asap_proto.roles import Admitted, Emit, Returned
from asap_proto.rules.redaction import redact_text
from asap_proto.stores import MemoryState
from asap_proto.wire.body import BodyGauge
from asap_proto.wire.digests import BodyDigest

from .._shared.agents import Served
from .._shared.heads import KnownHeads
from .._shared.inflate import inflater
from .._shared.logs import Exchange
from .._shared.performing import Wait, performed_first
from .drive import drive, side_by_side
from .heads import key_of, lines_of
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
        self._known = KnownHeads(lines_of)
        state = served.stores.state
        # A store that answers at once, as memory does, needs no story for what is usual.
        is_at_once = isinstance(state, MemoryState)
        self._straight = self._role.straight(state, served.observe) if is_at_once else None
        #: What callers are waited for with: for their bodies, and that they read their streams.
        self._waits: set[Wait] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            exchange = Exchange()
            share = Share(self._load)
            try:
                response = await self._answer(scope, exchange, share, receive, send)
                if response is not None:
                    exchange.answered(response)
                    share.hold(response.body)
                    await self._send(send, response)
            except _Gone:
                return
            except Exception as error:
                if exchange.begun:
                    raise  # only so the server breaks the connection off
                response = self._performer.ours(error)
                exchange.answered(response)
                await self._send(send, response)
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
        self, scope: Scope, exchange: Exchange, share: Share, receive: Receive, send: Send
    ) -> HttpResponse | None:
        # Whoever only looks, as a load balancer does, is always answered.
        if self._load.is_full and scope["method"] == "POST":
            if exchange.is_told:
                exchange.heard(_head(scope))
            return await drive(self._role.turn_away(), self._perform)
        key = key_of(scope) if self._role.admits_alike and not exchange.is_told else None
        admitted, head = None if key is None else self._known.find(key), None
        if admitted is None:
            head = _head(scope)
            answer = await drive(self._role.admit(head), self._perform)
            if isinstance(answer, HttpResponse):
                exchange.heard(head)
                return answer
            admitted = answer
            if key is not None:
                self._known.add(key, admitted)
        try:
            body = await self._read(receive, admitted, share)
        except AsapError as error:
            return _last(await drive(self._role.unread(admitted, error), self._perform))
        if head is not None:
            exchange.heard(head, body)
        if self._load.is_full:
            return await drive(self._role.turn_away(), self._perform)
        self._load.requests += 1
        try:
            if admitted.streams:
                return await self._stream(admitted, body, exchange, receive, send)
            caller = Caller(receive)
            try:
                return await self._work(admitted, body, caller)
            finally:
                caller.leave()
        finally:
            self._load.requests -= 1

    async def _read(self, receive: Receive, admitted: Admitted, share: Share) -> bytes:
        if getattr(receive, "is_whole", False):  # as a server of ours says, where nothing has to be waited for
            return await _read(receive, admitted, share)
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

    async def _work(self, admitted: Admitted, body: bytes, caller: Caller) -> HttpResponse:
        """Answers in one piece."""
        perform = functools.partial(self._perform, caller=caller)
        if self._straight is None or admitted.proof is not None:
            return await drive(self._role.receive(admitted, body), perform)
        try:
            document, held = self._role.load(admitted, body)
            size = len(body)
            del body  # nothing is kept of it beside what was read
            if document.__class__ is list:
                admitted, held = await drive(self._role.open_batch(document, admitted, held), perform)
        except AsapError as error:
            return await drive(self._role.unread(admitted, error), perform)
        if document.__class__ is not list:
            item = self._item(document, "$", admitted, size, held, caller)
            item = await item if item.__class__ is CoroutineType else item
            return await self._compressed(self._role.answer(item, admitted), admitted)

        def begin(index: int) -> Any:
            return self._item(document[index], f"$[{index}]", admitted, size, held, caller)

        items = await side_by_side(begin, len(document), self.limits.batch_parallel)
        return await self._compressed(self._role.answer_batch(items, admitted), admitted)

    async def _compressed(self, response: HttpResponse, admitted: Admitted) -> HttpResponse:
        """The answer in the coding that its caller takes: what the story does where it is told."""
        if admitted.coding is None:
            return response
        return await drive(self._role.compressed(response, admitted.coding), self._perform)

    def _item(self, frame: Any, place: str, admitted: Admitted, size: int, held: int, caller: Caller) -> Any:
        """What becomes of one request, or a coroutine of it where something has to be waited for."""
        assert self._straight is not None
        begun = self._straight.begin(frame, admitted, size, held)
        if begun is None:
            story = self._role.item(frame, place, admitted, size, held)
            return drive(story, functools.partial(self._perform, caller=caller))
        outcome: Any
        try:
            outcome = self._performer.invoke(begun[0], caller)
        except BaseException as error:  # noqa: BLE001  (the story ends with it)
            outcome = _raising(error)
        if outcome.__class__ is Returned:
            item = self._straight.end(begun, frame, outcome.value)
            if item is not None:
                return item
        story = self._role.go_on(begun, frame, place, admitted)
        return drive(story, performed_first(lambda: outcome, functools.partial(self._perform, caller=caller)))

    async def _stream(
        self, admitted: Admitted, body: bytes, exchange: Exchange, receive: Receive, send: Send
    ) -> HttpResponse | None:
        """Answers in parts, until all is said or the reader is gone."""
        follower = Follower(admitted.seen)

        async def emit(command: Emit) -> None:
            if isinstance(part := command.part, HttpResponse):
                await send({"type": "http.response.start", "status": part.status, "headers": lines_of(part.headers)})
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

    async def _send(self, send: Send, response: HttpResponse) -> None:
        lines = self._known.lines(response.headers)
        if "content-length" not in response.headers and response.status not in (204, 304):
            lines.append((b"content-length", b"%d" % len(response.body)))
        await send({"type": "http.response.start", "status": response.status, "headers": lines})
        await send({"type": "http.response.body", "body": response.body})

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


async def _raising(error: BaseException) -> None:
    raise error


def _last(response: HttpResponse) -> HttpResponse:
    """An answer to a body that was not read to its end: what still comes of it is not to be taken for a request."""
    return HttpResponse(response.status, {**response.headers, "connection": "close"}, response.body)
