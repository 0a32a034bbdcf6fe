"""Every number at its limit, where all is well, and one beyond, where it is not."""

import json
from datetime import timedelta

import attrs
import pytest

from asap_proto import limits
from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, RequestHead, TransportFailure
from asap_proto.limits import MANIFEST_TTL, Limits
from asap_proto.model import Conversation, Envelope, Task, TaskStatus, TextPart, agent_urn
from asap_proto.roles import Admitted, ClientRole, TaskRole, Watch
from asap_proto.roles.compressing import compressed_response
from asap_proto.rules.caching import Lifetime, tag_of
from asap_proto.rules.compression import choose
from asap_proto.rules.freshness import check_fresh, nonce_of
from asap_proto.rules.nesting import check_depth
from asap_proto.rules.quota import RetryAfter, parse_quota
from asap_proto.rules.retry import RetryRule
from asap_proto.rules.slot import Fresh
from asap_proto.stores import KeptManifest, MemoryManifests, MemoryQuotas, MemoryState, NonceClaim
from asap_proto.stores.records import Slot
from asap_proto.stores.spent import Spent
from asap_proto.wire import jsonrpc
from asap_proto.wire.body import BodyGauge
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import dump_manifest
from asap_proto.wire.nouns import encode
from asap_testkit import (
    ME,
    NOW,
    PEER,
    FixedClock,
    alone,
    asks,
    echo_manifest,
    finish,
    fixed_sources,
    letter,
    link,
    request_frame,
    told,
)
from asap_testkit.receiving import accepts, ask, hold, invokes, payload_of, receive, role, writes
from asap_testkit.records import T, changed, event_of, job_of, record_of, snapshot_of

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
    steps = alone(role.discover())
    asks(steps)
    with pytest.raises(StopIteration):
        steps.send(HttpResponse(200, {}, dump_manifest(echo_manifest())))
    clock.move(n - 1)
    with pytest.raises(StopIteration):  # a second earlier it is believed
        next(role.discover())
    clock.move(1)
    return not is_asked(alone(role.discover()))


def manifest_held(**lifetime):
    """A client whose manifest was found when its clock began, as good as this."""
    clock = FixedClock()
    held = KeptManifest(echo_manifest(), b"", None, Lifetime(**lifetime), clock.elapsed())
    role = ClientRole(ME, fixed_sources(clock), retry=RetryRule(attempts=1))
    role._discovery._manifests.keep(role._discovery._own, held, instead_of=())
    return clock, role


def outage(role):
    """What a look-up ends with while nobody takes a connection, tried once."""
    steps = alone(role.discover())
    asks(steps)
    return finish(steps, TransportFailure("refused", "no"))


def manifest_stale(n):
    clock, role = manifest_held()
    clock.move(MANIFEST_TTL + n)
    return is_legal(outage, role)


def manifest_rest(n):
    clock, role = manifest_held(fresh=0.0)
    outage(role)
    clock.move(n)
    return not is_asked(alone(role.discover()))


def manifests_held(n):
    manifests = MemoryManifests()
    held = KeptManifest(echo_manifest(), b"", None, Lifetime(), 0.0)
    for key in range(n):
        manifests.keep(key, held, instead_of=())
    return manifests.counts().entries == n


def manifest_bytes(n):
    manifests = MemoryManifests()
    held = KeptManifest(echo_manifest(), b" " * (n - 2048), None, Lifetime(), 0.0)
    manifests.keep("a", held, instead_of=())
    return manifests.counts().entries == 1


def etag_length(n):
    return tag_of({"etag": '"' + "x" * (n - 2) + '"'}) is not None


def is_asked(steps):
    return next(steps, None) is not None


def request_bytes(n):
    server = link().server
    headers = {"content-type": "application/json", "content-length": str(n)}
    answer = link().run(server.admit(RequestHead("POST", "/asap", headers)))
    assert not isinstance(answer, Admitted) or answer.most_bytes == L.request_bytes
    return isinstance(answer, Admitted)


def reply_bytes(n):
    steps = ClientRole(ME, fixed_sources()).send(letter())
    asks(steps)
    with pytest.raises(AsapError) as caught:
        steps.send(HttpResponse(200, {}, b" " * n))
    return caught.value.code != "asap:transport/too_large"


