"""Whatever a server answers, the client has an envelope, or an AsapError with the reason."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.errors import AsapError
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.limits import MANIFEST_STALE, MANIFEST_TTL, Limits
from asap_proto.model import Envelope, Manifest
from asap_proto.roles import ClientRole, Pause, RecallManifest, Together, Transmit
from asap_proto.rules.retry import RetryRule
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import dump_manifest
from asap_proto.wire.nouns import encode
from asap_testkit import ME, PEER, FixedClock, alone, echo_manifest, fixed_sources, letter

#: Tries of one request, each with its pause, and once more for a batch that is then sent in single requests.
MOST_COMMANDS = 12


def sent(steps, answer):
    """The story's end, whatever it asks being answered so."""
    given_back = None
    for _ in range(MOST_COMMANDS):
        try:
            command = steps.send(given_back)
        except StopIteration as end:
            return end.value
        except AsapError as error:
            check_bounded(error)
            return error
        if isinstance(command, Together):
            given_back = tuple(sent(story, answer) for story in command.stories)
        elif isinstance(command, Pause):
            assert 0 <= command.seconds <= 66
            given_back = None
        else:
            assert isinstance(command, Transmit)
            given_back = answer
    raise AssertionError(f"still not done after {MOST_COMMANDS} commands")


def check_bounded(error):
    """Its message can be shown whatever the peer wrote."""
    assert len(error.message) < 2000
    assert error.path.startswith("$")


def check_client(answer):
    client = ClientRole(ME, fixed_sources())
    assert isinstance(sent(client.send(letter()), answer), Envelope | AsapError)
    assert isinstance(sent(alone(client.discover()), answer), Manifest | AsapError)
    results = sent(client.send_batch([letter(), letter()]), answer)
    assert len(results) == 2
    assert all(isinstance(result, Envelope | AsapError) for result in results)


def replies(id="req-1"):
    """Valid answers to `letter`."""
    envelope = encode(letter(sender=PEER, recipient=ME, correlation_id="letter-1"))
    return {"jsonrpc": "2.0", "result": {"envelope": load(dump(envelope), depth=99)}, "id": id}


def errors():
    data = st.fixed_dictionaries(
        {},
        optional={
            "code": st.sampled_from(["asap:task/not_found", "asap:local/misuse", "asap:protocol/mispaired_reply"]),
            "error": asap.json_values(),
            "retry_after": st.floats(-1, 1e300) | st.integers(-5, 2**64 - 1) | asap.json_values(),
            "retry_after_ms": asap.json_values(),
            "status_code": asap.json_values(),
        },
    )
    numbers = st.sampled_from([-32700, -32600, -32601, -32602, -32603, 429, 2**63]) | asap.json_values()
    error = st.fixed_dictionaries({"code": numbers, "message": asap.json_values(), "data": data | asap.json_values()})
    return st.fixed_dictionaries({"jsonrpc": st.just("2.0"), "error": error, "id": st.just("req-1")})


@given(st.binary(max_size=100), st.integers(100, 599))
@example(b"", 200)
@example(b"[" * 100_000, 200)
@example(b"\xff", 200)
def test_any_bytes_end_in_an_error(body, status):
    """Bytes that are no answer are an error, whatever the status."""
    check_client(HttpResponse(status, {}, body))


@given(asap.json_values())
@example([])
@example([{"id": "req-1"}, {"id": "req-1"}])
@example([{"id": []}, {"id": {}}, None])
@example({"error": None})
@example({"result": {"envelope": {"k" * 100_000: 1}}, "id": "req-1"})
def test_any_json_ends_in_an_error(document):
    """So is JSON that is no answer, alone or in an array."""
    check_client(HttpResponse(200, {}, dump(document)))
    check_client(HttpResponse(200, {}, dump([document])))


@given(asap.disturbed(st.builds(replies)))
@example({**replies(), "id": "x" * 100_000})
@example({**replies(), "jsonrpc": "1" * 100_000})
def test_near_misses_of_answers(document):
    """An answer that is nearly valid is read, or is an error."""
    check_client(HttpResponse(200, {}, dump(document)))
    check_client(HttpResponse(200, {}, dump([document, document])))


