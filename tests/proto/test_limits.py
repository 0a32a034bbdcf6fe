"""Every number at its limit, where all is well, and one beyond, where it is not."""

import json
from datetime import timedelta

import attrs
import pytest

from asap_proto import limits
from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, RequestHead
from asap_proto.limits import Limits
from asap_proto.model import Conversation, Envelope, Task, TaskStatus, agent_urn
from asap_proto.roles import Admitted, ClientRole
from asap_proto.rules.freshness import check_fresh, nonce_of
from asap_proto.rules.nesting import check_depth
from asap_proto.rules.quota import Allowed, parse_quota
from asap_proto.rules.slot import Busy, Kept
from asap_proto.stores import MemoryNonces, MemoryQuotas, MemorySlots
from asap_proto.wire import jsonrpc
from asap_proto.wire.json import load
from asap_proto.wire.manifests import dump_manifest
from asap_testkit import ME, NOW, FixedClock, asks, echo_manifest, fixed_sources, letter, link, request_frame

L = Limits()


def is_legal(make, *args, **options):
    """Whether this raises none of our errors."""
    try:
        make(*args, **options)
    except AsapError:
        return False
    return True


def urn(n):
    return is_legal(agent_urn, "urn:asap:agent:" + "x" * (n - 15))


def task_depth(n):
    made = is_legal(Task, "t", "c", TaskStatus.WORKING, NOW, NOW, depth=n)
    assert is_legal(check_depth, n) == made
    return made


def ids(n):
    text = "x" * n
    made = is_legal(letter, id=text)
    for name in ("asap_version", "payload_type", "correlation_id", "trace_id"):
        assert is_legal(letter, **{name: text}) == made
    assert is_legal(Conversation, text, ("a",), NOW) == made
    assert is_legal(jsonrpc.check_call, request_frame(id=text)) == made
    for name in ("id", "trace_id", "asap_version"):
        assert ("result" in json.loads(link().post(request_frame(**{name: text})).body)) == made
    return made


def keys(n):
    taken = is_legal(jsonrpc.check_call, request_frame(key="k" * n))
    client = ClientRole(ME, fixed_sources())
    assert is_legal(lambda: asks(client.send(letter(), idempotency_key="k" * n))) == taken
    return taken


def settable_depth(n):
    try:
        Limits(json_depth=n)
    except ValueError:
        return False
    return True


def nonces(n):
    return is_legal(nonce_of, {"nonce": "n" * n})


def manifest_ttl(n):
    clock = FixedClock()
    role = ClientRole(ME, fixed_sources(clock))
    steps = role.discover()
    asks(steps)
    with pytest.raises(StopIteration):
        steps.send(HttpResponse(200, {}, dump_manifest(echo_manifest())))
    clock.move(n - 1)
    with pytest.raises(StopIteration):  # a second earlier it is believed
        next(role.discover())
    clock.move(1)
    return not is_asked(role.discover())


def is_asked(steps):
    return next(steps, None) is not None


def request_bytes(n):
    server = link().server
    answer = link().run(server.admit(RequestHead("POST", "/asap", {"content-length": str(n)})))
    assert not isinstance(answer, Admitted) or answer.most_bytes == L.request_bytes
    return isinstance(answer, Admitted)


def reply_bytes(n):
    steps = ClientRole(ME, fixed_sources()).send(letter())
    asks(steps)
    with pytest.raises(AsapError) as caught:
        steps.send(HttpResponse(200, {}, b" " * n))
    return caught.value.code != "asap:transport/too_large"


def json_depth(n):
    return is_legal(load, b"[" * n + b"]" * n, depth=L.json_depth)


def batch_items(n):
    answer = json.loads(link().post([5] * n).body)
    return isinstance(answer, list)


def batch_parallel(n):
    return asks(link().server.receive(Admitted("identity", 1, None, "", {}), b"[1]")).most >= n


def received_depth(n):
    frame = request_frame(extensions={"task_depth": n})
    return "result" in json.loads(link(limits=Limits(task_depth=3)).post(frame).body)


def oldest(n):
    return is_legal(check_fresh, NOW - timedelta(seconds=n), now=NOW, limits=L)


def ahead(n):
    return is_legal(check_fresh, NOW + timedelta(seconds=n), now=NOW, limits=L)


