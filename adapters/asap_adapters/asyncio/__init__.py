"""Agents and clients on asyncio."""

from .._shared.agents import AgentOptions
from .._shared.clients import ClientOptions
from .._shared.sources import SYSTEM
from .agent import Agent, App, Task, ThreadTask
from .client import Client, HttpxTransport, Transport
from .serving import serving

__all__ = [
    "SYSTEM",
    "Agent",
    "AgentOptions",
    "App",
    "Client",
    "ClientOptions",
    "HttpxTransport",
    "Task",
    "ThreadTask",
    "Transport",
    "serving",
]
