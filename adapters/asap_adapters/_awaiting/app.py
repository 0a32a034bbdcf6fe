"""The agent as an ASGI app (ASGI 3, HTTP and lifespan)."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack, suppress
from math import inf, isfinite
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final

import anyio

from asap_proto.errors import AsapError, BodyTooSlow, Overloaded
from asap_proto.http import HttpResponse, RequestHead, fold
from asap_proto.roles import Admitted, Authenticate, Emit, Looked, Returned
from asap_proto.rules.identity import Identity
from asap_proto.rules.redaction import redact_text
from asap_proto.stores import MemoryState
from asap_proto.wire.body import BodyGauge
from asap_proto.wire.digests import BodyDigest

from .._shared.agents import Served
from .._shared.heads import KnownHeads, changed
from .._shared.inflate import inflater
from .._shared.logs import Exchange, exchanges
from .._shared.performing import Wait, performed_first
from .drive import drive, side_by_side
from .heads import key_of, lines_of, said_with
from .load import Caller, Load
from .server import Closing, Follower, Performer

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["App", "patience_with"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


#: What has no body, and so no length.
_BODILESS: Final = (204, 304)

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
        self._admission = self._role.admission
        self._known = KnownHeads()
        # What answers at once, and so needs no story; a front of threads has its own.
        self._authenticate: Callable[[Authenticate], Any] | None = self._performer.authenticate
        self._charge = self._performer.charge
        state = served.stores.state
        # A store that answers at once, as memory does, needs no story for what is usual.
        is_at_once = isinstance(state, MemoryState)
        self._straight = self._role.straight(state, served.metrics.count) if is_at_once else None
        self._waits = self._load.waits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            caller = Caller(self._load, receive)
            if exchanges.level:
                caller.exchange = Exchange()
            try:
                try:
                    response = await self._answer(scope, caller, receive, send)
                except _Gone:
                    return
                except Exception as error:
                    if caller.exchange is not None and caller.exchange.begun:
                        raise  # only so the server breaks the connection off
                    response = self._performer.ours(error)
                if response is not None:
                    if caller.exchange is not None:
                        caller.exchange.answered(response)
                    caller.hold(response.body)
                    await _send(send, response)
            finally:
                caller.end()
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

    async def _answer(self, scope: Scope, caller: Caller, receive: Receive, send: Send) -> HttpResponse | None:
        load = self._load
        # Whoever only looks, as a load balancer does, is always answered.
        if load.requests >= load.most_requests and scope["method"] == "POST":
            if caller.exchange is not None:
                caller.exchange.heard(_head(scope))
            return await drive(self._role.turn_away(), self._perform)
        admitted: Any = self._enter(scope)
        if admitted.__class__ is CoroutineType:
            admitted = await admitted
        if admitted.__class__ is HttpResponse:
            if caller.exchange is not None:
                caller.exchange.heard(_head(scope))
            return admitted
        try:
            body = self._read(receive, admitted, caller)
            if body.__class__ is CoroutineType:
                body = await body
        except AsapError as error:
            return _last(await drive(self._role.unread(admitted, error), self._perform))
        if caller.exchange is not None:
            caller.exchange.heard(_head(scope), body)
        if load.requests >= load.most_requests:
            return await drive(self._role.turn_away(), self._perform)
        load.requests += 1
        try:
            if admitted.streams:
                exchange = caller.exchange = caller.exchange or Exchange()
                return await self._stream(admitted, body, exchange, receive, send)
            response = await self._work(admitted, body, caller)
            caller.leave()
            return response
        finally:
            load.requests -= 1

    def _enter(self, scope: Scope) -> Any:
        """Who is admitted, or an answer; or a coroutine of it, where something has to be waited for."""
        key, changing = key_of(scope)
        looked = self._known.find(key, changing.get(b"content-length"))
        if looked is None:
            return self._look(scope, key)
        admission = self._admission
        if not admission.asks:
            admitted = admission.let_in(looked, None, self._charge)
            return drive(admission.enter(looked, looked.head), self._perform) if admitted is None else admitted
        head = changed(looked.head, said_with(looked.head.headers, changing))
        if self._authenticate is None or not admission.may_guess(looked, self._charge):
            return drive(admission.enter(looked, head), self._perform)
        verdict = self._authenticate(Authenticate(head, admission.now()))
        if verdict.__class__ is CoroutineType:
            return self._let_in_late(looked, head, verdict)
        return self._let_in(looked, head, verdict)

    def _let_in(self, looked: Looked, head: RequestHead, verdict: Identity | None) -> Any:
        """The same once it is known who calls."""
        admitted = None if verdict is None else self._admission.let_in(looked, verdict, self._charge)
        return drive(self._admission.enter(looked, head, verdict), self._perform) if admitted is None else admitted

    async def _let_in_late(self, looked: Looked, head: RequestHead, asked: Awaitable[Identity | None]) -> Any:
        admitted = self._let_in(looked, head, await asked)
        return await admitted if admitted.__class__ is CoroutineType else admitted

    async def _look(self, scope: Scope, key: tuple[Any, ...] | None) -> Admitted | HttpResponse:
        """The same where it is told from the beginning: of a head that is new, or is to be looked at each time."""
        head = _head(scope)
        looked = None if key is None else self._admission.look(head)
        if looked is None:
            return await drive(self._role.admit(head), self._perform)
        # Names in other cases are the same names, which only whoever folds them knows.
        if all(name == name.lower() for name, _ in key[-1]):  # type: ignore[index]
            self._known.add(key, looked)  # type: ignore[arg-type]
        return await drive(self._admission.enter(looked, head), self._perform)

    def _read(self, receive: Receive, admitted: Admitted, caller: Caller) -> Any:
        """The body, or a coroutine of it where it has to be waited for, or comes in pieces."""
        receiving: Any = receive()
        if getattr(receive, "is_whole", False):  # as a server of ours says, where nothing has to be waited for
            return _read_whole(receiving, receive, admitted, caller)
        if receiving.__class__ is not CoroutineType:
            receiving = _awaited(receiving)
        begun = self._within(self.limits.body_seconds, receiving, caller.as_wait)
        if not isinstance(begun, Returned):
            return self._read_on(begun, receive, admitted, caller)
        message = begun.value
        if admitted.is_plain and message["type"] == "http.request" and not message.get("more_body"):
            # What comes as it is, in one piece, is counted at a glance.
            body: bytes = message.get("body", b"")
            if len(body) <= admitted.most_bytes:
                return caller.take(body)
        return self._read_on(_awaited(begun), receive, admitted, caller)

    async def _read_on(self, begun: Any, receive: Receive, admitted: Admitted, caller: Caller) -> bytes:
        """The rest of it, whose first message was begun to be waited for."""
        until = anyio.current_time() + self.limits.body_seconds
        wait = caller.as_wait()
        try:
            read = await begun
            if isinstance(read, Returned):
                rest = _read(read.value, receive, admitted, caller)
                read = self._within(until - anyio.current_time(), rest, caller.as_wait)
                if not isinstance(read, Returned):
                    read = await read
        finally:
            self._waits.discard(wait)
        if isinstance(read, Returned):
            return read.value  # type: ignore[no-any-return]
        if wait.interrupted:
            raise Overloaded("the server is shutting down", facts={"retry_after": 1})
        raise BodyTooSlow(f"the body did not come within {self.limits.body_seconds:g} s")

    async def _work(self, admitted: Admitted, body: bytes, caller: Caller) -> HttpResponse:
        """Answers in one piece."""
        if self._straight is None or admitted.proof is not None:
            return await drive(self._role.receive(admitted, body), functools.partial(self._perform, caller=caller))
        try:
            document, held = self._role.load(admitted, body)
            size = len(body)
            del body  # nothing is kept of it beside what was read
            if document.__class__ is list:
                admitted, held = await drive(self._role.open_batch(document, admitted, held), self._perform)
        except AsapError as error:
            return await drive(self._role.unread(admitted, error), self._perform)
        if document.__class__ is not list:
            item = self._item(document, "$", admitted, size, held, caller)
            if item.__class__ is CoroutineType:
                item = await item
            response = self._role.answer(item, admitted)
            return response if admitted.coding is None else await self._compressed(response, admitted.coding)

        def begin(index: int) -> Any:
            return self._item(document[index], f"$[{index}]", admitted, size, held, caller)

        items = await side_by_side(begin, len(document), self.limits.batch_parallel)
        response = self._role.answer_batch(items, admitted)
        return response if admitted.coding is None else await self._compressed(response, admitted.coding)

    async def _compressed(self, response: HttpResponse, coding: str) -> HttpResponse:
        """The answer in the coding that its caller takes: what the story does where it is told."""
        return await drive(self._role.compressed(response, coding), self._perform)

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

    async def _end_stream(self, send: Send, wait: Wait) -> None:
        # A reader that does not read must not hold up who shuts down.
        with anyio.move_on_after(_LAST_SECONDS if wait.interrupted else inf), suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _send(send: Send, response: HttpResponse) -> None:
    status, headers, body = response.status, response.headers, response.body
    lines = lines_of(headers)
    if "content-length" not in headers and status not in _BODILESS:
        lines.append((b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": body})


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


async def _read_whole(receiving: Awaitable[Message], receive: Receive, admitted: Admitted, caller: Caller) -> bytes:
    message = await receiving
    body: bytes = message.get("body", b"")
    is_all = message["type"] == "http.request" and not message.get("more_body")
    if is_all and admitted.is_plain and len(body) <= admitted.most_bytes:
        return caller.take(body)
    return await _read(message, receive, admitted, caller)


async def _read(message: Message, receive: Receive, admitted: Admitted, caller: Caller) -> bytes:
    """The body from this message on, within bounds as sent and as inflated."""
    raw = BodyGauge(admitted.most_bytes, what="request")
    signed = BodyDigest(admitted.digests)
    plain = inflater(admitted.encoding, BodyGauge(admitted.most_bytes, what="inflated request"))
    chunks = []
    while True:
        if message["type"] == "http.disconnect":
            raise _Gone
        chunks.append(caller.take(plain.feed(signed.feed(raw.take(message.get("body", b""))))))
        if not message.get("more_body", False):
            signed.finish()
            plain.finish()
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        message = await receive()


async def _awaited(what: Any) -> Any:
    return what if what.__class__ is Returned else await what


async def _raising(error: BaseException) -> None:
    raise error


def _last(response: HttpResponse) -> HttpResponse:
    """An answer to a body that was not read to its end: what still comes of it is not to be taken for a request."""
    return HttpResponse(response.status, {**response.headers, "connection": "close"}, response.body)
