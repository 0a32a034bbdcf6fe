"""HTTP as plain values."""

from asap_proto.http import HttpRequest, HttpResponse, RequestHead, TransportFailure, fold


def test_header_names_are_folded_and_the_first_counts():
    """Names are case-insensitive; of a repeated header the first counts, as for every release."""
    pairs = [(b"Content-Type", b"a"), (b"CONTENT-TYPE", b"b"), (b"X", b"\xe9")]
    assert fold(pairs) == {"content-type": "a", "x": "\xe9"}


def test_values_are_compared_by_what_they_hold():
    """Requests, responses and failures are plain values with empty defaults."""
    assert HttpRequest("GET", "/") == HttpRequest("GET", "/", {}, b"")
    assert HttpResponse(200) == HttpResponse(200, {}, b"")
    assert RequestHead("GET", "/", {}) == RequestHead("GET", "/", {}, "")
    assert TransportFailure("refused", "no") != TransportFailure("broken", "no")
