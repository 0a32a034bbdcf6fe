"""What stays behind of each request: memory, file descriptors, threads and tasks, once all that is bounded is full."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Final

from asap_proto.errors import AsapError
from asap_proto.limits import Limits

from ...sync import Client
from .. import servers
from ..agents import FRESH_SECONDS, TOKEN
from ..calling import connected
from ..clients import calling
from ..figures import Figure, Void
from ..fixtures import ECHO
from ..growth import SEGMENTS, Growth, growth
from ..options import Options
from ..processes import CLIENT_CORE, Child, module

__all__ = ["measure"]

CONNECTIONS = 32
#: How long a server's stores fill up before anything counts. Nonces take longest, and the allocator's pages many times
#: as long, where each thread has some: such a server still grew by 11 bytes a request in its second minute, and by 4 in
#: its third.
SERVER_WARM_SECONDS = 12 * FRESH_SECONDS
#: The same of a client, which remembers nothing.
CLIENT_WARM_SECONDS = 2 * FRESH_SECONDS
#: How long the same connections ask: what they ask was fresh when they were made.
_VISIT_SECONDS: Final = FRESH_SECONDS / 2
#: Bytes a request: the smallest object that CPython keeps takes as many, and the place that refers to it 8 more.
_LEAK: Final = 16
#: How long a server may take to notice that its callers are gone.
_SETTLE_SECONDS: Final = 20.0


def measure(options: Options) -> Iterator[Figure]:
    """Growth by request of servers and clients, and of a server that leaks on purpose, which has to be found out."""
    with ExitStack() as stack:
        load = stack.enter_context(Child(module("load"), core=CLIENT_CORE))
        for runtime in options.runtimes:
            yield from _server(load, f"{runtime}:lasting", runtime, options)
        if "asyncio" in options.runtimes:
            with servers.ours("asyncio:leaking") as server:
                found = _of_server(load, server, "a server that leaks", options)
            yield _figure("growth of a server that leaks 64 bytes a request", found, found.low, least=_LEAK)
    for runtime in options.runtimes:
        yield _client(runtime, options)


def _server(load: Child, agent: str, runtime: str, options: Options) -> Iterator[Figure]:
    with servers.ours(agent) as server:
        start = _census(server)
        if runtime == "sync":
            _start_threads(server)
        _press(load, server, 1.0)
        before = _settled(server, lambda now: now["file descriptors"] <= start["file descriptors"])
        found = _of_server(load, server, f"server, {runtime}", options)
        after = _settled(server, lambda now: all(now[name] <= before[name] for name in now))
    yield _figure(f"growth of memory a request, server, {runtime}", found, found.high, most=_LEAK)
    for name, count in before.items():
        more = after[name] - count
        yield Figure(f"{name} more than before, server, {runtime}", more, "", None, None, 0, more <= 0)


def _of_server(load: Child, server: servers.Server, name: str, options: Options) -> Growth:
    return _grown(
        lambda: _press(load, server, options.seconds), server.process, name, options, warm=SERVER_WARM_SECONDS
    )


def _press(load: Child, server: servers.Server, seconds: float) -> int:
    """Asks for so long, and counts the answers; time and again by new connections, as requests must be fresh."""
    answers = 0
    while seconds > 0:
        with connected(load, server.port, CONNECTIONS, full=True):
            answers += load.ask(do="run", seconds=min(seconds, _VISIT_SECONDS))["answers"]
        seconds -= _VISIT_SECONDS
    return answers


def _client(runtime: str, options: Options) -> Figure:
    name = f"client, {runtime}"
    with servers.raw() as server, calling(server.url, runtime) as client:

        def ask() -> int:
            told = client.ask(do="request", in_flight=CONNECTIONS, seconds=options.seconds)
            return int(told["answers"])

        found = _grown(ask, client, name, options, warm=CLIENT_WARM_SECONDS)
    return _figure(f"growth of memory a request, {name}", found, found.high, most=_LEAK)


def _grown(ask: Callable[[], int], process: Child, name: str, options: Options, *, warm: float) -> Growth:
    options.progress(f"{name}, until all that is bounded is full")
    until = time.monotonic() + warm
    while time.monotonic() < until:
        ask()
    added, each = [], []
    for stretch in range(SEGMENTS):
        options.progress(f"{name}, stretch {stretch + 1} of {SEGMENTS}")
        before = process.resident_bytes()
        each.append(ask())
        added.append(process.resident_bytes() - before)
    return growth(added, each)


def _figure(name: str, found: Growth, value: float, *, most: float | None = None, least: float | None = None) -> Figure:
    note = f"{found.mean:.1f}, 95 % of such intervals hold it: {found.low:.1f} to {found.high:.1f}"
    if least is None:
        return Figure(name, value, "B", None, None, most, most is not None and value <= most, note=note)
    return Figure(name, value, "B", None, None, least, value >= least, at_least=True, note=note)


def _settled(server: servers.Server, is_back: Callable[[Mapping[str, float]], bool]) -> dict[str, float]:
    """What the server has open, once that is as it should be, or its time is over."""
    until = time.monotonic() + _SETTLE_SECONDS
    while True:
        now = _census(server)
        if is_back(now) or time.monotonic() > until:
            return now
        time.sleep(0.2)


def _start_threads(server: servers.Server) -> None:
    """Has every thread of the server's at work at once: they are started as they are needed, and stay."""
    many = Limits().handler_threads
    with _caller(server) as client, ThreadPoolExecutor(many) as threads:
        list(threads.map(lambda _: client.request("hold", {}), range(many)))


def _caller(server: servers.Server) -> Client:
    return Client(server.url, me="urn:asap:agent:coordinator", peer=ECHO, token=TOKEN)


def _census(server: servers.Server) -> dict[str, float]:
    try:
        with _caller(server) as client:
            told = client.request("census", {}).result
    except AsapError as error:
        raise Void(f"the server does not say what it has open: {error}") from None
    process = server.process
    return {"file descriptors": process.open_files(), "threads": process.threads(), **(told or {})}
