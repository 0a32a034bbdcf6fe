"""Connections by the thousand, each with a request at a time: all are answered, or told to come again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from .. import servers
from ..calling import rates
from ..figures import Figure, Measured, Rounds
from ..options import Options
from ..processes import CLIENT_CORE, Child, module

__all__ = ["measure"]

#: Connections, and what they are compared to.
SOME, MANY, CROWD = 32, 1000, 5000
#: What part of the requests/s of few connections many have together.
_LEAST: Final = 0.6


def measure(options: Options) -> Iterator[Figure]:
    """Requests/s, and how late answers are, beside those of few connections; one wrong answer makes it void."""
    rounds = Rounds(options.rounds, options.progress)
    with ExitStack() as stack:
        load = stack.enter_context(Child(module("load"), core=CLIENT_CORE))
        turns = {
            f"{runtime} at {connections}": partial(_once, load, runtime, connections, options.seconds)
            for runtime in options.runtimes
            for connections in (SOME, MANY, CROWD)
        }
        rounds.measure(turns)
    for runtime in options.runtimes:
        some = f"{runtime} at {SOME}"
        for connections in (MANY, CROWD):
            many = f"{runtime} at {connections}"
            yield rounds.figure(
                f"requests/s at {connections}, {runtime}",
                (many, "rate"),
                "/s",
                to=(some, "rate"),
                baseline=f"at {SOME}",
                least=_LEAST,
            )
            yield rounds.figure(f"turned away of {connections}, {runtime}", (many, "refused"), "")
            for quantile in ("p50", "p95", "p99"):
                yield rounds.figure(f"{quantile} at {connections}, {runtime}", (many, quantile), "ms")


def _once(load: Child, runtime: str, connections: int, seconds: float) -> Measured:
    with servers.ours(f"{runtime}:agent") as server:
        return rates(load, server, connections, seconds, may_refuse=True)
