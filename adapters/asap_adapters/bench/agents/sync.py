"""The echo agent on threads, its WSGI apps, and bare ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ...sync import Agent, Task
from ..fixtures import ECHO
from . import FULL, LASTING, PLAIN, bare_response, echo

__all__ = ["agent", "app", "bare_app", "full", "full_app", "lasting"]


def census(task: Task) -> dict[str, Any]:
    """Threads are told from outside; there is nothing else."""
    return {}


def hold(task: Task) -> dict[str, Any]:
    """Has a thread for a moment, in which others are asked for too."""
    time.sleep(0.5)
    return {}


agent = Agent(ECHO, **PLAIN)
full = Agent(ECHO, **FULL)
lasting = Agent(ECHO, **LASTING)
for one in (agent, full, lasting):
    one.skill("echo", description="Repeats the input")(echo)
lasting.skill("census", description="Counts what the agent has open")(census)
lasting.skill("hold", description="Has a thread for a moment")(hold)

app = agent.app()
full_app = full.app()


def bare_app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]) -> list[bytes]:
    """The least that a WSGI app can do: read all, and answer the same as ever."""
    response = bare_response()
    environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    start_response("200 OK", [*response.headers.items(), ("content-length", str(len(response.body)))])
    return [response.body]
