"""How much smaller realistic envelopes become, and how long that takes."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from .. import fixtures
from ..figures import Figure, Measured, Rounds
from ..measure import in_turn
from ..options import Options

__all__ = ["measure"]

#: Bytes of an envelope, and what is promised of it: how much smaller it is in %, and in how many us.
_SIZES: Final = {10_000: (63, 60), 100_000: (70, 300)}
#: Different ones, so that the measure is not of one of them.
ENVELOPES = 20


def measure(options: Options) -> Iterator[Figure]:
    """Each encoding that can be had here; the bounds are for the best of them."""
    try:
        deflating: Any = importlib.import_module("asap_adapters._shared.deflate")
    except ModuleNotFoundError:
        yield Figure("smaller bodies", None, "%", None, None, None, None, note="nothing is compressed yet")
        return
    rounds = Rounds(options.rounds, options.progress)
    rounds.measure(
        {
            _name(coding, size): partial(_once, deflating.deflate, coding, size)
            for size in _SIZES
            for coding in deflating.CODINGS
        }
    )
    for size, (smaller, us) in _SIZES.items():
        for coding in deflating.CODINGS:
            is_best = coding == deflating.CODINGS[0]
            name = _name(coding, size)
            yield rounds.figure(f"smaller, {name}", (name, "smaller"), "%", least=smaller if is_best else None)
            yield rounds.figure(f"compress, {name}", (name, "us"), "us", most=us if is_best else None)


def _once(deflate: Any, coding: str, size: int) -> Measured:
    bodies = [fixtures.encode_response(fixtures.prose(size, seed)) for seed in range(ENVELOPES)]
    took = in_turn({"deflate": lambda body: deflate(body, coding)}, bodies)
    left = sum(len(deflate(body, coding)) for body in bodies)
    return {"smaller": 100 * (1 - left / sum(map(len, bodies))), "us": took["deflate"]}


def _name(coding: str, size: int) -> str:
    return f"{size // 1000} kB by {coding}"
