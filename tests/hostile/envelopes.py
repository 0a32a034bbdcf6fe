"""Envelopes: each field by each wrong kind; names, times, nonces and extensions that are nearly right."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hostile.cases import Case, Expect, Place, call, chunked, envelope, good, in_chunks, posted, refused, request, text
from hostile.frames import KINDS, kinds
from hostile.servers import AGENT, CALLER

_ROOT = "$.params.envelope"
_MALFORMED = "asap:protocol/malformed_envelope"

#: Fields, and the kinds that are right for them.
_TEXTS = ("an empty text", "a text", "NUL")
_OBJECTS = ("an empty object", "an object")
_FIELDS: dict[str, tuple[str, ...]] = {
    "id": ("null", *_TEXTS),
    "asap_version": _TEXTS,
    "sender": (),
    "recipient": (),
    "payload_type": _TEXTS,
    "payload": _OBJECTS,
    "correlation_id": ("null", *_TEXTS),
    "trace_id": ("null", *_TEXTS),
    "extensions": ("null", *_OBJECTS),
    "timestamp": ("null",),
}
#: Times are read from numbers too; those that are odd stand below.
_NUMBERS = ("0", "-1", "1.5", "2**70")


def envelopes(at: Place) -> Iterator[Case]:
    """Each field by each wrong kind, left out, and fields that there are not."""
    for field, right in _FIELDS.items():
        numbers = _NUMBERS if field == "timestamp" else ()
        for name, value in kinds(*right, without=numbers).items():
            yield _case(at, f"{field} is {name}", refused(_MALFORMED, f"{_ROOT}.{field}"), **{field: value})
    for field in ("asap_version", "sender", "recipient", "payload_type", "payload"):
        yield _case(at, f"no {field}", refused(_MALFORMED, f"{_ROOT}.{field}"), **{field: ...})
    for field in ("extra", "", "Sender", "sender ", "__class__", "from", "$ref", "k" * 5000, "\0"):
        yield _case(at, f"a field {field[:12]!r}", refused(_MALFORMED), **{field: 1})
    yield _case(at, "10,000 fields", refused(_MALFORMED), **{f"f{n}": n for n in range(10_000)})
    for field in ("id", "correlation_id", "trace_id", "asap_version"):
        yield _case(at, f"{field} of 4,097 characters", refused(_MALFORMED, f"{_ROOT}.{field}"), **{field: "x" * 4097})
    unknown = refused("asap:transport/handler_not_found", f"{_ROOT}.payload_type")
    for name in ("", "x", "task.requests", "TASK.REQUEST", "task.request ", "task.request\0", "../task", "__init__"):
        yield _case(at, f"payload_type is {name!r}", unknown, payload_type=name)


_GOOD = "urn:asap:agent:a"
_URNS = {
    "another scheme": "url:asap:agent:a",
    "another namespace": "urn:asa:agent:a",
    "no name": "urn:asap:agent:",
    "no kind": "urn:asap:a",
    "upper case": "URN:ASAP:AGENT:A",
    "an upper-case name": "urn:asap:agent:A",
    "an underscore": "urn:asap:agent:a_b",
    "a dot": "urn:asap:agent:a.b",
    "a slash": "urn:asap:agent:a/b",
    "a way up": "urn:asap:agent:../a",
    "a blank before": f" {_GOOD}",
    "a blank after": f"{_GOOD} ",
    "a line break after": f"{_GOOD}\n",
    "a NUL after": f"{_GOOD}\0",
    "a NUL within": "urn:asap:agent:a\0b",
    "three parts": f"{_GOOD}:b:c",
    "an empty part": f"{_GOOD}:",
    "Cyrillic a": "urn:asap:agent:а",
    "wide digits": "urn:asap:agent:１",
    "an accent": "urn:asap:agent:á",
    "an invisible character": "urn:asap:agent:a\u200b",
    "257 characters": "urn:asap:agent:" + "a" * 242,
    "a megabyte": "urn:asap:agent:" + "a" * 1_000_000,
    "colons without end": "urn:asap:agent" + ":a" * 50_000,
    "two of them": f"{_GOOD},{_GOOD}",
    "a query": f"{_GOOD}?a=b",
    "a wildcard": "urn:asap:agent:*",
}


def names(at: Place) -> Iterator[Case]:
    """Agent URNs that are none, as sender and as recipient."""
    for field in ("sender", "recipient"):
        for name, urn in _URNS.items():
            yield _case(at, f"{field} with {name}", refused(_MALFORMED, f"{_ROOT}.{field}"), **{field: urn})


_NO_TIMES = (
    *(" ", "now", "yesterday", "None", "NaN", "inf", "-", "1e5", "0x10", "١٢٣"),
    *("2026-01", "2026-1", "2026-13-01", "2026-02-30", "2026-1-1", "2026-01-01T", "2026-01-01T25:00:00Z"),
    *("2026-01-01T12:00:60Z", "2026-01-01T12:60:00Z", "2026-01-01T12:00:00+25:00", "2026-01-01T12:00:00+1"),
    *("2026-01-01T12:00:00ZZ", "2026-01-01T12:00:00Z\0", "2026-01-01T12:00:00Z\n", " 2026-01-01T12:00:00Z"),
    *("20260101T120000Z", "2026-W01-1", "2026-001", "12:00:00", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z"),
    *("-2026-01-01T00:00:00Z", "２026-01-01T00:00:00Z", "Thu, 01 Jan 2026 12:00:00 GMT", "9" * 5000),
    *(1e308, -1e308, 2**70, -(2**70), 1e20, -1e20),
)
_OLD_TIMES = (
    *("2001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z"),
    *(
        "9999-12-31T23:59:59.999999-14:00",
        "1970-01-01",
        0,
        -1,
        1.5,
        -62135596800,
        "0",
        "-0.0",
        "20000000000",
        "2026",
        "1." + "1" * 5000,
    ),
)


def times(at: Place) -> Iterator[Case]:
    """What is no time, and times that are not now."""
    place = f"{_ROOT}.timestamp"
    for value in _NO_TIMES:
        yield _case(at, f"timestamp is {_short(value)}", refused(_MALFORMED, place), timestamp=value)
    for value in _OLD_TIMES:
        expect = refused("asap:protocol/invalid_timestamp", place)
        yield _case(at, f"timestamp is {_short(value)}", expect, timestamp=value)
    now = datetime.now(UTC)
    for seconds in (-310, -86400, 45, 86400):
        stamp = (now + timedelta(seconds=seconds)).isoformat()
        expect = refused("asap:protocol/invalid_timestamp", place)
        yield _case(at, f"timestamp is {seconds} seconds from now", expect, timestamp=stamp)
    yield _case(at, "timestamp is now, elsewhere", good(), timestamp=now.isoformat().replace("+00:00", "-00:00"))
    yield _case(at, "timestamp is now, as a number", good(), timestamp=now.timestamp())


def nonces(at: Place) -> Iterator[Case]:
    """Nonces that are none, and extensions that mean something to us."""
    bad = refused("asap:protocol/invalid_nonce", f"{_ROOT}.extensions.nonce")
    for name, value in kinds("a text", "NUL").items():
        yield _case(at, f"nonce is {name}", bad, extensions={"nonce": value})
    for value in (" ", "\t\n", "\u3000", "n" * 257, "\U0001f600" * 257):
        yield _case(at, f"nonce is {_short(value)}", bad, extensions={"nonce": value})
    for value in ("../", "'; --", "\0", "\u202e", "ﬁ"):
        nonce = value + at.fresh()
        yield _case(at, f"nonce begins with {value!r}", good(), extensions={"nonce": nonce})
    deep = refused("asap:task/too_deep", f"{_ROOT}.extensions.task_depth")
    for name, value in kinds("0").items():
        yield _case(at, f"task_depth is {name}", deep, extensions={"task_depth": value})
    for value in (11, 10**9, 2**63 - 1):
        yield _case(at, f"task_depth is {value}", deep, extensions={"task_depth": value})
    for name, value in KINDS.items():
        yield _case(at, f"prefer is {name}", good(), extensions={"prefer": value})
    for extension in ("traceparent", "parent_task_id", "input", "snapshot", "request", "redact", "__proto__"):
        for name in ("2**70", "5,000 characters", "an array"):
            yield _case(at, f"{extension} is {name}", good(), extensions={extension: KINDS[name]})
    yield _case(at, "10,000 extensions", good(), extensions={f"x{n}": n for n in range(10_000)})


def strangers(at: Place) -> Iterator[Case]:
    """Who speaks for whom: for an agent that asks for credentials, a nonce, and its own name."""
    mine = call(envelope(at))
    unknown = refused("asap:auth/unauthenticated")
    for name, words in {
        "none": (),
        "empty": ("",),
        "a scheme alone": ("Bearer",),
        "a blank token": ("Bearer  ",),
        "another scheme": ("Basic dG9rZW46eA==",),
        "an unknown scheme": ("Asap token",),
        "a token alone": (at.token or "",),
        "a wrong token": ("Bearer wrong",),
        "the token, cut": (f"Bearer {(at.token or '')[:-1]}",),
        "the token, longer": (f"Bearer {at.token}x",),
        "the token, in upper case": (f"Bearer {(at.token or '').upper()}",),
        "the token, quoted": (f'Bearer "{at.token}"',),
        "the token twice": (f"Bearer {at.token} {at.token}",),
        "the token and another": (f"Bearer {at.token}", "Bearer wrong"),
        "another and the token": ("Bearer wrong", f"Bearer {at.token}"),
        "the token in two headers": (f"Bearer {at.token}", f"Bearer {at.token}"),
        "the token and a comma": (f"Bearer {at.token},",),
        "NUL characters, escaped": ("Bearer %00",),
        "bytes beyond ASCII": ("Bearer \xff\xfe",),
        "8,000 characters": ("Bearer " + "x" * 8000,),
        "null": ("Bearer null",),
        "a JWT without signature": ("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1cm46YXNhcDphZ2VudDpjYWxsZXIifQ.",),
    }.items():
        sends = posted(Place(at.host), mine, more=tuple(("Authorization", one) for one in words))
        yield Case(f"credentials: {name}", (sends,), unknown)
    yield Case("credentials in another header", (_with(at, mine, "X-Authorization"),), unknown)
    yield Case("credentials in a header with an underscore", (_with(at, mine, "Authorization_"),), unknown)
    yield Case("credentials for a proxy", (_with(at, mine, "Proxy-Authorization"),), unknown)
    yield Case("credentials in a cookie", (_with(at, mine, "Cookie"),), unknown)
    trailer = in_chunks(text(mine))[:-2] + f"Authorization: Bearer {at.token}\r\n\r\n".encode()
    yield Case("credentials in a trailer", (chunked(Place(at.host), trailer),), unknown)
    query = posted(Place(at.host), mine, target=f"/asap?access_token={at.token}")
    yield Case("credentials in the query", (query,), unknown)

    spoofed = refused("asap:auth/sender_mismatch", f"{_ROOT}.sender")
    for urn in (AGENT, "urn:asap:agent:other", f"{CALLER}:x", f"{CALLER}-", CALLER[:-1]):
        yield _case(at, f"sender is {urn}", spoofed, sender=urn)
    items = [call(envelope(at)), call(envelope(at, sender="urn:asap:agent:other"))]
    yield Case("one of a batch is another's", (posted(at, items),), Expect(frozenset({200})))
    yield from _two_senders(at)
    for urn in (CALLER, "urn:asap:agent:other", f"{AGENT}:x"):
        expect = refused("asap:protocol/wrong_recipient", f"{_ROOT}.recipient")
        yield _case(at, f"recipient is {urn}", expect, recipient=urn)
    yield _case(at, "no nonce", refused("asap:protocol/invalid_nonce"), extensions={})
    yield _case(at, "no extensions", refused("asap:protocol/invalid_nonce"), extensions=...)
    yield _case(at, "no timestamp", refused("asap:protocol/invalid_timestamp"), timestamp=...)


def _two_senders(at: Place) -> Iterator[Case]:
    """Of two equal keys one parser keeps the first, another the last."""
    whole = text(call(envelope(at)))
    other = b'"urn:asap:agent:other"'
    sender = b'"sender": "%s"' % CALLER.encode()
    twice = refused("asap:protocol/malformed_json")
    bodies = {
        "first another's, then mine": whole.replace(sender, b'"sender": %s, %s' % (other, sender)),
        "first mine, then another's": whole.replace(sender, b'%s, "sender": %s' % (sender, other)),
        "one with an escape": whole.replace(sender, b'"s\\u0065nder": %s, %s' % (other, sender)),
        "two envelopes": whole.replace(b'"envelope": ', b'"envelope": {"sender": %s}, "envelope": ' % other),
        "two params": whole.replace(b'"params": ', b'"params": {"envelope": {"sender": %s}}, "params": ' % other),
    }
    for name, body in bodies.items():
        yield Case(f"two senders: {name}", (posted(at, body),), twice)


def _with(at: Place, document: Any, header: str) -> bytes:
    return posted(Place(at.host), document, more=((header, f"Bearer {at.token}"),))


def _short(value: Any) -> str:
    return repr(value) if len(repr(value)) < 45 else f"{repr(value)[:20]}… of {len(repr(value))}"


def _case(at: Place, name: str, expect: Expect, **changes: Any) -> Case:
    changes.setdefault("payload", request())
    return Case(name, (posted(at, call(envelope(at, **changes))),), expect)
