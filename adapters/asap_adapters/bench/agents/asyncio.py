"""The echo agent on asyncio, and bare apps that are served exactly as it is."""

from __future__ import annotations

from typing import Any

from ..._awaiting.app import App
from ..._shared.agents import Served
from ...asyncio import Agent, Task
from ..fixtures import ECHO
from . import FULL, PLAIN, answer_bare
from . import echo as repeat

__all__ = ["agent", "bare", "full"]


async def echo(task: Task) -> dict[str, Any]:
    """The skill."""
    return repeat(task)


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
for one in (agent, full, bare):
    one.skill("echo", description="Repeats the input")(echo)