def signed_bytes(n):
    steps = alone(ClientRole(ME, fixed_sources(), check_manifest=lambda _: None).discover())
    asks(steps)
    text = dump_manifest(echo_manifest())
    return is_legal(finish, steps, HttpResponse(200, {}, text + b" " * (n - len(text))))


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
    store = MemoryState(Limits(nonces_each=100_000))
    return all(store.accept(None, NonceClaim("a", str(i), 1.0), (), now=0.0) == Fresh() for i in range(n))


def spent_keys(n):
    spent = Spent(L.keys)
    for number in range(n):
        spent.add(Slot("a", str(number), b""), 1.0, now=0.0)
    return spent.has(Slot("a", "0", b""), now=0.0)


def nonces_of_one(n):
    store = MemoryState(L)
    return all(store.accept(None, NonceClaim("a", str(i), 1.0), (), now=0.0) == Fresh() for i in range(n))


def task_seconds(n):
    wire = link()
    frame = request_frame(key="k")
    del frame["params"]["envelope"]["timestamp"]
    task_id = payload_of(wire.post(frame))["task_id"]
    wire.clock.move(n)
    known = "task" in (ask(wire, "state.query", {"task_id": task_id}, timestamp=None).get("extensions") or {})
    wire.post(frame)
    assert known == (len(wire.ran) == 1)
    return known


def question_seconds(n):
    def wonder(job, task):
        return (yield from task.need_input({"question": "?"}))

    wire = link(skills={"echo": wonder})
    frame = request_frame(key="k")
    del frame["params"]["envelope"]["timestamp"]
    task_id = payload_of(wire.post(frame))["task_id"]
    wire.clock.move(n)
    return "task" in (ask(wire, "state.query", {"task_id": task_id}, timestamp=None).get("extensions") or {})


def tasks(n):
    store = MemoryState(L)
    return all(store.accept(record_of(job_of(str(i), None)), None, (), now=T) == Fresh() for i in range(n))


def task_bytes(n):
    return MemoryState(L).accept(record_of(job_of(size=n - 2048)), None, (), now=T) == Fresh()


def task_events(n):
    store, record = MemoryState(L), record_of()
    store.accept(record, None, (), now=T)
    store.write(changed(record, *(event_of(number) for number in range(1, n + 1))))
    return store.events("task_1", after=0, most=1)[0].number == 1


def sized(made, n):
    """What `made` makes of a text, of exactly so many bytes."""
    return made("x" * (n - len(dump(made("")))))


def may_ask(call):
    """Whether a handler may do this: what is refused is refused before anything is written."""
    return is_legal(lambda: asks(call(TaskRole(record_of(question={}, answers=({},)), PEER, fixed_sources(), L))))


def event_bytes(n):
    words = sized(lambda text: {"percent": 1, "message": text}, n)["message"]
    made = may_ask(lambda task: task.progress(1, words))
    question = sized(lambda text: {"question": text}, n)
    task = TaskRole(record_of(answers=({},)), PEER, fixed_sources(), L)
    assert is_legal(finish, task.need_input(question)) == made

    def artifact(name):
        task = TaskRole(record_of(), PEER, fixed_sources(), Limits(event_bytes=2 * n))
        return asks(task.artifact(name, [TextPart("x")])).change.events[0].data

    name = sized(artifact, n)["artifact"]["name"]
    assert may_ask(lambda task: task.artifact(name, [TextPart("x")])) == made
    assert is_told(n) == made
    assert is_news(n) == made
    return made


def is_told(n):
    """Whether a task that waits may be told so much."""
    wire = link(skills={"echo": lambda job, task: (yield from task.need_input({}))})
    wire.post(request_frame())
    (record,) = wire.state.tasks()
    payload = {"task_id": record.id, "message_id": "m", "sender": ME, "role": "user", "parts": []}
    kept = {name: value for name, value in payload.items() if name != "task_id"}
    message = sized(lambda text: {**kept, "input": {"x": text}}, n)
    return "payload" in ask(wire, "message.send", payload, extensions={"input": message["input"]})