@given(errors())
@example(
    {
        "jsonrpc": "2.0",
        "id": "req-1",
        "error": {"code": -32000, "message": "m" * 100_000, "data": {"code": "x" * 100_000}},
    }
)
def test_whatever_errors_are_reported(document):
    """Whatever a peer reports as an error is one, and no pause it asks for is longer than the rule allows."""
    check_client(HttpResponse(200, {}, dump(document)))


@given(
    st.sampled_from([429, 500, 503, 301, 404]),
    st.text(max_size=40)
    | st.sampled_from(
        [
            "99999999999",
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Fri, 31 Dec 9999 99:99:99 GMT",
            "Xyz, 99 Feb 0000 00:00:00 GMT",
            "-1",
        ]
    ),
)
def test_whatever_retry_after_says(status, value):
    """No Retry-After makes the client fail otherwise, or wait longer than the rule allows."""
    check_client(HttpResponse(status, {"retry-after": value}, b""))


@pytest.mark.parametrize("kind", ["refused", "timed_out", "broken"])
def test_transport_failures(kind):
    """A failure of the transport is an error too."""
    check_client(TransportFailure(kind, "detail"))


def texts(*words):
    """Header values: words that mean something among others that do not."""
    return st.lists(st.sampled_from(words) | st.text(max_size=8), max_size=4).map("".join)


CACHING = st.fixed_dictionaries(
    {},
    optional={
        "cache-control": texts("max-age", "=", "10", ",", "public", "no-store", "no-cache", "stale-if-error", '"'),
        "etag": texts('"', "W/", "abc", "\r\n", "\xff"),
        "age": texts("1", "99999999999"),
        "vary": texts("*", "authorization", ","),
    },
)


def end_of(steps, answer):
    """What the story ends with, told this."""
    try:
        steps.send(answer)
    except StopIteration as end:
        return end.value
    except AsapError as error:
        return error
    raise AssertionError("it asks more than once")


@given(st.lists(st.tuples(CACHING, st.sampled_from([200, 304, 404, 503]), st.floats(0, 5000)), max_size=5))
def test_whatever_is_said_of_its_time_a_manifest_serves_for_no_longer_than_ours(answers):
    """Nor does it bring a header into our next question that is no tag."""
    clock = FixedClock()
    client = ClientRole(ME, fixed_sources(clock), retry=RetryRule(attempts=1))
    fetched = clock.elapsed()
    for headers, status, seconds in answers:
        steps = alone(client.discover())
        is_served, question = True, next(steps, None)
        if question is not None:
            tag = question.request.headers.get("if-none-match", '""').removeprefix("W/")
            assert tag.isascii()
            assert tag.isprintable()
            assert tag[0] == tag[-1] == '"'
            body = dump_manifest(echo_manifest()) if status == 200 else b""
            is_served = isinstance(end_of(steps, HttpResponse(status, headers, body)), Manifest)
            if is_served and status in (200, 304):
                fetched = clock.elapsed()
        assert not is_served or clock.elapsed() - fetched < MANIFEST_TTL + MANIFEST_STALE
        clock.move(seconds)


@given(st.binary(max_size=200) | asap.json_values().map(dump))
@example(b"")
@example(b"[" * 100_000)
def test_whatever_a_store_has_kept_is_a_manifest_or_is_passed_over(record):
    """Somebody else may have written there; then the peer is asked as if nothing had been kept."""
    for found in (record, b'{"asap_manifest":1,"name":"n","at":0,"fresh":9,"stale":9}\n' + record):
        steps = alone(ClientRole(ME, fixed_sources(), saved_as="n").discover())
        assert isinstance(next(steps), RecallManifest)
        assert isinstance(steps.send(found), Transmit)


def test_huge_replies():
    """A reply beyond the limit is not read at all."""
    check_client(HttpResponse(200, {}, b" " * (Limits().reply_bytes + 1)))
