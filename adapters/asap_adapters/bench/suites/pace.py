"""How late answers are at a steady rate: counted from when a request was due, so that no wait is left out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from .. import servers
from ..calling import connected
from ..figures import Figure, Measured, Rounds
from ..options import Options
from ..processes import CLIENT_CORE, Child, module

__all__ = ["P95_MOST", "QUANTILES", "RATE", "at_pace", "measure"]

RATE, CONNECTIONS = 1000, 100
QUANTILES: Final = ("p50", "p95", "p99")
#: Milliseconds.
P95_MOST: Final = 5


def measure(options: Options) -> Iterator[Figure]:
    """Median, p95 and p99 on each runtime."""
    rounds = Rounds(options.rounds, options.progress)
    with ExitStack() as stack:
        load = stack.enter_context(Child(module("load"), core=CLIENT_CORE))
        turns = {}
        for runtime in options.runtimes:
            server = stack.enter_context(servers.ours(f"{runtime}:agent"))
            turns[runtime] = partial(at_pace, load, server, options.seconds)
        rounds.measure(turns)
    for runtime in options.runtimes:
        for quantile in QUANTILES:
            most = P95_MOST if quantile == "p95" else None
            yield rounds.figure(f"{quantile} at {RATE} requests/s, {runtime}", (runtime, quantile), "ms", most=most)


def at_pace(load: Child, server: servers.Server, seconds: float) -> Measured:
    """How late the answers of one run are, in ms."""
    with connected(load, server.port, CONNECTIONS):
        told = load.ask(do="pace", rate=RATE, seconds=seconds)
    return {quantile: told[quantile] for quantile in QUANTILES}
