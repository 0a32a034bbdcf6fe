"""How often a manifest is fetched by those who ask for it again and again, or all at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from .. import servers
from ..clients import calling
from ..figures import Figure, Measured, Rounds
from ..options import Options

__all__ = ["measure"]

#: Look-ups of so many agents, one after another, and askers at once.
LOOKUPS, AGENTS, ASKERS = 1000, 10, 100
_HITS_LEAST: Final = 99


def measure(options: Options) -> Iterator[Figure]:
    """Hits, and fetches under concurrent askers, by clients as they are made."""
    rounds = Rounds(1, options.progress)  # it is a count: again it would be the same
    rounds.measure(
        {
            **{f"again, {runtime}": partial(_again, runtime) for runtime in options.runtimes},
            **{f"at once, {runtime}": partial(_at_once, runtime) for runtime in options.runtimes},
        }
    )
    for runtime in options.runtimes:
        yield rounds.figure(
            f"hits of {LOOKUPS} look-ups of {AGENTS} agents, {runtime}",
            (f"again, {runtime}", "hits"),
            "%",
            least=_HITS_LEAST,
        )
        yield rounds.figure(
            f"fetches under {ASKERS} concurrent askers, {runtime}", (f"at once, {runtime}", "fetches"), "", most=1
        )


def _again(runtime: str) -> Measured:
    with servers.raw() as server, calling(server.url, runtime) as client:
        client.ask(do="look up", agents=AGENTS, lookups=LOOKUPS)
        return {"hits": 100 * (1 - server.process.ask()["fetches"] / LOOKUPS)}


def _at_once(runtime: str) -> Measured:
    with servers.raw() as server, calling(server.url, runtime) as client:
        client.ask(do="manifest", in_flight=ASKERS)
        return {"fetches": server.process.ask()["fetches"]}
