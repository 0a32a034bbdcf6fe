"""What a peer has answered, as far as HTTP says it: read, or refused with all that a caller is told."""

import pytest

from asap_proto.errors import (
    BodyTooLarge,
    ForbiddenTarget,
    MalformedReply,
    Overloaded,
    PeerRefused,
    PeerTimedOut,
    PeerUnreachable,
    RateLimited,
    TaskNotFound,
)
from asap_proto.http import HttpResponse, TransportFailure
from asap_proto.limits import Limits
from asap_proto.roles.responses import ResponseReader
from asap_proto.wire.json import dump
from asap_testkit import error_of, fixed_sources

REPORT = {"error": {"code": -32602, "message": "m", "data": {"code": TaskNotFound.kind.code}}}


def reader(**limits):
    return ResponseReader(fixed_sources(), Limits(**limits))


def refusal(answer, **limits):
    """What an answer is refused with, which says something to people too."""
    error = error_of(reader(**limits).whole, answer)
    assert error.message
    return error


@pytest.mark.parametrize("status", [200, 204, 299])
def test_an_answer_that_is_worth_reading(status):
    """It is handed on as it came."""
    answer = HttpResponse(status, {"a": "b"}, b"x")
    assert reader().whole(answer) is answer


def test_that_nothing_has_changed_answers_whoever_has_asked_about_that():
    """And nobody else."""
    answer = HttpResponse(304)
    assert reader().whole(answer, conditional=True) is answer
    assert isinstance(refusal(answer), PeerRefused)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (199, PeerRefused),
        (300, PeerRefused),
        (404, PeerRefused),
        (499, PeerRefused),
        (429, RateLimited),
        (500, Overloaded),
        (503, Overloaded),
    ],
)
def test_a_status_alone(status, kind):
    """It tells what may be done about it."""
    error = refusal(HttpResponse(status))
    assert (type(error), error.facts) == (kind, {"status": status})


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("refused", PeerUnreachable),
        ("broken", PeerUnreachable),
        ("timed_out", PeerTimedOut),
        ("forbidden", ForbiddenTarget),
    ],
)
def test_no_answer_at_all(kind, error):
    """What the transport says of it is told."""
    found = refusal(TransportFailure(kind, "why"))
    assert (type(found), found.message) == (error, "why")


def test_a_reply_is_as_large_as_it_may_be():
    """And no larger."""
    assert reader(reply_bytes=5).whole(HttpResponse(200, {}, b"12345"))
    assert isinstance(refusal(HttpResponse(200, {}, b"123456"), reply_bytes=5), BodyTooLarge)


def test_a_document_is_read_within_bounds():
    """By its depth, and by how many values it has."""
    assert reader(json_values=3).document(b"[1,2]") == [1, 2]
    for body, limits in ((b"[1,2,3]", {"json_values": 3}), (b"[[1]]", {"json_depth": 1}), (b"no", {})):
        error = error_of(reader(**limits).document, body)
        assert isinstance(error, MalformedReply)
        assert error.message


def test_an_error_in_the_body_is_read_within_the_same_bounds():
    """Else its status has to do."""
    answer = HttpResponse(400, {}, dump(REPORT))
    assert isinstance(refusal(answer), TaskNotFound)
    assert isinstance(refusal(answer, json_values=4), PeerRefused)
    assert isinstance(refusal(answer, json_depth=2), PeerRefused)
    for body in (b"{}", b"[]", b'{"error":5}', b""):
        assert isinstance(refusal(HttpResponse(400, {}, body)), PeerRefused)


@pytest.mark.proves("client.retry-after")
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("3", 3.0),
        ("9" * 50, 999_999_999.0),
        ("Fri, 02 Jan 2026 03:04:15 GMT", 9.876544),
        ("Fri, 02 Jan 2026 03:04:05 GMT", 0.0),
        ("Fri, 02 Jan 1970 00:00:00 GMT", 0.0),
    ],
)
def test_when_to_come_back(value, seconds):
    """In seconds: what is past is now, and what is far off is as far as can be said."""
    assert refusal(HttpResponse(503, {"retry-after": value})).facts == {"status": 503, "retry_after": seconds}
