"""The echo agent on trio, and bare apps that are served exactly as it is."""

from __future__ import annotations

from typing import Any

import trio

from ..._awaiting.app import App
from ..._shared.agents import Served
from ...trio import Agent, Task
from ..fixtures import ECHO
from . import FULL, LASTING, PLAIN, answer_bare
from . import echo as repeat

__all__ = ["agent", "bare", "full", "lasting"]


async def echo(task: Task) -> dict[str, Any]:
    """The skill."""
    return repeat(task)


async def census(task: Task) -> dict[str, Any]:
    """How many tasks the event loop has."""
    return {"tasks": trio.lowlevel.current_statistics().tasks_living}


class _Bare(App):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await answer_bare(receive, send)
        else:
            await super().__call__(scope, receive, send)


class _BareAgent(Agent):
    def app(self) -> App:
        return _Bare(self, Served.of(self))


agent = Agent(ECHO, **PLAIN)
full = Agent(ECHO, **FULL)
bare = _BareAgent(ECHO, **PLAIN)
lasting = Agent(ECHO, **LASTING)
for one in (agent, full, bare, lasting):
    one.skill("echo", description="Repeats the input")(echo)
lasting.skill("census", description="Counts what the agent has open")(census)
