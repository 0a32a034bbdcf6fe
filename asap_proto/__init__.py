"""ASAP (Async Simple Agent Protocol) as a pure library: no sockets, no clocks, no threads.

`model` holds the nouns, `rules` what is legal, `wire` how nouns are written, `roles` the two sides of an
exchange. The networking lives in `asap_adapters`.
"""

from .errors import AsapError, Fault, Kind, Misuse, RemoteFault
from .limits import Limits
from .model import (
    AgentUrn,
    Envelope,
    Manifest,
    Payload,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    agent_urn,
)
from .sources import Clock, Sources, Tokens

__all__ = [
    "AgentUrn",
    "AsapError",
    "Clock",
    "Envelope",
    "Fault",
    "Kind",
    "Limits",
    "Manifest",
    "Misuse",
    "Payload",
    "RemoteFault",
    "Sources",
    "TaskRequest",
    "TaskResponse",
    "TaskStatus",
    "TaskUpdate",
    "Tokens",
    "agent_urn",
]
