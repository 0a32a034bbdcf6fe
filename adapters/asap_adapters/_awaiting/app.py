"""The agent as an ASGI app (ASGI 3, HTTP and lifespan)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, RequestHead, fold
from asap_proto.roles import Admitted
from asap_proto.wire.body import BodyGauge

from .._shared.agents import Served
from .._shared.inflate import inflater
from .drive import drive
from .server import Performer, Within

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["App"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Gone(Exception):
    """The caller hung up before it had said all."""


class App:
    """A plain ASGI callable; any server runs it, any framework mounts it."""

    def __init__(self, agent: Agent, served: Served, within: Within) -> None:
        self._agent = agent
        self._role = served.role
        self._performer = Performer(agent, served, within)
        self._perform = self._performer.perform

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                response = await self._answer(scope, receive)
            except _Gone:
                return
            await _send(send, response)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        self._performer.open()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        self._performer.close()
        await self._agent.hang_up()
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Scope, receive: Receive) -> HttpResponse:
        admitted = await drive(self._role.admit(_head(scope)), self._perform)
        if isinstance(admitted, HttpResponse):
            return admitted
        try:
            body = await _read(receive, admitted)
        except AsapError as error:
            return self._role.refuse(admitted, error)
        return await drive(self._role.receive(admitted, body), self._perform)


def _head(scope: Scope) -> RequestHead:
    path, client = scope["path"], scope.get("client")
    # A framework that mounts us leaves its own prefix in the path; some servers take it out.
    if (root := scope.get("root_path")) and path.startswith(root + "/"):
        path = path[len(root) :]
    return RequestHead(scope["method"], path, fold(scope["headers"]), client[0] if client else "")


async def _read(receive: Receive, admitted: Admitted) -> bytes:
    """The body, within bounds as sent and as inflated."""
    raw = BodyGauge(admitted.most_bytes, what="request")
    plain = inflater(admitted.encoding, BodyGauge(admitted.most_bytes, what="inflated request"))
    chunks = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Gone
        chunks.append(plain.feed(raw.feed(message.get("body", b""))))
        if not message.get("more_body", False):
            plain.finish()
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _send(send: Send, response: HttpResponse) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    if "content-length" not in response.headers and response.status not in (204, 304):
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})
