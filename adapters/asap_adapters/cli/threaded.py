"""A sync agent in an event loop: what comes slowly waits there, what runs has threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from math import isfinite
from typing import Any, Final

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import TaskGroup

from asap_proto.errors import Overloaded
from asap_proto.http import HttpResponse
from asap_proto.roles import Admitted, AnyCommand, Authenticate, Observe, ReadMetrics, ReadState, Spend
from asap_proto.rules.shedding import SAMPLE_SECONDS

from .._awaiting import app as awaiting
from .._awaiting.load import Caller
from .._shared.logs import Exchange
from .._shared.performing import Wait
from .._shared.streams import is_stream
from ..asyncio.deadline import outcome_of, within
from ..sync import App
from .threads import Call, CutOff, Threads

__all__ = ["ThreadedApp"]

log = logging.getLogger("asap_adapters.server")

#: What is performed at once, and blocks nobody.
_QUICK: Final = (Observe, Spend, ReadMetrics, ReadState)

#: Threads beside those of handlers and streams: for whoever is to be told that these are all taken.
_SPARE_THREADS: Final = 4

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _Host:
    """What an async app expects of its agent, for a sync one."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._within = within
        self._outcome_of = outcome_of

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app.agent, name)


class ThreadedApp(awaiting.App):
    """The ASGI app that a WSGI app of ours is, for an asyncio server.

    A head is admitted and a body read in the event loop, as on asyncio, so that a caller who is slow holds no thread.
    Then a thread answers, with the whole body in memory.
    """

    def __init__(self, app: App) -> None:
        super().__init__(_Host(app), app.served)  # type: ignore[arg-type]  # for all that is used of it, it is one
        self._plain = app
        most = app.served.limits.handler_threads
        self._threads = Threads(2 * most + _SPARE_THREADS, "asap-worker")
        self._stream_threads = anyio.CapacityLimiter(most + _SPARE_THREADS)
        # Whoever looks at callers is counted until its thread ends.
        self._guards = Threads(most, "asap-guard", keeps_place=True)
        self._waiting: set[Call] = set()
        self._group: TaskGroup | None = None
        self._perform = self._perform_in_thread
        # A validator may take its time, and others count at the same time.
        self._authenticate, self._charge = None, app.charge

    def _perform_in_thread(self, command: AnyCommand, caller: object = None) -> Any:
        """Performs what is asked before a body is read, and of it."""
        if isinstance(command, _QUICK):
            return self._plain.perform(command)
        if isinstance(command, Authenticate):
            return self._ask_in_thread(command)
        return self._threads.run(self._plain.perform, command)

    async def _ask_in_thread(self, command: Authenticate) -> Any:
        """Asks who a caller is, for as long as that may take; a thread that takes longer holds its place to its end."""
        call = self._guards.begin(self._plain.perform, command)
        timer = call.future.get_loop().call_later(self.limits.auth_seconds, call.cut_off)
        try:
            return await self._guards.outcome(call)
        except CutOff:
            if not call.begun:
                busy = {"retry_after": 1}
                raise Overloaded("every thread that looks at callers is taken", facts=busy) from None
            log.error("nobody said in time who a caller is: it was not let in")
            return None
        finally:
            timer.cancel()

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._plain.start(feels=False)
        async with anyio.create_task_group() as self._group:
            if isfinite(self.limits.late_seconds):
                self._group.start_soon(self._feel)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.close()
            # Within what is left of the grace.
            await anyio.to_thread.run_sync(self._plain.close)
            self._group.cancel_scope.cancel()
        self.end_threads()
        await send({"type": "lifespan.shutdown.complete"})

    async def _feel(self) -> None:
        """Looks how late things are: how long one has to wait for its turn here, for a thread, and for the store."""
        while True:
            due = self._clock.elapsed() + SAMPLE_SECONDS
            await anyio.sleep(SAMPLE_SECONDS)
            await self._threads.run(self._plain.feel, due)

    def close(self) -> None:
        """Takes no more work; what runs may end within `Limits.grace_seconds` from now. To be called in its event loop.

        Then whoever still waits is told to ask again; a thread goes on for as long as its process does.
        """
        if self._closed is None:
            self._closed = self._clock.elapsed()
            self._plain.stop()
            if self._group is not None:
                self._group.start_soon(self._end_grace)

    def end_threads(self) -> None:
        """Ends the threads that wait for work; those that still work go on to their end."""
        self._threads.end()
        self._guards.end()

    async def _end_grace(self) -> None:
        await anyio.sleep(self.grace_seconds)
        self._plain.send_readers_away()
        for call in self._waiting:
            call.cut_off()
        self._wait_no_more()

    async def _work(self, admitted: Admitted, body: bytes, caller: Caller) -> HttpResponse:
        call = self._threads.begin(self._plain.work, admitted, body)
        self._waiting.add(call)
        try:
            return await self._threads.outcome(call)  # type: ignore[no-any-return]
        except CutOff:
            over = Overloaded("the server is shutting down", facts={"retry_after": 1})
            return self._role.refuse(admitted, over)
        finally:
            self._waiting.discard(call)

    async def _stream(
        self, admitted: Admitted, body: bytes, exchange: Exchange, receive: Receive, send: Send
    ) -> HttpResponse | None:
        gone = threading.Event()

        async def begin(head: HttpResponse) -> None:
            headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers.items()]
            await send({"type": "http.response.start", "status": head.status, "headers": headers})
            exchange.answered(head)

        async def go_on(part: bytes) -> None:
            await send({"type": "http.response.body", "body": part, "more_body": True})

        def tell() -> HttpResponse | None:
            with closing(self._plain.stream(admitted, body, exchange, gone.is_set)) as parts:  # type: ignore[type-var]
                for part in parts:
                    if isinstance(part, bytes):
                        anyio.from_thread.run(go_on, part)
                    elif is_stream(part.headers):
                        anyio.from_thread.run(begin, part)
                    else:
                        return part
            return None

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            gone.set()
            self._plain.let_readers_look()

        wait, whole = Wait(), None
        self._waits.add(wait)
        try:
            async with anyio.create_task_group() as group:
                wait.cut = group.cancel_scope.cancel
                group.start_soon(watch)
                # A thread can't be cut off: whoever is cut off while it waits leaves it alone.
                whole = await anyio.to_thread.run_sync(tell, abandon_on_cancel=True, limiter=self._stream_threads)
                group.cancel_scope.cancel()
        finally:
            self._waits.discard(wait)
            gone.set()
        if exchange.begun:
            await self._end_stream(send, wait)
        return whole
