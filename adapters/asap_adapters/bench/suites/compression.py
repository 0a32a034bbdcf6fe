"""How much smaller realistic envelopes become, and how long that takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Final

from ..._shared.deflate import CODINGS, deflate
from .. import compression
from ..figures import Figure, Measured, Rounds
from ..options import Options

__all__ = ["measure"]

#: Bytes of an envelope, and what is promised of it: how much smaller it is in %, and in how many us.
_SIZES: Final = {10_000: (63, 60), 100_000: (70, 300)}


def measure(options: Options) -> Iterator[Figure]:
    """Each coding that can be had here; the bounds are for the one that is preferred."""
    rounds = Rounds(options.rounds, options.progress)
    rounds.measure({_name(coding, size): partial(_once, coding, size) for size in _SIZES for coding in CODINGS})
    for size, (smaller, us) in _SIZES.items():
        for coding in CODINGS:
            is_best = coding == CODINGS[0]
            name = _name(coding, size)
            yield rounds.figure(f"smaller, {name}", (name, "smaller"), "%", least=smaller if is_best else None)
            yield rounds.figure(f"compress, {name}", (name, "us"), "us", most=us if is_best else None)


def _once(coding: str, size: int) -> Measured:
    [packed] = compression.measure((size,), rounds=3, coders={coding: partial(deflate, coding=coding)})
    return {"smaller": 100 * packed.smaller, "us": 1e6 * packed.seconds}


def _name(coding: str, size: int) -> str:
    return f"{size // 1000} kB by {coding}"
