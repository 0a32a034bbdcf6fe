"""The agent of the async fronts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Unpack
from weakref import WeakKeyDictionary

from anyio import NoEventLoopError
from anyio.lowlevel import current_token

from asap_proto.roles import Returned, TimedOut

from .._shared.agents import AgentOptions, BaseAgent, Served
from .._shared.performing import Wait
from .app import App
from .client import Client

__all__ = ["Agent"]


class _Nowhere:
    """Stands for the event loop where there is none yet."""


_NOWHERE = _Nowhere()


def _here() -> object:
    try:
        return current_token().native_token
    except NoEventLoopError:
        return _NOWHERE


class Agent(BaseAgent):
    """What it is, what it can do, whom it knows; the options are those of `AgentOptions`."""

    #: The client of this runtime.
    _client: type[Client]

    def __init__(self, urn: str, **options: Unpack[AgentOptions]) -> None:
        super().__init__(urn, **options)
        # A connection can't outlive its event loop, nor go to another.
        self._clients: WeakKeyDictionary[object, dict[str, Client]] = WeakKeyDictionary()

    def app(self) -> App:
        """The agent as an ASGI app, with the skills it has now: mount it, or serve it."""
        return App(self, Served.of(self))

    def peer(self, urn: str) -> Client:
        """The client for one of `peers` in this event loop, kept open until `aclose`; raises `Misuse`."""
        clients = self._clients.get(_here())
        if clients is None:
            self._forget()
            clients = self._clients.setdefault(_here(), {})
        if urn not in clients:
            clients[urn] = self._client(self.peer_url(urn), me=self.settings.urn, **self.client_options(urn))
        return clients[urn]

    async def aclose(self) -> None:
        """Takes no more work, as `/ready` then says, and gives back the connections to peers."""
        self.closings += 1
        await self.hang_up()

    async def hang_up(self) -> None:
        """Gives back the connections to peers; an app does so when its server shuts it down."""
        self._forget()
        for loop in (_here(), _NOWHERE):
            clients = self._clients.pop(loop, {})
            while clients:
                _, client = clients.popitem()
                await client.aclose()

    def _forget(self) -> None:
        """Lets go of clients whose event loop is over: their connections hold an asyncio loop, never trio's token."""
        for loop in list(self._clients):
            if getattr(loop, "is_closed", bool)():
                self._clients.pop(loop, None)

    @staticmethod
    @abstractmethod
    def _within(
        seconds: float, running: Coroutine[Any, Any, Any], as_run: Callable[[], Wait]
    ) -> Returned | Coroutine[Any, Any, Returned | TimedOut]:
        """What a coroutine gives, awaited for at most so many seconds where the runtime has to wait for it.

        By the runtime's own means: anyio's common ones cost twice as much.
        """

    @staticmethod
    @abstractmethod
    async def _outcome_of(future: Future[Any]) -> Any:
        """What a store that works in threads of its own has answered."""
