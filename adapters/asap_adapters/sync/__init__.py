"""Agents and clients on plain threads."""

from .._shared.agents import AgentOptions
from .._shared.clients import ClientOptions
from .._shared.sources import SYSTEM
from .agent import Agent, App, Task
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
    "Transport",
    "serving",
]
