"""The client's story, told by hand and over a link with weather."""

import json

import pytest

from asap_proto.errors import (
    BodyTooLarge,
    CircuitOpen,
    ForbiddenTarget,
    InvalidValue,
    MalformedReply,
    MispairedReply,
    NestedTooDeep,
    OtherAgent,
    Overloaded,
    PeerRefused,
    PeerTimedOut,
    PeerUnreachable,
    RateLimited,
    Redirected,
    TaskNotFound,
    UnverifiedManifest,
)
from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.limits import ID_LENGTH, Limits
from asap_proto.model import Envelope, TaskCancel, TaskRequest
from asap_proto.roles import ClientRole, Job, Pause, Transmit
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.retry import RetryRule
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import dump_manifest, read_manifest
from asap_proto.wire.nouns import decode_envelope, encode
from asap_testkit import ME, NOW, PEER, FixedClock, alone, asks, echo_manifest, finish, fixed_sources, letter, link

REFUSED = TransportFailure("refused", "connection refused")
WORK = TaskRequest("conversation", "echo", {"message": "hi"})


def client(clock=None, **options):
    return ClientRole(ME, fixed_sources(clock), **options)


def sent(command):
    """The JSON document of a request."""
    assert isinstance(command, Transmit)
    return json.loads(command.request.body)


def ok(id="req-1", correlation_id="letter-1", **fields):
    """An answer that fits `letter`."""
    envelope = encode(letter(sender=PEER, recipient=ME, correlation_id=correlation_id, **fields))
    return {"jsonrpc": "2.0", "result": {"envelope": load(dump(envelope), depth=99)}, "id": id}


def http(document, status=200, **headers):
    return HttpResponse(status, headers, dump(document))


def fails(steps, answer):
    """The error that the story ends with, once it was told `answer`."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  (which one is the test's business)
        steps.send(answer)
    return caught.value


@pytest.mark.proves("client.compose")
def test_an_envelope_is_composed():
    """From us, now, with an id of its own; nothing in it that an old peer refuses."""
    envelope = client().compose(PEER, WORK, trace_id="t", extensions={"x": 1})
    assert envelope == Envelope(
        id="01KDYAK3830000000000000001", timestamp=FixedClock().now(), sender=ME, recipient=PEER,
        payload_type="task.request", payload=WORK, trace_id="t", extensions={"x": 1},
    )  # fmt: skip
    assert client().compose(PEER, WORK).extensions is None


def test_names_are_checked_before_anything_is_sent():
    """Ours and theirs."""
    with pytest.raises(InvalidValue):
        client().compose("x", WORK)
    with pytest.raises(InvalidValue):
        ClientRole("x", fixed_sources())


@pytest.mark.proves("task.depth")
def test_what_is_sent_within_a_task_carries_its_trace_and_depth():
    """A subtask is one deeper; what is no task has no depth; too deep a subtask is not sent at all."""
    job = Job(WORK, letter(trace_id="trace"), "task", 3, None)
    subtask = client().compose(PEER, WORK, within=job)
    assert (subtask.trace_id, subtask.extensions) == ("trace", {"task_depth": 4})
    assert client().compose(PEER, TaskCancel("t"), within=job, trace_id="other").trace_id == "other"
    assert client().compose(PEER, TaskCancel("t"), within=job).extensions is None
    with pytest.raises(NestedTooDeep):
        client().compose(PEER, WORK, within=Job(WORK, letter(), "task", 10, None))
    with pytest.raises(NestedTooDeep):
        client(limits=Limits(task_depth=3)).compose(PEER, WORK, within=job)


@pytest.mark.proves("client.request")
def test_a_request_as_every_release_sends_it():
    """One POST with a nonce, an idempotency key in both places, and the versions we speak."""
    steps = client(token="secret").send(letter(), idempotency_key="k")
    command = asks(steps)
    assert (command.request.method, command.request.target, command.timeout) == ("POST", "/asap", 60.0)
    assert command.request.headers == {
        "content-type": "application/json", "accept": "application/json", "asap-version": "2.2, 2.1",
        "authorization": "Bearer secret", "x-idempotency-key": "k",
    }  # fmt: skip
    document = sent(command)
    assert (document["id"], document["method"], document["params"]["idempotency_key"]) == ("req-1", "asap.send", "k")
    assert document["params"]["envelope"]["extensions"] == {"nonce": "nonce-1"}
    assert finish(steps, http(ok())).sender == PEER


def test_a_caller_may_choose_its_nonce_or_none():
    """A nonce of the caller's is kept; without nonces, extensions stay as they are."""
    document = sent(asks(client().send(letter(extensions={"nonce": "mine", "x": 1}))))
    assert document["params"]["envelope"]["extensions"] == {"nonce": "mine", "x": 1}
    assert sent(asks(client(nonces=False).send(letter())))["params"]["envelope"]["extensions"] is None