def nonce_seconds(n):
    wire = link()
    frame = request_frame(timestamp=(NOW + timedelta(seconds=n)).isoformat(), extensions={"nonce": "n"})
    wire.post(request_frame(extensions={"nonce": "n"}))
    wire.clock.move(n)
    return "error" in json.loads(wire.post(frame).body)


def nonces_held(n):
    store = MemoryNonces(L)
    return all(store.claim("a", str(i), now=0.0, until=1.0) == "claimed" for i in range(n))


def slot_seconds(n):
    wire = link()
    frame = request_frame(key="k")
    del frame["params"]["envelope"]["timestamp"]
    wire.post(frame)
    wire.clock.move(n)
    wire.post(frame)
    return len(wire.ran) == 1


def slots(n):
    store = MemorySlots(L)
    return all(store.open(("a", str(i)), b"", now=0.0, until=1.0) != Busy() for i in range(n))


def slot_bytes(n):
    store = MemorySlots(L)
    store.open(("a", "k"), b"", now=0.0, until=1.0)
    store.keep(("a", "k"), bytes(n), until=1.0)
    return isinstance(store.open(("a", "k"), b"", now=0.0, until=1.0), Kept)


def callers(n):
    store = MemoryQuotas(parse_quota("1/day"), L)
    for i in range(n):
        store.spend(str(i), 1, now=0.0)
    return store.spend("0", 1, now=0.0) != Allowed()


def handler_seconds(n):
    frame = json.dumps(request_frame()).encode()
    return asks(link().server.receive(Admitted("identity", 1, None, "", {}), frame)).timeout >= n


BOUNDS = {
    "URN_LENGTH": (urn, 256),
    "TASK_DEPTH": (task_depth, 10),
    "ID_LENGTH": (ids, 4096),
    "KEY_LENGTH": (keys, 256),
    "JSON_DEPTH_MOST": (settable_depth, 240),
    "NONCE_LENGTH": (nonces, 256),
    "MANIFEST_TTL": (manifest_ttl, 299),
    "request_bytes": (request_bytes, 10 * 1024 * 1024),
    "reply_bytes": (reply_bytes, 10 * 1024 * 1024),
    "json_depth": (json_depth, 100),
    "batch_items": (batch_items, 50),
    "batch_parallel": (batch_parallel, 10),
    "task_depth": (received_depth, 3),
    "oldest_seconds": (oldest, 300),
    "ahead_seconds": (ahead, 30),
    "nonce_seconds": (nonce_seconds, 599),
    "nonces": (nonces_held, 100_000),
    "slot_seconds": (slot_seconds, 599),
    "slots": (slots, 10_000),
    "slot_bytes": (slot_bytes, 64 * 1024 * 1024),
    "callers": (callers, 10_000),
    "handler_seconds": (handler_seconds, 600),
}

#: What the core only names: words, and numbers that a front holds to.
ELSEWHERE = {
    "ASAP_VERSION",
    "SUPPORTED_VERSIONS",
    "Limits",
    "GZIP_MEMBERS",
    "auth_seconds",
    "handler_threads",
    "progress_seconds",
}


@pytest.mark.proves("limits.bounds")
@pytest.mark.parametrize("name", BOUNDS)
def test_the_limit_passes_and_one_more_does_not(name):
    """A window of time ends with its last second: that second passes, the next does not."""
    holds, limit = BOUNDS[name]
    assert holds(limit)
    assert not holds(limit + 1)


def test_every_number_is_tested():
    """A limit that is added comes with its bounds."""
    names = {*limits.__all__, *(field.name for field in attrs.fields(Limits))}
    assert BOUNDS.keys() | ELSEWHERE == names


def test_what_the_encoder_can_write_back():
    """The deepest document that is read can be written: as deep again would be no trouble either."""
    deep = load(b"[" * L.json_depth + b"]" * L.json_depth, depth=L.json_depth)
    assert jsonrpc.success({"x": [deep] * 2})


def test_a_nonce_outlives_its_envelope():
    """As long as an envelope is fresh its nonce is remembered."""
    assert L.nonce_seconds > L.oldest_seconds + L.ahead_seconds
    assert Envelope.__attrs_attrs__.id.validator.schema == {"maxLength": limits.ID_LENGTH}


@pytest.mark.parametrize("name", [field.name for field in attrs.fields(Limits)])
def test_no_limit_is_negative(name):
    """Nor is it something that can't be compared, such as a NaN."""
    for value in (-1, float("nan")):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: value})
