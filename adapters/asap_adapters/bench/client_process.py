"""Who calls, as a process: one client of ours, or of httpx's shape, on one runtime; it says what came of it.

Its one argument is JSON: ``runtime`` and ``url``, and ``library`` for a client of that name in place of ours.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack
from functools import partial
from time import perf_counter, process_time
from typing import Any, Final

import orjson

from asap_proto.errors import AsapError
from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.model import Envelope, TaskRequest

from . import fixtures
from .files import open_many
from .lines import asked, say

__all__: list[str] = []

_ME: Final = "urn:asap:agent:coordinator"
_INPUT: Final = {"message": "hello there", "text": "y" * 150}
#: Seconds that one exchange may take: with 5,000 at once the last one waits for all others.
_PATIENCE: Final = 120.0
#: Bytes of a thread's stack, so that thousands fit.
_STACK: Final = 256 * 1024


class _Tally:
    def __init__(self) -> None:
        self.answers = 0
        self.failures: Counter[str] = Counter()

    def told(self, begin: float, cpu: float) -> dict[str, Any]:
        took = perf_counter() - begin
        if not self.answers and not self.failures:
            self.failures["no answer at all"] = 1
        return {
            "answers": self.answers,
            "rate": self.answers / took,
            "seconds": took,
            "cpu": (process_time() - cpu) / max(1, self.answers),
            "failures": self.failures,
        }

    def count(self, result: object) -> None:
        """Raises for nothing: whatever is no answer is counted as what it is."""
        failed = _failure(result)
        if failed:
            self.failures[failed] += 1
        else:
            self.answers += 1


def _failure(result: object) -> str:
    if isinstance(result, AsapError):
        return result.code
    if isinstance(result, TransportFailure):
        return f"{result.kind}: {result.detail}"
    if isinstance(result, Exception):
        return f"{type(result).__name__}: {str(result)[:80]}"
    if isinstance(result, HttpResponse):
        return "" if result.status == 200 and b'"result"' in result.body else f"HTTP {result.status}"
    return ""


def _request() -> HttpRequest:
    headers = {"content-type": "application/json", "accept": "application/json", "asap-version": "2.2, 2.1"}
    return HttpRequest("POST", "/asap", headers, fixtures.requests(1)[0])


def _envelopes(client: Any, count: int) -> list[Envelope]:
    return [client.role.compose(fixtures.ECHO, TaskRequest("conversation", "echo", _INPUT)) for _ in range(count)]


# -- what can be called again and again, by name ----------------------------------------------------------------------


def _calls(client: Any) -> dict[str, Callable[[], Any]]:
    """Calls of a client of ours; on the async fronts each is a coroutine function."""
    # What a `Client` uses unless it is told otherwise has no name of its own that would outlast a better one.
    transport, request = client._transport, _request()
    return {
        "transport": lambda: transport.send(request, _PATIENCE),
        "request": lambda: client.request("echo", _INPUT),
        "manifest": client.manifest,
    }


def _library_call(client: Any, url: str) -> Callable[[], Awaitable[HttpResponse]]:
    """The same exchange by a client of httpx's shape."""
    request = _request()

    async def call() -> HttpResponse:
        answer = await client.post(f"{url}/asap", content=request.body, headers=dict(request.headers))
        return HttpResponse(answer.status_code, {}, answer.content)

    return call


# -- in an event loop -------------------------------------------------------------------------------------------------


async def _serve_async(options: dict[str, Any]) -> None:
    import anyio.to_thread

    url, library = options["url"], options.get("library")
    if library:
        client = importlib.import_module(library).AsyncClient(timeout=_PATIENCE, trust_env=False)
        calls = {"transport": _library_call(client, url)}
    else:
        front = importlib.import_module(f"asap_adapters.{options['runtime']}")
        client = front.Client(url, me=_ME, peer=fixtures.ECHO, timeout=_PATIENCE)
        calls = _calls(client)
    lines = asked()
    async with client:
        say({})
        while (what := await anyio.to_thread.run_sync(partial(next, lines, None))) is not None:
            do = what.pop("do")
            gc.collect()
            if do == "batch":
                say(await _batch_async(client, **what))
            elif do == "open":
                say(await _open_async(options, **what))
            elif do == "look up":
                say(await _look_up_async(options, **what))
            else:
                say(await _repeat_async(calls[do], **what))


async def _repeat_async(call: Callable[[], Awaitable[Any]], *, in_flight: int, seconds: float = 0.0) -> dict[str, Any]:
    """So many at once, each again and again for so long, or once."""
    import anyio

    tally = _Tally()
    begin, cpu = perf_counter(), process_time()
    until = begin + seconds

    async def repeat() -> None:
        while True:
            try:
                tally.count(await call())
            except Exception as error:  # noqa: BLE001  (counted)
                tally.count(error)
                return
            if perf_counter() >= until:
                return

    async with anyio.create_task_group() as group:
        for _ in range(in_flight):
            group.start_soon(repeat)
    return tally.told(begin, cpu)


