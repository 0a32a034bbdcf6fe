"""How much smaller realistic envelopes get in each coding, and what that costs."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
from attrs import frozen

from .._shared.deflate import CODINGS, deflate

__all__ = ["Packed", "envelopes", "measure"]

_ROUNDS = 9
_SEED = 38  # so that every run measures the same bytes


@frozen
class Packed:
    """One coding of bodies of one size: by which share they get smaller, and the seconds that each takes."""

    coding: str
    size: int
    smaller: float
    seconds: float


def measure(
    sizes: Sequence[int] = (2_500, 10_000, 100_000),
    *,
    rounds: int = _ROUNDS,
    coders: Mapping[str, Callable[[bytes], bytes]] | None = None,
) -> list[Packed]:
    """Each coding, in turns, so that what else the machine does befalls them alike: the median of some rounds.

    `coders` are those that are measured, by name; ours if not given.
    """
    if coders is None:
        coders = {coding: partial(deflate, coding=coding) for coding in CODINGS}
    found = []
    for size in sizes:
        bodies = envelopes(8, size=size)
        took: dict[str, list[float]] = {name: [] for name in coders}
        for _ in range(rounds):
            for name, coder in coders.items():
                started = time.perf_counter()
                for body in bodies:
                    coder(body)
                took[name].append((time.perf_counter() - started) / len(bodies))
        whole = sum(map(len, bodies))
        for name, coder in coders.items():
            packed = sum(len(coder(body)) for body in bodies)
            found.append(Packed(name, size, 1 - packed / whole, statistics.median(took[name])))
    return found


def envelopes(count: int, *, size: int) -> list[bytes]:
    """Answers of about this size, no two alike: what an agent found, in prose, in records and in figures."""
    # English as it is written by hand: what every Python says of itself.
    from pydoc_data.topics import topics

    text = " ".join(" ".join(topics[name] for name in sorted(topics)).split())
    chance = random.Random(_SEED)  # nosec B311  # it is to be the same each time
    return [_answer(chance, text, size) for _ in range(count)]


def _answer(chance: random.Random, text: str, size: int) -> bytes:
    def words(length: int) -> str:
        start = chance.randrange(len(text) - length)
        return text[start : start + length]

    def name(prefix: str) -> str:
        return prefix + "".join(chance.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=26))

    def stamp() -> str:
        day, hour, minute, second = (chance.randrange(most) for most in (28, 24, 60, 60))
        return f"2026-11-{day + 1:02d}T{hour:02d}:{minute:02d}:{second:02d}.{chance.randrange(10**6):06d}Z"

    def record() -> dict[str, Any]:
        return {
            "id": f"doc-{chance.randrange(10**6)}",
            "title": words(40),
            "url": f"https://example.org/{chance.choice(['news', 'docs', 'blog'])}/{chance.randrange(10**6)}",
            "score": round(chance.random(), 4),
            "published": stamp()[:10],
            "tags": chance.sample(["news", "tech", "science", "law", "health"], 2),
            "excerpt": words(160),
        }

    def figures() -> dict[str, Any]:
        return {
            "at": stamp()[:16] + ":00Z",
            "account": chance.randrange(10**6),
            "amount": round(chance.gauss(200, 80), 2),
            "currency": chance.choice(["EUR", "USD"]),
            "settled": chance.random() < 0.9,
        }

    result: dict[str, Any] = {"summary": words(min(size // 10, 2_000)), "records": [], "figures": []}
    envelope = {
        "id": name(""),
        "asap_version": "0.1",
        "timestamp": stamp(),
        "sender": "urn:asap:agent:research",
        "recipient": "urn:asap:agent:coordinator",
        "payload_type": "task.response",
        "payload": {"task_id": name("task_"), "status": "completed", "result": result},
        "correlation_id": name(""),
        "trace_id": f"{chance.getrandbits(128):032x}",
        "extensions": None,
    }
    document = {"jsonrpc": "2.0", "result": {"envelope": envelope}, "id": "req-1"}
    left = size - len(orjson.dumps(document))
    while left > 0:
        for kind, make in (("records", record), ("figures", figures), ("figures", figures)):
            made = make()
            result[kind].append(made)
            left -= len(orjson.dumps(made)) + 1
    return orjson.dumps(document)