def is_news(n):
    """Whether a subtask may say so much."""
    wire = link(skills={"echo": lambda job, task: (yield from task.need_input({}))})
    wire.post(request_frame())
    (record,) = wire.state.tasks()
    news = sized(
        lambda text: {
            "payload_type": "artifact.notify",
            "payload": {"artifact_id": "a", "task_id": "sub", "name": text},
            "sender": ME,
        },
        n,
    )
    return "payload" in ask(wire, "artifact.notify", news["payload"], extensions={"parent_task_id": record.id})


def task_snapshots(n):
    store, record = MemoryState(L), record_of()
    store.accept(record, None, (), now=T)
    for version in range(1, n + 1):
        change = changed(record, snapshot=snapshot_of(version))
        assert store.write(change)
        record = change.record
    return store.snapshot("task_1", 1) is not None


def snapshot_bytes(n):
    data = sized(lambda text: {"x": text}, n)
    made = may_ask(lambda task: task.save(data))
    brought = encode(snapshot_of(1, data))
    extensions = {"snapshot": {**brought, "created_at": NOW.isoformat()}, "request": encode(letter().payload)}
    restore = {"task_id": "task_1", "snapshot_id": "snap_1"}
    assert ("payload" in ask(link(), "state.restore", restore, extensions=extensions)) == made
    return made


def task_messages(n):
    def work(job, task):
        for number in range(n):
            yield from task.need_input({"number": number})

    wire = link(skills={"echo": work})
    wire.post(request_frame())
    (record,) = wire.state.tasks()
    answer = None
    for number in range(n):
        message = {"task_id": record.id, "message_id": str(number), "sender": ME, "role": "user", "parts": []}
        answer = ask(wire, "message.send", message)
        wire.rest()
    return "payload" in answer


def task_runs(n):
    recovered = role(restartable=("echo",)).recover(record_of(owner="worker", runs=n - 1))
    return writes(recovered).record.status is TaskStatus.WORKING


def lease_seconds(n):
    accept = accepts(receive(request_frame(), server=role(durable=True)))
    return round(accept.record.lease - accept.now, 3) > n


def streamed(**options):
    """How long a stream waits at a time for what its task does."""
    wire = link(server=options)
    body = json.dumps(request_frame()).encode()
    return wire.reach(wire.server.stream(Admitted("identity", 1, None, "", {}, True), body), Watch).seconds


def beat_seconds(n):
    return streamed(durable=True) >= n


def stream_beat_seconds(n):
    return streamed() >= n


def cancel_seconds(n):
    wire = link()
    hold(wire, request_frame())
    (record,) = wire.state.tasks()
    started = wire.clock.elapsed()
    assert ask(wire, "task.cancel", {"task_id": record.id})["payload"]["status"] == "working"
    return wire.clock.elapsed() - started >= n


def callers(n):
    store = MemoryQuotas(parse_quota("1/day"), L)
    for i in range(n):
        store.spend(str(i), 1, now=0.0)
    return isinstance(store.spend("0", 1, now=0.0), RetryAfter)


def body_pieces(n):
    gauge = BodyGauge(L.request_bytes)
    return is_legal(lambda: [gauge.take(b"") for _ in range(n)])


def piece_bytes(n):
    """Beyond the pieces that are free, `n` empty ones behind 64 times 64 bytes."""
    gauge = BodyGauge(L.request_bytes)
    gauge.take(b"x" * 64 * 64)
    return is_legal(lambda: [gauge.take(b"") for _ in range(limits.BODY_PIECES - 1 + n)])


def return_seconds(n):
    pause = next(role().abandon(job_of()))
    return pause.seconds >= n


def handler_seconds(n):
    return invokes(receive(request_frame())).timeout >= n


def header_count(n):
    head = RequestHead("POST", "/asap", {"content-type": "application/json"}, "192.0.2.1", n)
    return isinstance(link().run(role().admit(head)), Admitted)


def accept_length(n):
    return choose("gzip" + " " * (n - 4), ("gzip",)) == "gzip"


def compress_bytes(n):
    """Whether so large an answer is sent as it is."""
    return told(compressed_response(HttpResponse(200, {}, bytes(n)), "identity", L)).headers == {}


def compress_inline_bytes(n):
    """Whether so large an answer is compressed on the spot."""
    return not asks(compressed_response(HttpResponse(200, {}, bytes(n)), "gzip", L)).apart


