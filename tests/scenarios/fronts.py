"""The three fronts behind one plain face, so that a scenario is written once.

Handlers of scenarios are plain functions; one that waits is a generator that yields what it waits for:
``reply = yield task.delegate(...)``. On the async fronts they run as ``async def``, on sync as they are.
"""

import functools
import importlib
import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio
import httpx
from anyio.from_thread import BlockingPortal

from asap_proto import Limits

ME = "urn:asap:agent:me"
WORKER = "urn:asap:agent:worker"

FRONTS = ("asyncio", "trio", "sync")


class Front:
    """One front; `portal` leads into its event loop, where it has one."""

    def __init__(self, name: str, portal: BlockingPortal | None) -> None:
        self.name = name
        self._portal = portal
        self._module = importlib.import_module(f"asap_adapters.{name}")

    def agent(self, urn: str = WORKER, **options: Any) -> "FacedAgent":
        """An agent of this front."""
        return FacedAgent(self, self._module.Agent(urn, **options))

    @contextmanager
    def serving(self, agent: "FacedAgent", *, threads: int = 8) -> Iterator[str]:
        """Serves the agent on a real socket; gives its base URL. The sync front has so many threads for it."""
        served = self._module.serving(agent.real.app(), **({} if self._portal else {"threads": threads}))
        if self._portal is not None:
            served = self._portal.wrap_async_context_manager(served)
        with ExitStack() as stack:
            if self._portal is None:
                stack.callback(agent.real.close)
            yield stack.enter_context(served)

    @contextmanager
    def client(self, url: str, *, me: str = ME, **options: Any) -> Iterator[Any]:
        """A client of this front, whose calls wait."""

        def make() -> Any:
            return self._module.Client(url, me=me, **options)

        if self._portal is None:
            with make() as client:
                yield client
        else:
            real = self._portal.call(make)
            try:
                yield Waiting(self._portal, real)
            finally:
                self._portal.call(real.aclose)

    @contextmanager
    def transport(
        self, url: str, limits: Limits | None = None, *, kind: str = "PooledTransport", **options: Any
    ) -> Iterator[Any]:
        """A transport of this front, whose calls wait; `real` is what a client takes."""
        transport = Waiting(self._portal, getattr(self._module, kind)(url, limits or Limits(), **options))
        try:
            yield transport
        finally:
            transport.close()

    def close(self, agent: "FacedAgent") -> None:
        """Closes the agent, as its owner would."""
        if self._portal is None:
            agent.real.close()
        else:
            self._portal.call(agent.real.aclose)

    def pause(self, seconds: float) -> Any:
        """A wait, for a handler to yield."""
        return time.sleep(seconds) if self._portal is None else anyio.sleep(seconds)

    def until(self, happened: Callable[[], Any]) -> Any:
        """A wait until this holds, for a handler to yield."""
        if self._portal is None:
            return holds(happened)

        async def wait() -> None:
            while not happened():  # noqa: ASYNC110
                await anyio.sleep(0.002)

        return wait()

    def handler(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A handler as this front likes it best."""
        return _told_plainly(function) if self._portal is None else _told_awaiting(function)


class FacedAgent:
    """An agent whose handlers are written as scenarios write them."""

    def __init__(self, front: Front, real: Any) -> None:
        self.front = front
        self.real = real

    def skill(self, name: str, **options: Any) -> Callable[[Any], Any]:
        def register(function: Any) -> Any:
            self.real.skill(name, **options)(self.front.handler(function))
            return function

        return register

    def on(self, kind: Any) -> Callable[[Any], Any]:
        def register(function: Any) -> Any:
            self.real.on(kind)(self.front.handler(function))
            return function

        return register


class Waiting:
    """What may be async as a plain thing."""

    def __init__(self, portal: BlockingPortal | None, real: Any) -> None:
        self._portal = portal
        self.real = real

    def __getattr__(self, name: str) -> Any:
        if self._portal is None:
            return getattr(self.real, name)
        found = getattr(self.real, name)
        if name in ("stream", "follow"):
            return functools.partial(self._streaming, found)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *given, **named: self._portal.call(functools.partial(found, *given, **named))

    def close(self) -> None:
        """Gives back what it holds."""
        if self._portal is None:
            self.real.close()
        else:
            self._portal.call(self.real.aclose)

    @contextmanager
    def _streaming(self, found: Callable[..., Any], *given: Any, **named: Any) -> Iterator[Iterator[Any]]:
        with self._portal.wrap_async_context_manager(found(*given, **named)) as payloads:
            yield self._each(payloads)

    def _each(self, payloads: Any) -> Iterator[Any]:
        end = object()
        while (payload := self._portal.call(anext, payloads, end)) is not end:
            yield payload


def _told_plainly(function: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.isgeneratorfunction(function):
        return function

    @functools.wraps(function)
    def handler(*given: Any) -> Any:
        steps, answer = function(*given), None
        while True:
            try:
                # What it asked for was done before it was yielded.
                answer = steps.send(answer)
            except StopIteration as end:
                return end.value

    return handler


def _told_awaiting(function: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        async def handler(*given: Any) -> Any:
            return function(*given)

        return handler

    @functools.wraps(function)
    async def waiting_handler(*given: Any) -> Any:
        steps, answer = function(*given), None
        tell = steps.send
        while True:
            try:
                waited = tell(answer)
            except StopIteration as end:
                return end.value
            try:
                answer, tell = await waited, steps.send
            except BaseException as error:
                # What cuts a handler off is no `Exception`, and its own to clean up after.
                answer, tell = error, steps.throw

    return waiting_handler


#: What every request with a body says.
JSON = {"content-type": "application/json"}


def post(http: httpx.Client, document: Any, **options: Any) -> httpx.Response:
    """Posts JSON, or bytes as they are, to the protocol's endpoint."""
    headers = httpx.Headers(options.pop("headers", None))
    headers.setdefault("content-type", "application/json")
    named = {"content": document} if isinstance(document, bytes) else {"json": document}
    return http.post("/asap", **named, headers=headers, **options)


def holds(happened: Callable[[], Any], *, seconds: float = 10.0) -> None:
    """Waits, in a thread, until this holds."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it does not come to hold"
        time.sleep(0.002)
