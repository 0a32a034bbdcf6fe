"""A bare app on the server of agents on threads: each request is answered by a thread."""

from __future__ import annotations

from typing import Any

import anyio.to_thread

from ..._awaiting.app import App
from ..._shared.agents import Served
from ...asyncio import Agent
from ..fixtures import ECHO
from . import PLAIN, bare_headers, bare_response

__all__ = ["bare"]


class _Bare(App):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        while (await receive()).get("more_body", False):
            pass
        response = await anyio.to_thread.run_sync(bare_response)
        await send({"type": "http.response.start", "status": 200, "headers": bare_headers()})
        await send({"type": "http.response.body", "body": response.body})


class _BareAgent(Agent):
    def app(self) -> App:
        return _Bare(self, Served.of(self))


bare = _BareAgent(ECHO, **PLAIN)
