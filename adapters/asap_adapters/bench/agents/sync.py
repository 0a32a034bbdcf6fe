"""The echo agent on threads, its WSGI apps, and bare ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...sync import Agent
from ..fixtures import ECHO
from . import FULL, PLAIN, bare_response, echo

__all__ = ["agent", "app", "bare_app", "full", "full_app"]

agent = Agent(ECHO, **PLAIN)
full = Agent(ECHO, **FULL)
for one in (agent, full):
    one.skill("echo", description="Repeats the input")(echo)

app = agent.app()
full_app = full.app()


def bare_app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> list[bytes]:
    """The least that a WSGI app can do: read all, and answer the same as ever."""
    response = bare_response()
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [*response.headers.items(), ("content-length", str(len(response.body)))])
    return [response.body]
