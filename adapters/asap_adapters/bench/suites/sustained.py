"""How late answers are at a steady rate that is kept up for a minute, so that collections of garbage are met."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

from .. import servers
from ..figures import Figure, Rounds
from ..options import Options
from ..processes import CLIENT_CORE, Child, module
from .pace import P95_MOST, QUANTILES, RATE, at_pace

__all__ = ["measure"]

SECONDS = 60.0


def measure(options: Options) -> Iterator[Figure]:
    """Median, p95 and p99 on each runtime, of one run."""
    rounds = Rounds(1, options.progress)
    with ExitStack() as stack:
        load = stack.enter_context(Child(module("load"), core=CLIENT_CORE))
        turns = {}
        for runtime in options.runtimes:
            server = stack.enter_context(servers.ours(f"{runtime}:agent"))
            turns[runtime] = partial(at_pace, load, server, SECONDS)
        rounds.measure(turns)
    for runtime in options.runtimes:
        for quantile in QUANTILES:
            most = P95_MOST if quantile == "p95" else None
            name = f"{quantile} at {RATE} requests/s for {SECONDS:g} s, {runtime}"
            yield rounds.figure(name, (runtime, quantile), "ms", most=most)
