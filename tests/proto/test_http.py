"""HTTP as plain values."""

import pytest

from asap_proto.http import HttpRequest, HttpResponse, RequestHead, TransportFailure, fold, fold_joined


def test_header_names_are_folded_and_the_first_counts():
    """Names are case-insensitive; of a repeated header that is no list the first counts, as for every release."""
    pairs = [(b"Traceparent", b"a"), (b"TRACEPARENT", b"b"), (b"X", b"\xe9")]
    assert fold(pairs) == {"traceparent": "a", "x": "\xe9"}


def test_lists_are_joined():
    """What is a list may come in several headers."""
    pairs = [(b"ASAP-Version", b"9.9"), (b"If-None-Match", b'"a"'), (b"asap-version", b"2.2"), (b"if-none-match", b"*")]
    assert fold(pairs) == {"asap-version": "9.9, 2.2", "if-none-match": '"a", *'}
    assert fold([(b"Connection", b"keep-alive"), (b"connection", b"close")]) == {"connection": "keep-alive, close"}


@pytest.mark.parametrize(
    "name", ["authorization", "content-length", "content-type", "host", "origin", "transfer-encoding"]
)
def test_two_of_one_kind_are_none(name):
    """Joined, two tokens, lengths or hosts are one that nobody knows: whichever a gateway has looked at."""
    assert fold([(name.encode(), b"a"), (name.upper().encode(), b"b")]) == {name: "a, b"}


@pytest.mark.parametrize(
    ("values", "coding"),
    [
        (["gzip"], "gzip"),
        (["gzip", "identity"], "gzip"),
        (["Identity", "br"], "br"),
        (["identity", "identity"], "identity"),
        (["", ""], "identity"),
        (["gzip", "br"], "gzip, br"),
        (["gzip", "gzip"], "gzip, gzip"),
    ],
)
def test_codings_joined_or_not(values, coding):
    """The coding is the same whether a header came twice, was joined on its way, or was a list at once."""
    assert fold([(b"content-encoding", value.encode()) for value in values]) == {"content-encoding": coding}
    for comma in (",", ", "):
        assert fold_joined({"content-encoding": comma.join(values)}) == {"content-encoding": coding}


def test_values_are_compared_by_what_they_hold():
    """Requests, responses and failures are plain values with empty defaults."""
    assert HttpRequest("GET", "/") == HttpRequest("GET", "/", {}, b"")
    assert HttpResponse(200) == HttpResponse(200, {}, b"")
    assert RequestHead("GET", "/", {}) == RequestHead("GET", "/", {}, "")
    assert TransportFailure("refused", "no") != TransportFailure("broken", "no")
