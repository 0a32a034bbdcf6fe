"""What fuzzing begins with: the inputs that other tests have, each as its target reads it."""

import gzip
import json
import re
from collections.abc import Iterator
from typing import Any

import brotli

from asap_adapters._shared.inflate import ENCODINGS
from asap_adapters.auth.signatures import Signer
from asap_proto.http import HttpRequest
from asap_proto.model import TaskResponse, TaskStatus, make_ulid
from asap_proto.wire.json import dump
from asap_proto.wire.nouns import encode
from asap_proto.wire.sse import ALIVE, write_event
from asap_testkit import ME, NOW, PEER, echo_manifest, letter
from fuzz import heads as _heads
from fuzz import replies as _replies
from fuzz.server import BETWEEN, KNOWN, LATER, REST, STREAM, VERSION, WORLDS
from hostile import bodies, envelopes, frames, framing, origins, payloads, routes, streams, texts
from hostile.cases import Case, Place, call, envelope, request
from hostile.servers import TOKEN
from vectors import records

#: Longer ones are for other tests: a fuzzer is as fast as its inputs are short.
LONGEST = 8 * 1024

#: The id of the first task of an agent whose tokens count.
FIRST_TASK = "task_" + make_ulid(NOW, 1)

_FRESH = re.compile(rb"fresh_[0-9a-f]{16}_")


class Standing(Place):
    """A place where it is always the same time."""

    def stamp(self) -> str:
        return NOW.isoformat()


_OPEN, _GUARDED = Standing("agent.example"), Standing("agent.example", TOKEN)


def _sent(groups: Any, at: Place) -> Iterator[tuple[bytes, bytes]]:
    """Head and body of each hostile input, as far as it has them; what is fresh each time is always the same."""
    for group in groups:
        for case in group(at):
            head, found, body = _whole(case).partition(b"\r\n\r\n")
            if found:
                yield head, _FRESH.sub(b"fresh_", body)


def _whole(case: Case) -> bytes:
    return b"".join(part for part in case.sends if isinstance(part, bytes))[: 2 * LONGEST]


def requests() -> Iterator[bytes]:
    """For the server: all that is hostile, what released clients sent, and whole lives of tasks."""
    known = {"guarded": (1, KNOWN), "open": (0, 0)}
    many = [texts.texts, frames.frames, frames.batches, frames.keys, envelopes.envelopes, envelopes.names]
    many += [envelopes.times, envelopes.nonces, payloads.payloads, payloads.seekers]
    for groups, flags in ((many, 0), ([streams.streams], STREAM)):
        for _, body in _sent(groups, _OPEN):
            yield from _short(bytes((0, flags)) + body)
    for _, body in _sent([envelopes.strangers, envelopes.nonces], _GUARDED):
        world, flags = known["guarded"]
        yield from _short(bytes((world, flags)) + body)
    for row in records.exchanges():
        yield from _short(bytes((4, VERSION)) + records.body_of(row))
    for world in range(len(WORLDS)):
        for life in lives():
            for flags in (KNOWN, KNOWN | STREAM):
                yield from _short(bytes((world, flags)) + life)


def lives() -> Iterator[bytes]:
    """What befalls one task, request by request."""

    def asked(kind: str = "task.request", payload: Any = ..., key: str | None = None, **extensions: Any) -> bytes:
        asked.count += 1  # type: ignore[attr-defined]
        nonce = {"nonce": f"nonce-{asked.count}"}  # type: ignore[attr-defined]
        whole = envelope(_OPEN, id=f"e-{asked.count}", payload_type=kind, extensions=nonce | extensions)  # type: ignore[attr-defined]
        if payload is not ...:
            whole["payload"] = payload
        params = {"envelope": whole} | ({"idempotency_key": key} if key else {})
        return json.dumps(call(None, id=asked.count, params=params)).encode()  # type: ignore[attr-defined]

    asked.count = 0  # type: ignore[attr-defined]
    this = {"task_id": FIRST_TASK}
    query, cancel = ("state.query", this), ("task.cancel", this | {"reason": "enough"})
    told = {"message_id": "m", "sender": "s", "role": "user", "parts": []}
    late = {"prefer": "respond-async"}
    for skill in ("echo", "steps", "ask", "insist", "fail", "slow", "busy", "odd", "deep", "none"):
        first = asked(payload=request(skill_id=skill))
        yield BETWEEN.join((first, asked(*query)))
        submitted = asked(payload=request(skill_id=skill), key="k", **late)
        yield BETWEEN.join((submitted, submitted, REST + asked(*query), asked(*cancel)))
    question = asked(payload=request(skill_id="ask"))
    answered = asked("message.send", this | told, input={"n": 3})
    yield BETWEEN.join((question, answered, REST + asked(*query)))
    yield BETWEEN.join((question, asked(*cancel), answered))
    snapshot = {"snapshot_id": "snap_" + make_ulid(NOW, 2)}
    stepped = asked(payload=request(skill_id="steps"))
    restored = asked("state.restore", this | snapshot)
    yield BETWEEN.join((stepped, restored, REST + asked(*query), LATER + asked(*query)))
    yield BETWEEN.join((stepped, asked("mcp.resource_fetch", {"resource_uri": f"asap:artifact:{FIRST_TASK}/x"})))
    update = {"task_id": "theirs", "update_type": "progress", "status": "working", "progress": {"percent": 5}}
    yield BETWEEN.join((question, asked("task.update", update, parent_task_id=FIRST_TASK), asked(*query)))
    yield asked("mcp.tool_call", {"request_id": "r", "tool_name": "steps", "arguments": {"a": 1}})
    yield b"[" + b",".join((asked(), asked(*query), b"5", asked())) + b"]"