async def _batch_async(client: Any, *, items: int, seconds: float, one_by_one: bool) -> dict[str, Any]:
    tally = _Tally()
    begin, cpu = perf_counter(), process_time()
    while perf_counter() < begin + seconds or not tally.answers:
        envelopes = _envelopes(client, items)
        results = [await client.send(each) for each in envelopes] if one_by_one else await client.send_batch(envelopes)
        for result in results:
            tally.count(result)
    return tally.told(begin, cpu)


_KEPT: Final[list[Any]] = []


async def _open_async(options: dict[str, Any], *, clients: int, in_flight: int) -> dict[str, Any]:
    """Has more clients, each with so many exchanges at once, and then with as many connections as it keeps."""
    front = importlib.import_module(f"asap_adapters.{options['runtime']}")
    tally = {}
    for _ in range(clients):
        client = front.Client(options["url"], me=_ME, peer=fixtures.ECHO, timeout=_PATIENCE)
        _KEPT.append(client)
        tally = await _repeat_async(_calls(client)["transport"], in_flight=in_flight)
        if tally["failures"]:
            break
    gc.collect()
    return tally


async def _look_up_async(options: dict[str, Any], *, agents: int, lookups: int) -> dict[str, Any]:
    """Asks for the manifest of each of so many agents, again and again."""
    front = importlib.import_module(f"asap_adapters.{options['runtime']}")
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(front.Client(f"{options['url']}/{number}", me=_ME, peer=fixtures.ECHO))
            for number in range(agents)
        ]
        for number in range(lookups):
            await clients[number % agents].manifest()
    return {}


# -- in threads -------------------------------------------------------------------------------------------------------


def _serve_sync(options: dict[str, Any]) -> None:
    from ..sync import Client

    threading.stack_size(_STACK)
    with Client(options["url"], me=_ME, peer=fixtures.ECHO, timeout=_PATIENCE) as client:
        calls = _calls(client)
        say({})
        for what in asked():
            do = what.pop("do")
            gc.collect()
            if do == "batch":
                say(_batch_sync(client, **what))
            elif do == "open":
                say(_open_sync(options["url"], **what))
            elif do == "look up":
                say(_look_up_sync(options["url"], **what))
            else:
                say(_repeat_sync(calls[do], **what))


def _repeat_sync(call: Callable[[], Any], *, in_flight: int, seconds: float = 0.0) -> dict[str, Any]:
    tally, lock = _Tally(), threading.Lock()
    with ThreadPoolExecutor(in_flight) as threads:
        begin, cpu = perf_counter(), process_time()
        until = begin + seconds

        def repeat() -> None:
            while True:
                try:
                    result = call()
                except Exception as error:  # noqa: BLE001  (counted)
                    result = error
                with lock:
                    tally.count(result)
                if perf_counter() >= until:
                    return

        for _ in range(in_flight):
            threads.submit(repeat)
        threads.shutdown()
        return tally.told(begin, cpu)


def _batch_sync(client: Any, *, items: int, seconds: float, one_by_one: bool) -> dict[str, Any]:
    tally = _Tally()
    begin, cpu = perf_counter(), process_time()
    while perf_counter() < begin + seconds or not tally.answers:
        envelopes = _envelopes(client, items)
        for result in [client.send(each) for each in envelopes] if one_by_one else client.send_batch(envelopes):
            tally.count(result)
    return tally.told(begin, cpu)


def _open_sync(url: str, *, clients: int, in_flight: int) -> dict[str, Any]:
    from ..sync import Client

    tally = {}
    for _ in range(clients):
        client = Client(url, me=_ME, peer=fixtures.ECHO, timeout=_PATIENCE)
        _KEPT.append(client)
        tally = _repeat_sync(_calls(client)["transport"], in_flight=in_flight)
        if tally["failures"]:
            break
    gc.collect()
    return tally


def _look_up_sync(url: str, *, agents: int, lookups: int) -> dict[str, Any]:
    from ..sync import Client

    with ExitStack() as stack:
        clients = [
            stack.enter_context(Client(f"{url}/{number}", me=_ME, peer=fixtures.ECHO)) for number in range(agents)
        ]
        for number in range(lookups):
            clients[number % agents].manifest()
    return {}


def _main(options: dict[str, Any]) -> None:
    open_many()
    if options["runtime"] == "sync":
        _serve_sync(options)
    elif options["runtime"] == "trio":
        import trio

        trio.run(_serve_async, options)
    else:
        asyncio.run(_serve_async(options))


if __name__ == "__main__":
    _main(orjson.loads(sys.argv[1]))
