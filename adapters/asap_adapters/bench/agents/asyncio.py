"""The echo agent on asyncio, and bare apps that are served exactly as it is."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from attrs import evolve

from ..._awaiting.app import App
from ..._shared.agents import Served
from ...asyncio import Agent, Task
from ..fixtures import ECHO
from . import FULL, LASTING, PLAIN, answer_bare
from . import echo as repeat

__all__ = ["agent", "bare", "full", "lasting", "leaking", "punctual"]

#: How late a worker may be that would rather turn requests away, in seconds.
_LATE: Final = 0.1


async def echo(task: Task) -> dict[str, Any]:
    """The skill."""
    return repeat(task)


_LEAKED: Final[list[bytes]] = []


async def leak(task: Task) -> dict[str, Any]:
    """The skill of an agent with a leak, to see that it is found."""
    _LEAKED.append(bytes(64))
    return repeat(task)


async def census(task: Task) -> dict[str, Any]:
    """How many tasks the event loop has."""
    return {"tasks": len(asyncio.all_tasks())}


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
leaking = Agent(ECHO, **LASTING)
punctual = Agent(ECHO, **{**PLAIN, "limits": evolve(PLAIN["limits"], late_seconds=_LATE)})
for one in (agent, full, bare, punctual, lasting):
    one.skill("echo", description="Repeats the input")(echo)
leaking.skill("echo", description="Repeats the input, and leaks")(leak)
for one in (lasting, leaking):
    one.skill("census", description="Counts what the agent has open")(census)
