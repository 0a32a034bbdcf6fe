"""What both sides are asked to do in the live tests: commands for a client, and what must come of them."""

import random
import string
from typing import Any, NamedTuple

CALLER = "urn:asap:agent:caller"
TOKEN = "a-good-token"
#: What servers of both sides are told to take, in bytes, where they can be told.
REQUEST_MOST = 1_000_000
TRACE = "0af7651916cd43dd8448eb211c80319c"


class Scenario(NamedTuple):
    """One command to a client, and the outcome: `ok`, or what the refusal must say."""

    name: str
    envelope: dict[str, Any]
    outcome: str = "ok"
    token: str | None = None
    server: dict[str, Any] = {}


def task(given: Any, **more: Any) -> dict[str, Any]:
    """An envelope that asks the echo skill."""
    return {"payload": {"conversation_id": "conversation", "skill_id": "echo", "input": given}, **more}


def noise(length: int) -> str:
    """Text that does not compress to less than three quarters."""
    return "".join(random.Random(length).choices(string.ascii_letters + string.digits + "-_", k=length))


ECHOES = (
    Scenario("plain", task({"message": "hi", "n": 1})),
    Scenario("empty", task({})),
    Scenario("unicode", task({"text": 'Příliš žluťoučký kůň 🐎 \u2028 \u0000 \\ "'})),
    Scenario("nested", task({"a": {"b": [{"c": [1, [2.5, None, True]]}]}, "": []})),
    Scenario("64 kB", task({"text": "sixteen letters " * 4096})),
    Scenario("incompressible", task({"text": noise(64 * 1024)})),
    Scenario("trace", task({"n": 2}, trace_id=TRACE)),
    Scenario("extensions", task({"n": 3}, extensions={"com.example.mood": {"calm": True}})),
    Scenario("old but valid", task({"n": 4}, age=270)),
    Scenario("ahead but valid", task({"n": 5}, age=-20)),
)

# Outcomes name the JSON-RPC code of 0.x and 1.0; `data.code` stands for it where a release has other numbers.
REFUSALS = (
    Scenario("unknown payload", {"payload_type": "Nope", "payload": {}}, "-32601 asap:transport/handler_not_found"),
    Scenario("stale", task({}, age=330), "-32602 asap:protocol/invalid_timestamp"),
    Scenario("from the future", task({}, age=-60), "-32602 asap:protocol/invalid_timestamp"),
)