def test_new_ids():
    """For whatever the caller wants to name."""
    role = client()
    assert role.new_id() != role.new_id()


@pytest.mark.parametrize("token", ["", " ", "a\n", " a", "a\r\nx: y", "é", "a\x00"])
def test_a_token_is_fit_for_a_header(token):
    """What could end the header, or begin another, is refused before anything is sent."""
    with pytest.raises(InvalidValue, match="a token is"):
        client(token=token)


def test_what_is_no_json_is_never_sent():
    """The caller learns what can't be written; the peer's breaker does not."""
    steps = client(breaker=Breaker()).send(letter(TaskRequest("c", "s", {"x": {1}})))
    with pytest.raises(InvalidValue, match="no JSON"):
        next(steps)


@pytest.mark.proves("client.retry")
def test_client_waits_longer_each_time():
    """A refused peer is tried again after a growing pause, with a new nonce and the same key and id."""
    steps = client().send(letter())
    first = sent(asks(steps))
    assert asks(steps, REFUSED) == Pause(1.0)
    second = sent(asks(steps))
    assert asks(steps, TransportFailure("broken", "reset")) == Pause(2.0)
    third = sent(asks(steps))
    assert isinstance(fails(steps, REFUSED), PeerUnreachable)
    assert first["id"] == second["id"] == third["id"] == "req-1"
    assert len({sent["params"]["idempotency_key"] for sent in (first, second, third)}) == 1
    assert [sent["params"]["envelope"]["extensions"]["nonce"] for sent in (first, second, third)] == [
        "nonce-1",
        "nonce-2",
        "nonce-3",
    ]


@pytest.mark.proves("client.retry")
@pytest.mark.parametrize(
    ("answer", "error", "again"),
    [
        (TransportFailure("timed_out", "no"), PeerTimedOut, True),
        (REFUSED, PeerUnreachable, True),
        (HttpResponse(500), Overloaded, True),
        (HttpResponse(503), Overloaded, True),
        (HttpResponse(429), RateLimited, True),
        (HttpResponse(404), PeerRefused, False),
        (HttpResponse(307), Redirected, False),
        (HttpResponse(304), PeerRefused, False),
        (TransportFailure("forbidden", "no"), ForbiddenTarget, False),
        (HttpResponse(199), PeerRefused, False),
        (HttpResponse(200, {}, b"x"), MalformedReply, False),
        (http([]), MalformedReply, False),
        (http(ok(id="x")), MispairedReply, False),
        (http(ok(correlation_id="x")), MispairedReply, False),
        (http({"error": {"code": 429, "message": "m"}}), RateLimited, True),
        (
            http({"error": {"code": -32602, "message": "m", "data": {"code": "asap:task/not_found"}}}),
            TaskNotFound,
            False,
        ),
    ],
)
def test_what_may_pass_is_tried_again(answer, error, again):
    """And nothing else is: the same wrong request stays wrong."""
    steps = client(retry=RetryRule(attempts=2)).send(letter())
    asks(steps)
    if again:
        assert isinstance(asks(steps, answer), Pause)
        asks(steps)
    assert isinstance(fails(steps, answer), error)


def closes(command):
    """Whether a request asks for its connection to be closed."""
    return command.request.headers.get("connection") == "close"


