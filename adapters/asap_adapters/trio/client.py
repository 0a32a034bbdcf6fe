"""The client of the trio front."""

from .._awaiting.client import Client as AwaitingClient
from .pooled_transport import PooledTransport

__all__ = ["Client"]


class Client(AwaitingClient):
    """Talks to one peer, as the agent `me`; the options are those of `ClientOptions`."""

    _connect = PooledTransport
