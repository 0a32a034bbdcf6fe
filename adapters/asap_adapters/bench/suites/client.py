"""What a client of ours can ask in a second, beside clients of httpx's shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from typing import Final

from .. import servers
from ..clients import calling
from ..figures import Figure, Measured, Rounds
from ..options import Options

__all__ = ["measure"]

#: Exchanges at once: those of a busy agent, far more than a pool has connections, and a burst that has to pass.
IN_FLIGHT, CROWD, BURST = 100, 1000, 5000

_LIBRARIES: Final = {"httpx": 20, "httpx2": 5}


def measure(options: Options) -> Iterator[Figure]:
    """Requests/s, in a server's company that is much faster."""
    rounds = Rounds(options.rounds, options.progress)
    turns: dict[str, Callable[[], Measured]] = {}
    with ExitStack() as stack:
        url = stack.enter_context(servers.raw()).url
        for runtime in options.runtimes:
            client = stack.enter_context(calling(url, runtime))
            for do in ("transport", "request"):
                for in_flight in (IN_FLIGHT, CROWD):
                    turns[f"{do}, {runtime} at {in_flight}"] = partial(
                        client.ask, do=do, in_flight=in_flight, seconds=options.seconds
                    )
        for library in _LIBRARIES:
            if why := _missing(library, options):
                rounds.leave_out(library, why)
            else:
                client = stack.enter_context(calling(url, "asyncio", library=library))
                turns[library] = partial(client.ask, do="transport", in_flight=IN_FLIGHT, seconds=options.seconds)
        rounds.measure(turns)
    for runtime in options.runtimes:
        yield from _figures(runtime, rounds)
    yield from _bursts(options)


def _bursts(options: Options) -> Iterator[Figure]:
    """Once, by clients that are new: it is to pass."""
    rounds = Rounds(1, options.progress)
    rounds.measure({f"burst, {runtime}": partial(_burst, runtime) for runtime in options.runtimes})
    for runtime in options.runtimes:
        name = f"answers to {BURST} at once, {runtime}"
        yield rounds.figure(name, (f"burst, {runtime}", "answers"), "", least=BURST)
        yield rounds.figure(f"time for {BURST} at once, {runtime}", (f"burst, {runtime}", "seconds"), "s")


def _burst(runtime: str) -> Measured:
    with servers.raw() as server, calling(server.url, runtime) as client:
        return client.ask(do="transport", in_flight=BURST)


def _missing(library: str, options: Options) -> str:
    if "asyncio" not in options.runtimes:
        return "the asyncio front is not measured"
    if library == "httpx2" and not options.peers:
        return "asked for by --peers alone"
    return "" if find_spec(library) else f"{library} is not installed"


def _figures(runtime: str, rounds: Rounds) -> Iterator[Figure]:
    for do, words in (("transport", "default transport"), ("request", "Client.request")):
        some, many = (f"{do}, {runtime} at {in_flight}" for in_flight in (IN_FLIGHT, CROWD))
        name = f"requests/s, {words}, {runtime}, {IN_FLIGHT} in flight"
        if runtime == "asyncio":
            for library, least in _LIBRARIES.items():
                # A whole client does more than a bare library: what that costs is told, not promised.
                bound = least if do == "transport" else None
                yield rounds.figure(name, (some, "rate"), "/s", to=(library, "rate"), least=bound)
        else:
            yield rounds.figure(name, (some, "rate"), "/s")
        yield rounds.figure(
            f"requests/s, {words}, {runtime}, {CROWD} in flight",
            (many, "rate"),
            "/s",
            to=(some, "rate"),
            baseline=f"{IN_FLIGHT} in flight",
            least=0.6,
        )
