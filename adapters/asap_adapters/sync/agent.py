"""The agent of the sync front."""

from __future__ import annotations

import threading
from typing import Unpack
from weakref import WeakSet

from .._shared.agents import AgentOptions, BaseAgent, Served
from .app import App
from .client import Client
from .tasks import Task

__all__ = ["Agent", "App", "Task"]


class Agent(BaseAgent):
    """What it is, what it can do, whom it knows; the options are those of `AgentOptions`."""

    _plain_only = True

    def __init__(self, urn: str, **options: Unpack[AgentOptions]) -> None:
        super().__init__(urn, **options)
        self._clients: dict[str, Client] = {}
        self._apps: WeakSet[App] = WeakSet()
        self._clients_lock = threading.Lock()

    def app(self) -> App:
        """The agent as a WSGI app, with the skills it has now: mount it, or serve it."""
        app = App(self, Served.of(self))
        with self._clients_lock:
            self._apps.add(app)
        return app

    def peer(self, urn: str) -> Client:
        """The client for one of `peers`, kept open until `close`; raises `Misuse`."""
        with self._clients_lock:
            if urn not in self._clients:
                self._clients[urn] = Client(self.peer_url(urn), me=self.settings.urn, **self.client_options(urn))
            return self._clients[urn]

    def close(self) -> None:
        """Takes no more work, as `/ready` then says, and gives back the connections to peers."""
        self.closings += 1
        with self._clients_lock:
            apps = list(self._apps)
        for app in apps:
            app.close()
        with self._clients_lock:
            while self._clients:
                _, client = self._clients.popitem()
                client.close()
