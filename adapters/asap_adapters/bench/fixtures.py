"""What is measured: realistic documents, and an echo agent to send them to."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from asap_proto.http import HttpResponse, RequestHead
from asap_proto.limits import Limits
from asap_proto.model import (
    Capabilities,
    DataPart,
    Endpoints,
    Envelope,
    FilePart,
    Manifest,
    Part,
    Skill,
    TaskResponse,
    TaskStatus,
    TextPart,
    make_ulid,
)
from asap_proto.roles import (
    Accept,
    Invoke,
    Observe,
    Returned,
    ServerRole,
    Steps,
    Write,
)
from asap_proto.stores import MemoryState
from asap_proto.wire import jsonrpc
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import decode_envelope, decode_part, encode

from .._shared.sources import SYSTEM
from ..asyncio import Agent, Task

__all__ = [
    "ECHO",
    "HEAD",
    "SHAPES",
    "EchoServer",
    "decode_parts",
    "decode_request",
    "echo_app",
    "encode_parts",
    "encode_response",
    "free_form",
    "parts",
    "prose",
    "requests",
    "response",
]

ECHO = "urn:asap:agent:echo"
_DEPTH = Limits().json_depth

#: Inputs of a task, by the name of their shape. All are filled up to the size that is asked for.
SHAPES: dict[str, dict[str, Any]] = {
    "one long string": {"message": "hello there"},
    "small and nested": {
        "query": "trends",
        "options": {"max": 10, "langs": ["en", "de"], "safe": True},
        "hints": [1, 2.5],
    },
}

#: The headers of a client of ours; the length is that of the common request.
HEAD = RequestHead(
    "POST",
    "/asap",
    {"content-type": "application/json", "content-length": "742", "asap-version": "2.2, 2.1"},
    "127.0.0.1",
)


def _request(number: int, shape: str, full: bool, filling: str) -> dict[str, Any]:
    now = SYSTEM.clock.now()
    params: dict[str, Any] = {
        "envelope": {
            "id": SYSTEM.tokens.new_id(now),
            "asap_version": "0.1",
            "timestamp": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "sender": "urn:asap:agent:coordinator",
            "recipient": ECHO,
            "payload_type": "task.request",
            "payload": {
                "conversation_id": "conv_01HX5K3MQVN8",
                "parent_task_id": None,
                "skill_id": "echo",
                "input": {**SHAPES[shape], "text": filling},
                "config": None,
            },
            "correlation_id": None,
            "trace_id": "0123456789abcdef0123456789abcdef",
            "extensions": {"nonce": SYSTEM.tokens.nonce()} if full else None,
        }
    }
    if full:
        params["idempotency_key"] = SYSTEM.tokens.new_id(now)
    return {"jsonrpc": "2.0", "method": "asap.send", "params": params, "id": f"req-{number}"}


def requests(count: int, *, shape: str = "one long string", full: bool = True, size: int = 742) -> list[bytes]:
    """Task requests made now, each another; `full` ones carry a nonce and an idempotency key, as our client's do."""
    room = size - len(orjson.dumps(_request(count, shape, full, "")))
    return [orjson.dumps(_request(number, shape, full, "y" * room)) for number in range(count, 2 * count)]


