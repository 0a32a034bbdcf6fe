"""Our client against our server, beside the reference's against its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from .. import servers
from ..clients import calling
from ..figures import Figure, Measured, Rounds
from ..options import Options
from ..processes import CLIENT_CORE, Child
from ..reference import RELEASE, find_reference

__all__ = ["measure"]

IN_FLIGHT: Final = 32
_LEAST: Final = {"asyncio": 25, "trio": 15, "sync": 15}
_REFERENCE: Final = f"the reference, {RELEASE}, with itself"


def measure(options: Options) -> Iterator[Figure]:
    """Requests/s, each with nonce and key, by one client."""
    rounds = Rounds(options.rounds, options.progress)
    turns: dict[str, Callable[[], Measured]] = {}
    with ExitStack() as stack:
        for runtime in options.runtimes:
            server = stack.enter_context(servers.ours(f"{runtime}:agent"))
            client = stack.enter_context(calling(server.url, runtime))
            turns[runtime] = partial(client.ask, do="request", in_flight=IN_FLIGHT, seconds=options.seconds)
        python, why = find_reference(options.reference)
        if why:
            rounds.leave_out(_REFERENCE, why)
        else:
            url = stack.enter_context(servers.reference(python)).url
            command = servers.peer(python, "reference_client.py")
            theirs = stack.enter_context(Child(command, core=CLIENT_CORE, knows_us=False))
            turns[_REFERENCE] = partial(theirs.ask, url=url, seconds=options.seconds, in_flight=IN_FLIGHT)
        rounds.measure(turns)
    for runtime in options.runtimes:
        yield rounds.figure(
            f"requests/s end to end, {runtime}, {IN_FLIGHT} in flight",
            (runtime, "rate"),
            "/s",
            to=(_REFERENCE, "rate"),
            least=_LEAST[runtime],
        )
