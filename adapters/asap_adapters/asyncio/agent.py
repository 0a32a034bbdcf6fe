"""The agent of the asyncio front."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from asap_proto.roles import Returned, TimedOut

from .._awaiting.agent import Agent as AwaitingAgent
from .._awaiting.app import App
from .._awaiting.tasks import Task, ThreadTask

__all__ = ["Agent", "App", "Task", "ThreadTask"]


class Agent(AwaitingAgent):
    """What it is, what it can do, whom it knows; the options are those of `AgentOptions`."""

    @staticmethod
    async def _within(seconds: float, running: Awaitable[Any]) -> Returned | TimedOut:
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                return Returned(await running)
        except TimeoutError:
            # A handler may raise the same of its own.
            if limit.expired():
                return TimedOut()
            raise