def free_form(size: int) -> bytes:
    """A task request whose input is a free-form object of about this size."""
    item = {"title": "A report", "score": 0.75, "tags": ["news", "tech"], "text": "lorem ipsum " * 8, "rank": 12}
    document = _request(1, "one long string", True, "")
    document["params"]["envelope"]["payload"]["input"] = {"items": [item] * (size // len(orjson.dumps(item)))}
    return orjson.dumps(document)


def prose(size: int, seed: int) -> Envelope:
    """A task request of about this size as JSON, whose input is what a search might have found: another by `seed`."""
    from pydoc_data.topics import topics  # English that each Python brings along

    chance = random.Random(seed)  # nosec B311  # so that it is the same in each run
    texts = [" ".join(text.split()) for text in topics.values()]
    found: list[dict[str, Any]] = []
    room = size - 600  # the envelope around them
    while room > 0:
        text = chance.choice(texts)
        start = chance.randrange(max(1, len(text) - 300))
        found.append(
            {
                "id": make_ulid(SYSTEM.clock.now(), chance.getrandbits(80)),
                "title": text[:60],
                "url": f"https://example.org/{chance.choice(('news', 'papers', 'notes'))}/{chance.getrandbits(48):x}",
                "score": round(chance.random(), 6),
                "published": f"202{chance.randrange(6)}-0{chance.randrange(1, 10)}-1{chance.randrange(10)}T08:00:00Z",
                "tags": chance.sample(("python", "network", "agent", "json", "report", "draft"), 3),
                "snippet": text[start : start + chance.randrange(150, 350)],
            }
        )
        room -= len(orjson.dumps(found[-1]))
    document = _request(1, "one long string", True, "")["params"]["envelope"]
    document["payload"]["input"] = {"results": found}
    return decode_envelope(document, size=size)


def parts(size: int) -> bytes:
    """An array of typed parts of about this size."""
    some: list[Part] = [
        TextPart("lorem ipsum dolor sit amet " * 3),
        DataPart({"rows": [[1, 2, 3], [4, 5, 6]], "unit": "ms"}, "https://example.org/rows.json"),
        FilePart("https://example.org/report.pdf", "application/pdf"),
    ]
    once = [encode(part) for part in some]
    return orjson.dumps(once * (size // len(orjson.dumps(once))))


def decode_request(body: bytes) -> Envelope:
    """JSON-RPC bytes to a checked call and a typed envelope, as the server reads them."""
    value, _ = jsonrpc.check_call(load(body, depth=_DEPTH))
    return decode_envelope(value, size=len(body))


def response(request: Envelope) -> Envelope:
    """What the echo agent answers."""
    now = SYSTEM.clock.now()
    new_id = SYSTEM.tokens.new_id(now)
    return Envelope(
        id=new_id,
        timestamp=now,
        sender=request.recipient,
        recipient=request.sender,
        payload_type="task.response",
        payload=TaskResponse(f"task_{new_id}", TaskStatus.COMPLETED, {"echoed": request.payload.input}),  # type: ignore[union-attr]
        correlation_id=request.id,
        trace_id=request.trace_id,
    )


def encode_response(envelope: Envelope) -> bytes:
    """An envelope to JSON-RPC bytes, as the server writes them."""
    return jsonrpc.answer(jsonrpc.success(encode(envelope)), "req-1")


def decode_parts(text: bytes) -> list[Part]:
    """JSON bytes to typed parts."""
    return [decode_part(item) for item in load(text, depth=_DEPTH)]


def encode_parts(some: list[Part]) -> bytes:
    """Typed parts to JSON bytes."""
    return dump([encode(part) for part in some])


class EchoServer:
    """The server's story over memory stores, told by the plainest loop there is."""

    def __init__(self) -> None:
        manifest = Manifest(
            id=ECHO,
            name="Echo",
            version="1.0.0",
            description="Repeats what it hears",
            capabilities=Capabilities(skills=(Skill("echo", "Repeats the input"),)),
            endpoints=Endpoints("http://localhost/asap"),
        )
        state = MemoryState()
        self._role = ServerRole(manifest, SYSTEM)
        self._answers: dict[type, Callable[[Any], Any]] = {
            Invoke: lambda asked: Returned({"echoed": asked.job.payload.input}),
            Observe: lambda asked: None,
            Accept: lambda asked: state.accept(asked.record, asked.nonce, asked.events, now=asked.now),
            Write: lambda asked: state.write(asked.change),
        }

    def exchange(self, body: bytes) -> HttpResponse:
        """The answer to one request, from its headers on."""
        admitted = self._drive(self._role.admit(HEAD))
        response: HttpResponse = self._drive(self._role.receive(admitted, body))
        return response

    def _drive(self, steps: Steps[Any]) -> Any:
        answer: Any = None
        while True:
            try:
                command = steps.send(answer)
            except StopIteration as finish:
                return finish.value
            answer = self._answers[command.__class__](command)


def echo_app(store: Any = None) -> Callable[[bytes], Awaitable[list[dict[str, Any]]]]:
    """The echo agent as an ASGI app, called in process: a body in, what the app sent out."""
    agent = Agent(ECHO, name="Echo", version="1.0.0", description="Repeats what it hears", store=store)

    @agent.skill("echo", description="Repeats the input")
    async def echo(task: Task) -> dict[str, Any]:
        return {"echoed": task.input}

    app = agent.app()
    headers = [(name.encode(), value.encode()) for name, value in HEAD.headers.items()]

    async def call(body: bytes) -> list[dict[str, Any]]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/asap", "headers": headers, "client": ("127.0.0.1", 1)}
        await app(scope, receive, send)
        return sent

    return call
