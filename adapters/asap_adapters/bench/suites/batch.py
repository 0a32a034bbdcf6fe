"""What an array of requests saves, beside the same requests one after another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Final

from .. import fixtures, servers
from ..clients import calling
from ..figures import Figure, Measured, Rounds
from ..measure import in_turn
from ..options import Options
from ..processes import Child

__all__ = ["measure"]

ITEMS: Final = 100
_CODEC: Final = "decode and encode alone"
_FASTER_LEAST, _CPU_MOST = 12, 2.5


def measure(options: Options) -> Iterator[Figure]:
    """Envelopes/s and what each costs the server, by the same client."""
    rounds = Rounds(options.rounds, options.progress)
    with ExitStack() as stack:
        turns = {_CODEC: _codec}
        for runtime in options.runtimes:
            server = stack.enter_context(servers.ours(f"{runtime}:agent"))
            client = stack.enter_context(calling(server.url, runtime))
            for name, one_by_one in ((_array(runtime), False), (_sequence(runtime), True)):
                turns[name] = partial(_once, client, server, options.seconds, one_by_one=one_by_one)
        rounds.measure(turns)
    for runtime in options.runtimes:
        array = _array(runtime)
        yield rounds.figure(
            f"envelopes/s in arrays of {ITEMS}, {runtime}",
            (array, "rate"),
            "/s",
            to=(_sequence(runtime), "rate"),
            baseline="one after another",
            least=_FASTER_LEAST,
        )
        yield rounds.figure(
            f"server CPU an envelope in an array, {runtime}",
            (array, "server"),
            "us",
            to=(_CODEC, "server"),
            most=_CPU_MOST,
            scale=1e6,
        )
        yield rounds.figure(
            f"client CPU an envelope in an array, {runtime}",
            (array, "client"),
            "us",
            to=(_CODEC, "server"),
            scale=1e6,
        )


def _once(client: Child, server: servers.Server, seconds: float, *, one_by_one: bool) -> Measured:
    begin = server.process.cpu_seconds()
    told = client.ask(do="batch", items=ITEMS, seconds=seconds, one_by_one=one_by_one)
    cpu = (server.process.cpu_seconds() - begin) / told["answers"]
    return {"rate": told["rate"], "server": cpu, "client": told["cpu"]}


def _codec() -> Measured:
    """Seconds for a request read and its response written, as a server does both."""
    bodies = fixtures.requests(ITEMS)
    took = in_turn(
        {"both": lambda body: fixtures.encode_response(fixtures.response(fixtures.decode_request(body)))}, bodies
    )
    return {"server": took["both"] / 1e6}


def _array(runtime: str) -> str:
    return f"arrays, {runtime}"


def _sequence(runtime: str) -> str:
    return f"one after another, {runtime}"
