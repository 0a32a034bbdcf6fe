"""JSON-RPC frames, batches, ids and idempotency keys that are wrong, each in one way."""

from collections.abc import Iterator
from typing import Any

from hostile.cases import Case, Expect, Place, call, envelope, good, posted, refused, request, status
from hostile.servers import CALLER

#: One value of each kind that JSON has, and some that only look like one.
KINDS: dict[str, Any] = {
    "null": None,
    "true": True,
    "false": False,
    "0": 0,
    "-1": -1,
    "1.5": 1.5,
    "2**70": 2**70,
    "an empty text": "",
    "a text": "x",
    "5,000 characters": "x" * 5000,
    "NUL": "\0",
    "an empty array": [],
    "an array": [None],
    "an empty object": {},
    "an object": {"a": 1},
}


def kinds(*right: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values that are wrong where those named are right."""
    return {name: value for name, value in KINDS.items() if name not in right and name not in without}


_INVALID = "asap:protocol/invalid_request"
_MALFORMED = "asap:protocol/malformed_envelope"


def frames(at: Place) -> Iterator[Case]:
    """Members of a frame, left out, doubled, of a wrong kind, or unknown."""

    def frame(name: str, expect: Expect, **changes: Any) -> Case:
        return Case(name, (posted(at, call(envelope(at), **changes)),), expect)

    for name, value in kinds().items():
        yield frame(f"jsonrpc is {name}", refused(_INVALID, "$.jsonrpc"), jsonrpc=value)
    for value in ("1.0", "2", "2.0.0", "2.0 ", "２.０", 2.0):
        yield frame(f"jsonrpc is {value!r}", refused(_INVALID, "$.jsonrpc"), jsonrpc=value)
    texts = ("an empty text", "a text", "5,000 characters", "NUL")
    for name, value in kinds(*texts).items():
        yield frame(f"method is {name}", refused(_INVALID, "$.method"), method=value)
    unknown = refused("asap:protocol/unknown_method", "$.method")
    for value in (
        *(KINDS[name] for name in texts),
        *("ASAP.SEND", "asap.send ", " asap.send", "asap.send\n", "asap.send\0", "asap_send", "asap", "asap.sent"),
        *("rpc.discover", "system.listMethods", "__init__", "asap.send.__class__", "ａsap.send"),
    ):
        yield frame(f"method is {value[:20]!r}", unknown, method=value)
    for name, value in kinds("null", *texts[:2], "0", "-1", "NUL").items():
        yield frame(f"id is {name}", refused(_INVALID, "$.id"), id=value)
    yield frame("id is null", refused(_INVALID, "$.id"), id=None)
    for value in (0, -1, 2**63 - 1, -(2**63), 2**64 - 1, "", "x" * 4096, "\0", "\u202e"):
        yield frame(f"id is {str(value)[:25]!r}", good(), id=value)
    for name, value in kinds("an empty object", "an object").items():
        yield frame(f"params is {name}", refused(_MALFORMED, "$.params"), params=value)
    yield frame("no params", refused(_INVALID, "$.params"), params=...)
    yield frame("no method", refused(_INVALID, "$.method"), method=...)
    yield frame("no jsonrpc", good(), jsonrpc=...)
    for name in ("result", "error", "extra", "", "__class__", "Method", "ID", "id "):
        yield frame(f"a member {name!r}", refused(_INVALID), **{name: 1})
    yield frame("10,000 members", refused(_INVALID), **{f"m{n}": n for n in range(10_000)})
    yield frame("no id: a notification", status(204), id=...)
    yield frame("a notification of an unknown method", status(204), id=..., method="x")
    yield frame("a notification with params of a wrong kind", status(204), id=..., params=[])
    yield frame("a notification without a method", refused(_INVALID, "$.method"), id=..., method=...)
    yield from _params(at)
    yield from _doubled(at)


def _params(at: Place) -> Iterator[Case]:
    def params(name: str, expect: Expect, **members: Any) -> Case:
        return Case(name, (posted(at, call(None, params=members)),), expect)

    for name, value in kinds("an empty object", "an object").items():
        yield params(f"envelope is {name}", refused(_MALFORMED, "$.params.envelope"), envelope=value)
    yield params("no envelope", refused(_MALFORMED, "$.params.envelope"))
    for name, value in kinds("null", "a text", "NUL").items():
        expect = refused(_MALFORMED, "$.params.idempotency_key")
        yield params(f"idempotency_key is {name}", expect, envelope=envelope(at), idempotency_key=value)
    for value in ("k" * 257, "\U0001f600" * 257):
        expect = refused(_MALFORMED, "$.params.idempotency_key")
        yield params(f"a key of 257 {value[0]!r}", expect, envelope=envelope(at), idempotency_key=value)
    fresh = at.fresh()
    for value in ("k" * 200 + fresh, "\0" + fresh, "../" + fresh, "' OR 1=1 --" + fresh, "\n" + fresh, "\U0001f600"):
        yield params(f"key is {value[:8]!r}", good(), envelope=envelope(at), idempotency_key=value)


def _doubled(at: Place) -> Iterator[Case]:
    """Of two equal members the last counts, where nobody is authenticated."""
    frame = b'{"jsonrpc":"2.0","method":%s,"params":{},"id":1}'
    yield Case(
        "method twice", (posted(at, frame % b'"asap.send","method":"x"'),), refused("asap:protocol/unknown_method")
    )
    yield Case("jsonrpc twice", (posted(at, b'{"jsonrpc":"2.0","jsonrpc":"1.0"}'),), refused(_INVALID, "$.jsonrpc"))
    yield Case("id twice", (posted(at, b'{"id":1,"id":[]}'),), refused(_INVALID, "$.method"))
    yield Case("params twice", (posted(at, frame % b'"asap.send","params":{}'),), refused(_MALFORMED))


def batches(at: Place) -> Iterator[Case]:
    """Batches of nothing, of much, of batches, of what repeats itself."""

    def batch(name: str, items: list[Any], expect: Expect | None = None) -> Case:
        return Case(name, (posted(at, items),), expect or status(200))

    yield batch("nothing", [], refused(_INVALID, "$"))
    for name, value in kinds().items():
        yield batch(f"of {name}", [value])
    yield batch("of batches", [[call(envelope(at))], [[]]])
    yield batch("of a hundred levels", _nested(100))
    yield batch("of 50", [call(envelope(at)) for _ in range(50)])
    yield batch("of 50 that fail", [call(envelope(at, payload=request(skill_id="fail"))) for _ in range(50)])
    yield batch("of 50 without envelope", [call(None) for _ in range(50)])
    yield batch("of 50 notifications", [call(envelope(at), id=...) for _ in range(50)], status(204))
    yield batch("of 51", [call(envelope(at)) for _ in range(51)], refused("asap:protocol/batch_too_large", "$"))
    yield batch("with one id for all", [call(envelope(at), id=1) for _ in range(10)])
    yield batch("with one nonce for all", [call(envelope(at, extensions={"nonce": at.fresh()}))] * 20)
    key, one = at.fresh(), envelope(at)
    yield batch("with one key for all", [call(None, params={"envelope": one, "idempotency_key": key})] * 20)
    mixed = [call(envelope(at)), 1, call(envelope(at), method="x"), None, call(envelope(at), id=...), {}]
    yield batch("good and bad", mixed)
    slow = [call(envelope(at, payload=request(skill_id="slow", input={"seconds": 0.2}))) for _ in range(50)]
    yield batch("of 50 that take their time", slow)
    wide = [call(envelope(at, payload=request(input={"a": "x" * 100_000}))) for _ in range(50)]
    yield batch("of 50 large ones", wide)
    yield batch("with wrong senders", [call(envelope(at, sender=f"{CALLER}{bad}")) for bad in ("\n", " ", ":x:y")])


def _nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


def keys(at: Place) -> Iterator[Case]:
    """One idempotency key for two requests; each pair in one batch, so that their order is known."""

    def pair(name: str, first: dict[str, Any], second: dict[str, Any], key: str) -> Case:
        frames = [call(None, params={"envelope": each, "idempotency_key": key}) for each in (first, second)]
        return Case(name, (posted(at, frames),), status(200))

    one = envelope(at)
    for field, value in {
        "input": one | {"payload": request(input={"a": [2]})},
        "skill": one | {"payload": request(skill_id="steps")},
        "recipient": one | {"recipient": "urn:asap:agent:someone"},
        "trace": one | {"trace_id": "t"},
        "id": one | {"id": "another"},
    }.items():
        yield pair(f"another {field} under the same key", one, value, at.fresh())
    same = at.fresh()
    yield pair("the same key of two senders", envelope(at), envelope(at, sender="urn:asap:agent:mallory"), same)