def json_values(n):
    """How the values of a request are counted: those of its frame are among them."""
    frame = request_frame(payload={"conversation_id": "c", "skill_id": "echo", "input": {"a": []}})
    text = dump(frame)
    frame["params"]["envelope"]["payload"]["input"]["a"] = [0] * (n - text.count(b",") - text.count(b"{") - 1)
    return "result" in json.loads(link().post(frame).body)


BOUNDS = {
    "ACCEPT_LENGTH": (accept_length, 256),
    "URN_LENGTH": (urn, 256),
    "TASK_DEPTH": (task_depth, 10),
    "ID_LENGTH": (ids, 4096),
    "KEY_LENGTH": (keys, 256),
    "JSON_DEPTH_MOST": (settable_depth, 240),
    "NONCE_LENGTH": (nonces, 256),
    "BODY_PIECES": (body_pieces, 1000),
    "PIECE_BYTES": (piece_bytes, 64),
    "MANIFEST_TTL": (manifest_ttl, 299),
    "MANIFEST_STALE": (manifest_stale, 3599),
    "MANIFEST_REST": (manifest_rest, 9),
    "MANIFESTS": (manifests_held, 1000),
    "MANIFEST_BYTES": (manifest_bytes, 16 * 1024 * 1024),
    "ETAG_LENGTH": (etag_length, 256),
    "SIGNED_BYTES": (signed_bytes, 256 * 1024),
    "request_bytes": (request_bytes, 10 * 1024 * 1024),
    "reply_bytes": (reply_bytes, 10 * 1024 * 1024),
    "header_count": (header_count, 100),
    "json_values": (json_values, 100_000),
    "json_depth": (json_depth, 100),
    "batch_items": (batch_items, 50),
    "batch_parallel": (batch_parallel, 10),
    "task_depth": (received_depth, 3),
    "oldest_seconds": (oldest, 300),
    "ahead_seconds": (ahead, 30),
    "nonce_seconds": (nonce_seconds, 599),
    "nonces": (nonces_held, 100_000),
    "nonces_each": (nonces_of_one, 20_000),
    "task_seconds": (task_seconds, 3599),
    "tasks": (tasks, 10_000),
    "question_seconds": (question_seconds, 86_399),
    "keys": (spent_keys, 100_000),
    "task_bytes": (task_bytes, 64 * 1024 * 1024),
    "task_events": (task_events, 1000),
    "event_bytes": (event_bytes, 16 * 1024),
    "task_snapshots": (task_snapshots, 100),
    "snapshot_bytes": (snapshot_bytes, 1024 * 1024),
    "task_messages": (task_messages, 100),
    "task_runs": (task_runs, 5),
    "lease_seconds": (lease_seconds, 14),
    "beat_seconds": (beat_seconds, 1),
    "cancel_seconds": (cancel_seconds, 5),
    "stream_beat_seconds": (stream_beat_seconds, 15),
    "callers": (callers, 10_000),
    "handler_seconds": (handler_seconds, 600),
    "return_seconds": (return_seconds, 2),
    "compress_bytes": (compress_bytes, 2048),
    "compress_inline_bytes": (compress_inline_bytes, 64 * 1024),
}

#: What the core only names: words, numbers that a front holds to, and those of files, which have tests of their own.
ELSEWHERE = {
    "late_seconds",
    "ASAP_VERSION",
    "SUPPORTED_VERSIONS",
    "Limits",
    "GZIP_MEMBERS",
    "FILE_BYTES",
    "FILE_SCHEMES",
    "INFLATE_FREE",
    "INFLATE_RATIO",
    "URI_LENGTH",
    "auth_seconds",
    "background_tasks",
    "compress_threads",
    "connections",
    "body_seconds",
    "grace_seconds",
    "handler_threads",
    "header_bytes",
    "header_seconds",
    "held_bytes",
    "idle_seconds",
    "pool_connections",
    "pool_idle_seconds",
    "pool_maxsize",
    "pool_timeout",
    "progress_seconds",
    "requests",
    "send_seconds",
    "stream_events",
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


def test_a_lease_is_longer_than_a_beat():
    """Else a worker that lives, and is a moment late, would lose its tasks to another."""
    assert Limits(lease_seconds=2.0, beat_seconds=1.0).lease_seconds == 2.0
    with pytest.raises(ValueError, match=r"lease_seconds is 1\.9"):
        Limits(lease_seconds=1.9, beat_seconds=1.0)
