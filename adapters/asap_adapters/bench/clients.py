"""The clients that are measured, each a process on the core of clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from .processes import CLIENT_CORE, Child, module

__all__ = ["calling"]


@contextmanager
def calling(url: str, runtime: str, **options: Any) -> Iterator[Child]:
    """A client of ours on that runtime, or with `library` one of httpx's shape, ready to call."""
    words = orjson.dumps({"url": url, "runtime": runtime, **options}).decode()
    with Child(module("client_process", words), core=CLIENT_CORE) as process:
        process.hear()
        yield process