def test_leaves_a_connection_that_gave_anothers_answer():
    """What else comes on it is late too: it is closed after one request more, and so is each until an answer fits."""
    role = client(retry=RetryRule(attempts=1))
    steps = role.send(letter())
    assert not closes(asks(steps))
    assert isinstance(fails(steps, http(ok(id="req-0"))), MispairedReply)
    steps = role.send(letter())
    assert closes(asks(steps))
    assert isinstance(fails(steps, TransportFailure("broken", "closed")), PeerUnreachable)
    steps = role.send(letter())
    assert closes(asks(steps))
    finish(steps, http(ok(id="req-3")))
    assert not closes(asks(role.send(letter())))


@pytest.mark.proves("client.retry-after")
@pytest.mark.parametrize(
    ("value", "pause"),
    [
        ("3", 3.0),
        ("120", 60.0),
        ("99999999999", 60.0),
        ("0", 1.0),
        ("-1", 1.0),
        ("soon", 1.0),
        ("²", 1.0),
        ("", 1.0),
        ("Fri, 02 Jan 2026 03:04:15 GMT", 9.876544),
        ("Fri, 02 Jan 1970 00:00:00 GMT", 1.0),
        ("Fri, 32 Jan 2026 00:00:00 GMT", 1.0),
        ("Fri, 31 Dec 9999 99:99:99 GMT", 1.0),
        ("Fri, 02 Foo 2026 00:00:00 GMT", 1.0),
        ("Fri, 01 Jan 0000 00:00:00 GMT", 1.0),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, pause):
    """Within the rule's cap; what is neither, or past, is passed over."""
    steps = client().send(letter())
    asks(steps)
    assert asks(steps, HttpResponse(503, {"retry-after": value})).seconds == pytest.approx(pause)


@pytest.mark.proves("client.reply-limit")
def test_a_reply_beyond_the_limit_is_not_read():
    """Nor tried again."""
    steps = client(limits=Limits(reply_bytes=5)).send(letter())
    asks(steps)
    assert isinstance(fails(steps, HttpResponse(200, {}, b"x" * 6)), BodyTooLarge)


@pytest.mark.proves("client.breaker")
def test_a_peer_that_keeps_failing_is_left_alone():
    """Until it has rested; then one probe decides."""
    clock = FixedClock()
    role = client(clock, breaker=Breaker(threshold=2), retry=RetryRule(attempts=1))
    for _ in range(2):
        steps = role.send(letter())
        asks(steps)
        assert isinstance(fails(steps, REFUSED), PeerUnreachable)
    error = fails(role.send(letter()), None)
    assert isinstance(error, CircuitOpen)
    assert error.message
    assert error.facts == {"open_for_seconds": 60.0}
    clock.move(60.0)
    probe = role.send(letter())
    asks(probe)
    assert isinstance(fails(role.send(letter()), None), CircuitOpen)
    assert finish(probe, http(ok(id="req-4")))
    asks(role.send(letter()))


@pytest.mark.proves("client.breaker")
def test_a_peer_that_refuses_is_well():
    """Only one that can't answer counts as failing."""
    role = client(breaker=Breaker(threshold=1), retry=RetryRule(attempts=1))
    steps = role.send(letter())
    asks(steps)
    assert isinstance(fails(steps, HttpResponse(404)), PeerRefused)
    asks(role.send(letter()))


@pytest.mark.proves("client.redirects")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_told_and_not_followed(status):
    """By its host; path and query may hold secrets, and a body that says otherwise is not believed."""
    steps = client().send(letter())
    asks(steps)
    body = dump({"error": {"code": -32600, "message": "m", "data": {"code": "asap:task/not_found"}}})
    error = fails(steps, HttpResponse(status, {"location": "https://u:p@other.example/x?token=s"}, body))
    assert isinstance(error, Redirected)
    assert error.message == f"the peer says, by HTTP status {status}, to ask other.example"
    assert error.facts == {"status": status, "host": "other.example"}
    steps = alone(client().discover())
    asks(steps)
    error = fails(steps, HttpResponse(status, {"location": "/elsewhere"}))
    assert error.message == f"the peer says, by HTTP status {status}, to ask elsewhere"
    assert error.facts == {"status": status}


@pytest.mark.proves("client.targets")
def test_a_forbidden_target_does_not_trip_the_breaker():
    """Nobody was asked, so nobody has failed; and to try again would lead there again."""
    role = client(breaker=Breaker(threshold=1))
    for _ in range(2):
        steps = role.send(letter())
        asks(steps)
        assert isinstance(fails(steps, TransportFailure("forbidden", "no")), ForbiddenTarget)


@pytest.mark.proves("client.peer")
def test_a_manifest_of_another_agent_is_refused():
    """It is not kept either: the next one is looked at."""
    role = client(agent=PEER)
    published = http(encode(echo_manifest()))
    assert echo_manifest().id == PEER
    steps = alone(role.discover())
    asks(steps)
    other = http({**encode(echo_manifest()), "id": "urn:asap:agent:other"})
    error = fails(steps, other)
    assert isinstance(error, OtherAgent)
    assert error.message == f"the manifest is that of urn:asap:agent:other, not of {PEER}"
    steps = alone(role.discover())
    asks(steps)
    assert finish(steps, published).id == PEER
    assert finish(alone(role.discover())).id == PEER


def signed_by_me(published):
    """What a pinned key does, without the arithmetic."""
    if published.signature != "me":
        raise UnverifiedManifest("not signed by me")


@pytest.mark.proves("client.pinned")
@pytest.mark.parametrize("how", ["send", "send_batch", "stream"])
def test_nothing_is_sent_before_the_manifest_was_verified(how):
    """Once; a manifest that is not signed as it has to be ends the call, and the next one asks again."""
    role = client(check_manifest=signed_by_me)
    say = getattr(role, how)
    given = [letter()] if how == "send_batch" else letter()
    document = encode(echo_manifest())
    steps = alone(say(given))
    assert asks(steps).request.method == "GET"
    if how == "send_batch":
        (error,) = finish(steps, http(document))
    else:
        error = fails(steps, http(document))
    assert isinstance(error, UnverifiedManifest)
    steps = alone(say(given))
    assert asks(steps).request.method == "GET"
    assert asks(steps, http({**document, "signature": "me"})).request.method == "POST"
    assert asks(alone(say(given))).request.method == "POST"


@pytest.mark.proves("client.pinned")
@pytest.mark.parametrize(
    "shown", [{"token": "secret"}, {"credentials": lambda request, now, nonce: {"authorization": "Bearer secret"}}]
)
def test_who_is_not_verified_yet_is_shown_no_credentials(shown):
    """Whoever answers in the peer's stead learns nothing; once it is verified, it is asked as any other peer is."""
    clock = FixedClock()
    role = client(clock, check_manifest=signed_by_me, **shown)
    document = http({**encode(echo_manifest()), "signature": "me"})
    steps = alone(role.discover())
    assert "authorization" not in asks(steps).request.headers
    assert isinstance(asks(steps, REFUSED), Pause)
    assert "authorization" not in asks(steps).request.headers
    assert finish(steps, document).signature == "me"
    assert asks(role.send(letter())).request.headers["authorization"] == "Bearer secret"
    clock.move(301.0)
    assert asks(alone(role.discover())).request.headers["authorization"] == "Bearer secret"


@pytest.mark.proves("client.pinned")
def test_a_manifest_with_a_key_that_stands_twice_is_not_verified():
    """Whoever signed it may have read the other one."""
    role = client(check_manifest=signed_by_me)
    text = dump({**encode(echo_manifest()), "signature": "me"})
    for twice in (text.replace(b'"name"', b'"name":"x","name"'), text.replace(b'"asap":', b'"asap":"x","asap":')):
        steps = alone(role.discover())
        asks(steps)
        error = fails(steps, HttpResponse(200, {}, twice))
        assert isinstance(error, MalformedReply)
        assert "stands twice" in error.message
        steps = alone(client().discover())
        asks(steps)
        assert finish(steps, HttpResponse(200, {}, twice)) == read_manifest(load(text, depth=9))


@pytest.mark.proves("client.manifest")
def test_a_manifest_is_believed_for_its_time():
    """Then it is fetched anew."""
    clock = FixedClock()
    role = client(clock)
    steps = alone(role.discover())
    assert asks(steps).request == HttpRequest("GET", "/.well-known/asap/manifest.json", role._headers)
    assert finish(steps, HttpResponse(200, {}, dump_manifest(echo_manifest()))) == echo_manifest()
    clock.move(299.0)
    assert finish(alone(role.discover())) == echo_manifest()
    clock.move(1.0)
    assert isinstance(asks(alone(role.discover())), Transmit)


@pytest.mark.proves("idempotency.slot")
@pytest.mark.parametrize(
    "weather",
    [
        ["reply lost"],
        ["broken"],
        ["heard twice"],
        ["reply lost", "reply lost"],
        ["refused", "reply lost"],
        ["request lost"],
    ],
)
def test_whatever_the_weather_the_work_is_done_once(weather):
    """A retry finds the kept reply; the handler ran once."""
    wire = link(weather=weather)
    assert wire.run(wire.client.send(letter())).payload.result == {"echoed": {"message": "hi"}}
    assert len(wire.ran) == 1


def test_weather_that_does_not_pass():
    """After three tries the client gives up; the clock moved by its pauses alone."""
    wire = link(weather=["request lost"] * 3)
    with pytest.raises(PeerTimedOut):
        wire.run(wire.client.send(letter()))
    assert (len(wire.sent), wire.ran, wire.clock.elapsed()) == (3, [], 1003.0)


@pytest.mark.parametrize("key", ["", "a\nb", "\x7f", "ü"])
def test_an_idempotency_key_is_fit_for_a_header(key):
    """It travels in one too."""
    with pytest.raises(InvalidValue, match="idempotency key"):
        asks(client().send(letter(), idempotency_key=key))


def test_a_single_try():
    """A rule for one call counts instead of the role's own."""
    steps = client().send(letter(), retry=RetryRule(attempts=1))
    asks(steps)
    with pytest.raises(PeerUnreachable):
        steps.send(TransportFailure("refused", "no"))


def test_an_error_that_comes_with_a_status():
    """Tells more than the status; its Retry-After counts too."""
    error = {"code": -32600, "message": "m", "data": {"code": "asap:transport/too_large", "error": "no"}}
    steps = client().send(letter())
    asks(steps)
    with pytest.raises(BodyTooLarge) as caught:
        steps.send(HttpResponse(413, {"retry-after": "7"}, dump({"jsonrpc": "2.0", "error": error, "id": None})))
    assert (caught.value.facts["status"], caught.value.retry_after) == (413, 7)


def test_an_error_without_a_code_of_ours_tells_no_more_than_its_status():
    """As the releases answer 429 and 503."""
    for error in ({"code": 429, "message": "m", "data": {"retry_after": 60}}, {"code": 1, "data": {"code": "x:y"}}):
        steps = client(retry=RetryRule(attempts=1)).send(letter())
        asks(steps)
        with pytest.raises(PeerRefused):
            steps.send(HttpResponse(400, {}, dump({"jsonrpc": "2.0", "error": error, "id": None})))


def test_one_exchange_may_have_its_own_timeout():
    """A timeout given counts for every try of that exchange, and for no other."""
    role = client(timeout=60.0)
    steps = role.send(letter(), timeout=5.0)
    assert asks(steps).timeout == 5.0
    steps.send(REFUSED)
    assert steps.send(None).timeout == 5.0
    assert asks(role.send(letter())).timeout == 60.0


def test_what_is_composed_is_an_envelope_like_any_other():
    """It is made by a shorter way, and is the same."""
    made = client().compose(PEER, WORK, trace_id="t", extensions={"a": 1}, id="letter-7")
    said = {"id": "letter-7", "timestamp": NOW, "sender": ME, "recipient": PEER, "payload": WORK, "trace_id": "t"}
    assert made == Envelope(**said, payload_type="task.request", extensions={"a": 1})
    assert repr(made) == repr(decode_envelope(load(dump(encode(made)), depth=99)))
    with pytest.raises(AttributeError):
        made.id = "another"


def test_a_trace_that_is_too_long_is_not_composed():
    """No peer would take it."""
    with pytest.raises(InvalidValue) as caught:
        client().compose(PEER, WORK, trace_id="t" * (ID_LENGTH + 1))
    assert [(fault.path, fault.type) for fault in caught.value.faults] == [("$.trace_id", "too_long")]
