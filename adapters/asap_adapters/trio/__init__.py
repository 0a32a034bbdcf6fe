"""Agents and clients on trio."""

from typing import TYPE_CHECKING, Any

from asap_proto.roles import TaskCancelled

from .._awaiting.transport import Transport
from .._shared.agents import AgentOptions
from .._shared.clients import ClientOptions
from .._shared.manifests import ManifestCache
from .._shared.sources import SYSTEM
from .._shared.tasks import TaskState
from .agent import Agent, App, Task, ThreadTask
from .client import Client
from .pooled_transport import PooledTransport
from .serving import serving

if TYPE_CHECKING:
    from .._awaiting.httpx_transport import HttpxTransport

__all__ = [
    "SYSTEM",
    "Agent",
    "AgentOptions",
    "App",
    "Client",
    "ClientOptions",
    "HttpxTransport",
    "ManifestCache",
    "PooledTransport",
    "Task",
    "TaskCancelled",
    "TaskState",
    "ThreadTask",
    "Transport",
    "serving",
]


def __getattr__(name: str) -> Any:
    """What brings httpx, once it is asked for: few need it, and it takes longer to import than all the rest."""
    if name == "HttpxTransport":
        from .._awaiting.httpx_transport import HttpxTransport

        return HttpxTransport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
