"""Agents and clients on asyncio."""

from asap_proto.roles import TaskCancelled

from .._shared.agents import AgentOptions
from .._shared.clients import ClientOptions
from .._shared.manifests import ManifestCache
from .._shared.sources import SYSTEM
from .._shared.tasks import TaskState
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
    "ManifestCache",
    "Task",
    "TaskCancelled",
    "TaskState",
    "ThreadTask",
    "Transport",
    "serving",
]
