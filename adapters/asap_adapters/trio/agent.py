"""The agent of the trio front."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import trio

from asap_proto.roles import Returned, TimedOut

from .._awaiting.agent import Agent as AwaitingAgent
from .._awaiting.app import App
from .._awaiting.tasks import Task, ThreadTask

__all__ = ["Agent", "App", "Task", "ThreadTask"]


class Agent(AwaitingAgent):
    """What it is, what it can do, whom it knows; the options are those of `AgentOptions`."""

    @staticmethod
    async def _within(seconds: float, running: Awaitable[Any]) -> Returned | TimedOut:
        with trio.move_on_after(seconds):
            return Returned(await running)
        return TimedOut()
