"""A server that does as little as it can, for measuring clients: results to requests and arrays of them, a manifest.

It counts what it is asked, and tells on stdin and stdout (see `lines`). Asked to hold so many, it answers those
requests together, once all have come: so that each has a connection of its own.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import orjson

from asap_proto.model import Capabilities, Endpoints, Manifest, Skill
from asap_proto.wire.json import dump
from asap_proto.wire.nouns import encode

from . import fixtures
from .files import open_many
from .lines import asked, say
from .messages import end_of

__all__: list[str] = []


class _Counts:
    def __init__(self) -> None:
        self.requests = 0
        self.fetches = 0
        self.connections = 0
        self.hold = 0
        self.held: list[tuple[Any, bytes]] = []


class _Connection(asyncio.Protocol):
    def __init__(self, counts: _Counts, answers: _Answers) -> None:
        self._counts = counts
        self._answers = answers
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._counts.connections += 1

    def connection_lost(self, error: Exception | None) -> None:
        self._counts.connections -= 1

    def data_received(self, data: bytes) -> None:
        data = self._held + data if self._held else data
        begin, end = end_of(data)
        while begin and len(data) >= end:
            self._answer(data[:begin], data[begin:end])
            data = data[end:]
            begin, end = end_of(data)
        self._held = data

    def _answer(self, head: bytes, body: bytes) -> None:
        counts = self._counts
        if head.startswith(b"GET"):
            counts.fetches += 1
            self._transport.write(self._answers.manifest)
            return
        counts.requests += 1
        answer = self._answers.to(body)
        if not counts.hold:
            self._transport.write(answer)
            return
        counts.held.append((self._transport, answer))
        if len(counts.held) >= counts.hold:
            for transport, waiting in counts.held:
                transport.write(waiting)
            counts.held.clear()


class _Answers:
    """Made beforehand, but for the ids that an answer repeats."""

    def __init__(self) -> None:
        body = fixtures.requests(1, full=False)[0]
        request = orjson.loads(body)
        whole = fixtures.EchoServer().exchange(body).body
        id = request["params"]["envelope"]["id"].encode()
        self._before, between = whole.split(b'"' + id + b'"')
        self._between, self._after = between.split(b'"' + request["id"].encode() + b'"')
        manifest = Manifest(
            id=fixtures.ECHO,
            name="Echo",
            version="1.0.0",
            description="Repeats what it hears",
            capabilities=Capabilities(skills=(Skill("echo", "Repeats the input"),)),
            endpoints=Endpoints("http://localhost/asap"),
        )
        self.manifest = _message(dump(encode(manifest)))

    def to(self, body: bytes) -> bytes:
        asked = orjson.loads(body)
        if isinstance(asked, list):
            return _message(b"[" + b",".join(map(self._to_one, asked)) + b"]")
        return _message(self._to_one(asked))

    def _to_one(self, asked: dict[str, Any]) -> bytes:
        id = b'"' + asked["params"]["envelope"]["id"].encode() + b'"'
        return b"".join((self._before, id, self._between, orjson.dumps(asked["id"]), self._after))


def _message(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def _main() -> None:
    open_many()
    counts, answers = _Counts(), _Answers()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(counts, answers), "127.0.0.1", 0, backlog=8192)
    say({"url": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"})
    over = asyncio.Event()

    def tell(what: dict[str, Any]) -> None:
        counts.hold = what.get("hold", counts.hold)
        say({"requests": counts.requests, "fetches": counts.fetches, "connections": counts.connections})

    def listen() -> None:
        for what in asked():
            loop.call_soon_threadsafe(tell, what)
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=listen, daemon=True).start()
    await over.wait()


if __name__ == "__main__":
    try:
        import uvloop
    except ModuleNotFoundError:
        asyncio.run(_main())
    else:
        uvloop.run(_main())
