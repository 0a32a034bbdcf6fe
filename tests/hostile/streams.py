"""Streams that are asked for oddly: where to go on from, what to follow, and what is no stream."""

from collections.abc import Iterator
from typing import Any

from hostile.cases import Case, Expect, Place, call, envelope, posted, refused, request, status, text
from hostile.texts import _BROKEN

_STREAM = "/asap/stream"


def streams(at: Place) -> Iterator[Case]:
    """Each input must come to its end: an answer, or a stream that ends with the task's response."""

    def stream(name: str, document: Any, expect: Expect | None = None, **more: str) -> Case:
        sends = posted(at, document, target=_STREAM, more=more)
        return Case(name, (sends,), expect or status(200))

    steps = request(skill_id="steps")
    for value in (
        *("", "0", "1", "3", "-1", "+1", "1.5", "1e3", "abc", "0x1", " 2 ", "\xb2", "1,2", "null", "NaN", "1_0"),
        *(str(2**31), str(2**63), str(2**64), "9" * 18, "9" * 19, "9" * 5000, "00000000000000000001", "\xff", "%00"),
    ):
        yield stream(f"from {value[:20]!r} on", call(envelope(at, payload=steps)), **{"Last-Event-ID": value})
    for value in ("text/html", "application/json", "", "text/event-stream;q=0", "x" * 1000):
        yield stream(f"accepting {value[:24]!r}", call(envelope(at, payload=steps)), Accept=value)
    failed = request(skill_id="fail")
    yield stream("a handler that fails", call(envelope(at, payload=failed)))
    unknown = refused("asap:task/not_found")
    for value in ("", "task_x", "../", "x" * 4096, "\0", "\n\ndata: x"):
        query = envelope(at, payload_type="state.query", payload={"task_id": value})
        yield stream(f"of {value[:10]!r}", call(query), unknown)
    for name in ("nothing", "a word", "100,000 levels", "two documents", "an open text", "UTF-16"):
        yield stream(f"asked for with {name}", _BROKEN[name], refused("asap:protocol/malformed_json"))
    for name, document in {"a batch": [call(envelope(at))] * 2, "null": None, "a number": 1, "a text": "x"}.items():
        yield stream(f"asked for with {name}", document, refused("asap:protocol/invalid_request"))
    yield stream("a batch of none", [], refused("asap:protocol/invalid_request"))
    unknown_skill = call(envelope(at, payload=request(skill_id="x")))
    yield stream("of an unknown skill", unknown_skill, refused("asap:capability/skill_not_found"))
    yield stream("of a notification", call(envelope(at, payload=steps), id=...))
    for kind, payload in (
        ("task.cancel", {"task_id": "t"}),
        ("mcp.tool_call", {"request_id": "r", "tool_name": "echo", "arguments": {}}),
        ("mcp.resource_fetch", {"resource_uri": "asap:artifact:t/a"}),
    ):
        yield stream(f"of a {kind}", call(envelope(at, payload_type=kind, payload=payload)))
    key = at.fresh()
    same = text(call(None, params={"envelope": envelope(at, payload=steps), "idempotency_key": key}))
    for turn in range(5):
        yield stream(f"of one task, for reader {turn + 1}", same)
    hidden = call(envelope(at, payload=request(input={"a": "\n\nevent: x\ndata: {}\n\n\r\nid: 9\r\r"})))
    yield stream("with events hidden in its input", hidden)
