"""The echo agents that are measured, each served by a process of its own, and bare apps that answer as many bytes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from functools import cache
from hmac import compare_digest
from typing import Any, Final

from attrs import evolve

from asap_proto.http import HttpResponse
from asap_proto.limits import Limits

from .. import fixtures

__all__ = ["FRESH_SECONDS", "FULL", "LASTING", "PLAIN", "TOKEN", "answer_bare", "bare_headers", "bare_response", "echo"]

#: Shown by callers of agents that ask who they are.
TOKEN: Final = "a-token-of-the-usual-length-0123456789"  # nosec B105  # opens nothing but an agent that repeats
_CALLER: Final = "urn:asap:agent:coordinator"

#: As anybody would make one.
PLAIN: Final[dict[str, Any]] = {
    "name": "Echo",
    "version": "1.0.0",
    "description": "Repeats what it hears",
    # A measurement asks more in a minute than any caller does in ten, all in one name: replays are looked for as ever.
    "limits": Limits(nonces=100_000_000, nonces_each=100_000_000),
}


def _caller_of(token: str) -> str | None:
    return _CALLER if compare_digest(token.encode(), TOKEN.encode()) else None


#: With all that an agent for strangers has: callers are known, counted, and can't repeat themselves.
FULL: Final[dict[str, Any]] = {
    **PLAIN,
    "token_validator": _caller_of,
    "quota": "1000000/second",
    "nonces": "require",
}


#: Seconds for which `LASTING` takes an envelope; it remembers nonces a little longer.
FRESH_SECONDS: Final = 10.0
#: With stores that are full within seconds: what still grows then, grows for ever.
LASTING: Final[dict[str, Any]] = {
    **FULL,
    "limits": evolve(
        PLAIN["limits"],
        tasks=2000,
        keys=2000,
        oldest_seconds=FRESH_SECONDS,
        ahead_seconds=0.0,
        nonce_seconds=FRESH_SECONDS + 1,
    ),
}


def echo(task: Any) -> dict[str, Any]:
    """The skill."""
    return {"echoed": task.input}


@cache
def bare_response() -> HttpResponse:
    """What the echo agent answers to the common request, with as many bytes: its own answer to one."""
    return fixtures.EchoServer().exchange(fixtures.requests(1, full=False)[0])


@cache
def bare_headers() -> list[tuple[bytes, bytes]]:
    """Its headers, as ASGI has them."""
    response = bare_response()
    named = {**response.headers, "content-length": str(len(response.body))}
    return [(name.encode(), value.encode()) for name, value in named.items()]


async def answer_bare(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """The least that an ASGI app can do: read all, and answer the same as ever."""
    while (await receive()).get("more_body", False):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": bare_headers()})
    await send({"type": "http.response.body", "body": bare_response().body})
