"""The agent of the async fronts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Coroutine
from typing import Any, Unpack

from asap_proto.roles import Returned, TimedOut

from .._shared.agents import AgentOptions, BaseAgent, Served
from .app import App
from .client import Client

__all__ = ["Agent"]


class Agent(BaseAgent):
    """What it is, what it can do, whom it knows; the options are those of `AgentOptions`."""

    def __init__(self, urn: str, **options: Unpack[AgentOptions]) -> None:
        super().__init__(urn, **options)
        self._clients: dict[str, Client] = {}

    def app(self) -> App:
        """The agent as an ASGI app, with the skills it has now: mount it, or serve it."""
        return App(self, Served.of(self), self._within)

    def peer(self, urn: str) -> Client:
        """The client for one of `peers`, kept open until `aclose`; raises `Misuse`."""
        if urn not in self._clients:
            self._clients[urn] = Client(self.peer_url(urn), me=self.settings.urn, **self.client_options(urn))
        return self._clients[urn]

    async def aclose(self) -> None:
        """Gives back the connections to peers; an app does so when its server shuts it down."""
        while self._clients:
            _, client = self._clients.popitem()
            await client.aclose()

    @staticmethod
    @abstractmethod
    async def _within(seconds: float, running: Coroutine[Any, Any, Any]) -> Returned | TimedOut:
        """Awaits for at most so many seconds, by the runtime's own means: anyio's common one costs twice as much."""
