"""Agents and clients on plain threads."""

from .agent import Agent, App, Task
from .client import Client, HttpxTransport, Transport
from .serving import serving

__all__ = ["Agent", "App", "Client", "HttpxTransport", "Task", "Transport", "serving"]
