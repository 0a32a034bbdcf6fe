"""Where a server breaks, and how: a load that grows by steps, twice what was held, and then half of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any, Final

from .. import servers
from ..calling import connected
from ..figures import Figure, Measured, Rounds, Void
from ..options import Options
from ..processes import CLIENT_CORE, Child, module

__all__ = ["climb", "measure"]

#: As many as a worker answers at once (`Limits.requests`): so many callers wait when it is behind.
CONNECTIONS = 1000
#: Requests/s of the first step, and how many times that of the one before each next one is.
FIRST, GROWTH = 500.0, 1.4
#: Steps at most: what holds the last one is not broken by what calls here.
STEPS = 16
#: What part of a step has to be answered within its time, for it to be held.
HELD = 0.95
#: Requests/s that have to be held, as `pace` asks them: beyond that the machine decides.
_LEAST: Final = 1000
#: What part of what was held is still answered when twice that is asked, and how late those are who call afterwards,
#: beside those who called before.
_GOODPUT_LEAST, _AFTER_MOST = 0.6, 5.0


def measure(options: Options) -> Iterator[Figure]:
    """What is held at most, what is answered of twice that, and how late answers are at half of it then."""
    rounds = Rounds(options.rounds, options.progress)
    subjects = {runtime: f"{runtime}:agent" for runtime in options.runtimes}
    if "asyncio" in options.runtimes:
        subjects["asyncio, which turns away"] = "asyncio:punctual"
    with ExitStack() as stack:
        load = stack.enter_context(Child(module("load"), core=CLIENT_CORE))
        rounds.measure({name: partial(_once, load, agent, options) for name, agent in subjects.items()})
    for name in subjects:
        yield from _figures(rounds, name)


def climb(answered: Callable[[float], float]) -> float:
    """The last step that is held, in requests/s, of a server that answers so many where so many are asked.

    Raises `Void` where not even the first is.
    """
    held = 0.0
    for step in range(STEPS):
        rate = FIRST * GROWTH**step
        if answered(rate) < HELD * rate:
            break
        held = rate
    if not held:
        raise Void(f"not even {FIRST:g} requests/s are held")
    return held


def _once(load: Child, agent: str, options: Options) -> Measured:
    with servers.ours(agent) as server, connected(load, server.port, CONNECTIONS):

        def ask(rate: float) -> dict[str, Any]:
            options.progress(f"{agent} at {rate:,.0f} requests/s")
            return load.ask(do="pace", rate=rate, seconds=options.seconds, presses=True)

        held = climb(lambda rate: ask(rate)["rate"])
        before = ask(held / 2)
        over = ask(held * 2)
        after = ask(held / 2)
        return {
            "held": held,
            "before": before["p95"],
            "over": over["rate"],
            "over p50": over["p50"],
            "over p99": over["p99"],
            "refused": over["refused"] / options.seconds,
            "after": after["p95"],
        }


def _figures(rounds: Rounds, name: str) -> Iterator[Figure]:
    yield rounds.figure(f"requests/s held, {name}", (name, "held"), "/s", least=_LEAST)
    yield rounds.figure(
        f"answers/s when twice that is asked, {name}",
        (name, "over"),
        "/s",
        to=(name, "held"),
        baseline="what is held",
        least=_GOODPUT_LEAST,
    )
    yield rounds.figure(f"turned away of these, {name}", (name, "refused"), "/s")
    for quantile in ("p50", "p99"):
        yield rounds.figure(f"{quantile} of what is answered of these, {name}", (name, f"over {quantile}"), "ms")
    yield rounds.figure(
        f"p95 at half of what is held, right after, {name}",
        (name, "after"),
        "ms",
        to=(name, "before"),
        baseline="before",
        most=_AFTER_MOST,
    )
