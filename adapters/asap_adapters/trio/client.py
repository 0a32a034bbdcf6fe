"""The client of the trio front."""

from .._awaiting.client import Client
from .._awaiting.httpx_transport import HttpxTransport, Transport

__all__ = ["Client", "HttpxTransport", "Transport"]
