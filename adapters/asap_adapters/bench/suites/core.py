"""The work of one exchange in this process, as ratios to bare JSON work, and what an import takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from .. import fixtures
from ..figures import Figure
from ..measure import import_cost, in_turn, in_turn_awaiting
from ..options import Options

__all__ = ["measure"]

#: Requests in each round.
_ITEMS = 400


def measure(options: Options) -> Iterator[Figure]:
    """Every figure; of the rounds, the best counts."""
    for shape in fixtures.SHAPES:
        options.progress(f"decoding and encoding, {shape}")
        yield from _codec(shape, options.rounds)
    for full in (False, True):
        options.progress("whole exchanges")
        yield from _exchange(full, options.rounds)
    options.progress("importing")
    yield from _importing(options.rounds)


def _codec(shape: str, rounds: int) -> list[Figure]:
    tries = [_codec_once(shape) for _ in range(rounds)]
    read = min(tries, key=lambda took: took["decode"] / took["loads"])
    wrote = min(tries, key=lambda took: took["encode"] / took["dumps"])
    return [
        _ratio(f"decode a request of 742 bytes, {shape}", read["decode"], "orjson.loads", read["loads"], 2.5),
        _ratio(f"encode its response, {shape}", wrote["encode"], "orjson.dumps", wrote["dumps"], 3.5),
    ]


def _codec_once(shape: str) -> dict[str, float]:
    items = []
    for body in fixtures.requests(_ITEMS, shape=shape):
        reply = fixtures.response(fixtures.decode_request(body))
        items.append((body, reply, orjson.loads(fixtures.encode_response(reply))))
    subjects: dict[str, Callable[[tuple[bytes, Any, Any]], object]] = {
        "loads": lambda item: orjson.loads(item[0]),
        "decode": lambda item: fixtures.decode_request(item[0]),
        "dumps": lambda item: orjson.dumps(item[2]),
        "encode": lambda item: fixtures.encode_response(item[1]),
    }
    return in_turn(subjects, items)


def _exchange(full: bool, rounds: int) -> list[Figure]:
    tries = [asyncio.run(_exchange_once(full)) for _ in range(rounds)]
    what = "with nonce and key" if full else "without"
    figures = []
    for name, where, floor in (("role", "ServerRole", 15), ("app", "the ASGI app", 30)):
        best = min(tries, key=lambda each: each[name] / each["loads"])
        figures.append(_ratio(f"exchange through {where}, {what}", best[name], "orjson.loads", best["loads"], floor))
    return figures


async def _exchange_once(full: bool) -> dict[str, float]:
    server, app = fixtures.EchoServer(), fixtures.echo_app()
    first, rest = fixtures.requests(1, full=full)[0], fixtures.requests(_ITEMS, full=full)
    assert server.exchange(first).status == 200
    assert (await app(first))[0]["status"] == 200
    return await in_turn_awaiting({"loads": orjson.loads, "role": server.exchange, "app": app}, rest)


def _importing(rounds: int) -> list[Figure]:
    cost = import_cost(
        {
            "import asap_proto": "import asap_proto",
            "every name of asap_proto": "from asap_proto import *",
            "import asap_proto.roles": "import asap_proto.roles",
        },
        max(rounds, 3),
    )
    floors: dict[str, float | None] = {"import asap_proto": 60.0}
    return [
        Figure(
            name, value, "ms", "bare Python", None, floor := floors.get(name), None if floor is None else value <= floor
        )
        for name, value in cost.items()
    ]


def _ratio(name: str, value: float, baseline: str, bare: float, floor: float) -> Figure:
    return Figure(name, value, "us", baseline, value / bare, floor, value <= floor * bare)
