"""The other end of `Child`: what a process is asked comes on stdin, and its answers go to stdout, JSON by lines."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import orjson

__all__ = ["asked", "say"]


def say(answer: Any) -> None:
    """One line to whoever started this process."""
    sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
    sys.stdout.buffer.flush()


def asked() -> Iterator[dict[str, Any]]:
    """What is asked, until whoever asks is gone."""
    while line := sys.stdin.buffer.readline():
        yield orjson.loads(line)