def heads() -> Iterator[bytes]:
    """For the head: all that is hostile before a body begins, and credentials that are right."""
    groups = [routes.routes, routes.headers, framing.lengths, framing.codings, origins.origins]
    for head, _ in _sent(groups, _GUARDED):
        first, _, rest = head.partition(b"\r\n")
        words = first.split(b" ")
        yield from _short(b" ".join(words[:2]) + b"\n" + rest.replace(b"\r\n", b"\n"))
    for scheme in ("Bearer open sesame", "Basic YWxpOm9wZW4gc2VzYW1l", f"Bearer {_JWT}", f"Bearer {_JWT[:-5]}"):
        yield f"POST /asap\ncontent-type: application/json\nauthorization: {scheme}".encode()
    signed = Signer("k", _heads.KEY).headers(HttpRequest("POST", "/asap"), "https://agent.example", now=NOW, nonce="n")
    lines = {"host": "agent.example", "content-type": "application/json", **signed}
    yield "\n".join(("POST /asap", *(f"{name}: {value}" for name, value in lines.items()))).encode()
    for value in ("for=192.0.2.60;proto=http;by=203.0.113.43", 'for="[2001:db8::1]:80", for=unknown', "for=_x"):
        yield f"POST /asap\nforwarded: {value}\nx-forwarded-for: 192.0.2.7, [::1]:80".encode()


#: A token that says all that one must, signed by nobody.
_JWT = (
    "eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoidXJuOmFzYXA6YWdlbnQ6ZWNobyI"
    "sInN1YiI6InVybjphc2FwOmFnZW50OmNhbGxlciIsImV4cCI6MTc2NzMyMzEwNX0." + "A" * 86
)


def replies() -> Iterator[bytes]:
    """For the client: what released servers answered, right answers, and streams."""
    number = len(_replies.STATUSES)
    for row in records.answers("reply"):
        for answer in row.get("responses", ()):
            status = answer["status"] if answer["status"] in _replies.STATUSES else 200
            yield from _short(bytes((_replies.STATUSES.index(status), 0)) + records.body_of(answer))
    done = letter(
        TaskResponse("task_1", TaskStatus.COMPLETED, {"n": 1}), sender=PEER, recipient=ME, correlation_id="letter-1"
    )
    answer = {"jsonrpc": "2.0", "result": {"envelope": encode(done)}, "id": "req-1"}
    error = {"jsonrpc": "2.0", "id": "req-1", "error": {"code": -32602, "message": "m", "data": {"retry_after": 3}}}
    manifest = encode(echo_manifest())
    for index in range(len(_replies.ASKED)):
        for document in (answer, error, manifest, [answer, error], encode(done)):
            yield bytes((index * number, 0)) + dump(document)
            yield bytes((index * number + 8, 0)) + b"7\n\n" + dump(document)
    event = write_event(dump(encode(done)), "3")
    for size in (0, 1, 200):
        first = bytes((_replies.ASKED.index("stream") * number, size))
        yield first + ALIVE + event
        yield first + b"\xef\xbb\xbf" + event.replace(b"\n", b"\r\n") + event.replace(b"\n", b"\r")
        yield first + b"event: x\nretry: 5\nid\nid: 2\ndata\ndata: {\ndata: }\n\n" + ALIVE


def codings() -> Iterator[bytes]:
    """For the inflater: bodies spoilt in one way each, and small ones that inflate to much."""
    for head, body in _sent([bodies.bodies], _OPEN):
        named = re.search(rb"content-encoding: *(\w+)", head.lower())
        if named and named[1].decode() in ENCODINGS and b"chunked" not in head:
            yield from _short(bytes((ENCODINGS.index(named[1].decode()), 99)) + body)
    member = gzip.compress(b"{}")
    for behind in (bytes(1), bytes(3), bytes(300), bytes(3) + member, member + bytes(2) + member, bytes(2) + b"x"):
        yield bytes((ENCODINGS.index("gzip"), 0)) + member + behind
    for size in (0, 1, 65535, 65536, 65537):
        yield bytes((ENCODINGS.index("gzip"), 7)) + gzip.compress(bytes(size))
        yield bytes((ENCODINGS.index("br"), 7)) + brotli.compress(bytes(size))


def _short(seed: bytes) -> Iterator[bytes]:
    if len(seed) <= LONGEST:
        yield seed
