"""Requests without end, each with an id, a nonce and a key of its own, at no cost worth naming."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import orjson

__all__ = ["Letters", "template"]

#: Digits that tell one request from another: so many stand at the end of each id, nonce and key.
_DIGITS = 16


def template(body: bytes) -> dict[str, Any]:
    """What `Letters` are made from, for a process that is to make them: one request, and what is to differ in each."""
    params = orjson.loads(body)["params"]
    envelope = params["envelope"]
    differing = [envelope["id"], (envelope["extensions"] or {}).get("nonce"), params.get("idempotency_key")]
    return {"body": body.decode(), "differing": [text for text in differing if text]}


class Letters:
    """Requests like one that was given, each another: so a server that looks for replays finds none."""

    def __init__(self, body: str, differing: list[str]) -> None:
        text = body
        for word in differing:
            text = text.replace(word, word[:-_DIGITS] + "\0")
        self._pieces = text.encode().split(b"\0")
        self._number = secrets.randbelow(10**15) * 10

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """A mark that only this request has, and which its answer repeats, and the request."""
        while True:
            self._number += 1
            mark = b"%016d" % self._number
            yield mark, mark.join(self._pieces)
