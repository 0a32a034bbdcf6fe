"""Agents and clients on trio."""

from .agent import Agent, App, Task, ThreadTask
from .client import Client, HttpxTransport, Transport
from .serving import serving

__all__ = ["Agent", "App", "Client", "HttpxTransport", "Task", "ThreadTask", "Transport", "serving"]
