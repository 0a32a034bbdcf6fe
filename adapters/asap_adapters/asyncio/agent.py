"""The agent of the asyncio front."""

from __future__ import annotations

from .._awaiting.agent import Agent as AwaitingAgent
from .._awaiting.app import App
from .._awaiting.tasks import Task, ThreadTask
from .client import Client
from .deadline import outcome_of, within

__all__ = ["Agent", "App", "Task", "ThreadTask"]


class Agent(AwaitingAgent):
    """What it is, what it can do, whom it knows; the options are those of `AgentOptions`."""

    _client = Client
    _within = staticmethod(within)
    _outcome_of = staticmethod(outcome_of)
