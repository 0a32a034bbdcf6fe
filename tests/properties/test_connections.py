"""HTTP/1.1 in either direction: what is written is what is told, in whatever pieces it comes."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters._shared.http1 import answers
from asap_adapters._shared.http1.answers import AnswerReader
from asap_adapters._shared.http1.h11_parser import H11Parser
from asap_adapters._shared.http1.httptools_parser import HttptoolsParser
from asap_adapters._shared.server_connection import Body, End, Head, ServerConnection
from asap_proto.http import HttpRequest
from asap_proto.limits import Limits

PIECES = st.lists(st.binary(min_size=1, max_size=30), max_size=3)
TOKENS = st.text("abcdefghij-0123456789", min_size=1, max_size=8)
HEADERS = st.lists(st.tuples(TOKENS.map("x-{}".format), TOKENS), max_size=3, unique_by=lambda pair: pair[0])
#: Where a stream is cut: as shares of it, so that they stay in place while it shrinks.
CUTS = st.lists(st.floats(0, 1, exclude_max=True), max_size=8)


def cut(stream, cuts):
    places = sorted(int(each * len(stream)) for each in cuts)
    return [stream[start:end] for start, end in pairwise([0, *places, len(stream)]) if start < end]


def framed(pieces, way):
    """A body in these pieces: its framing header, and its bytes."""
    body = b"".join(pieces)
    if way == "length":
        return [("content-length", str(len(body)))], body
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return [("transfer-encoding", "chunked")], chunks + b"0\r\n\r\n"


def lines(headers):
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode() + b"\r\n"


REQUESTS = st.lists(
    st.tuples(st.sampled_from(["GET", "POST"]), TOKENS, HEADERS, PIECES, st.sampled_from(["length", "chunks"])),
    min_size=1,
    max_size=3,
)


@given(REQUESTS, CUTS, st.booleans())
def test_pipelined_requests_are_told_as_they_were_written(requests, cuts, asks_between):
    """Each with its head, its body and its end, in order, whether they are asked for as they come or at last."""
    stream, expected = b"", []
    for method, path, headers, pieces, way in requests:
        framing, raw = framed(pieces, way)
        said = [("host", "a"), *headers, *framing]
        stream += f"{method} /{path} HTTP/1.1\r\n".encode() + lines(said) + raw
        pairs = [(name.encode(), value.encode()) for name, value in said]
        expected.append(Head(method, f"/{path}".encode(), "1.1", pairs, True, False))
        expected += [Body(b"".join(pieces)), End()] if pieces else [End()]
    made, told = ServerConnection(Limits()), []

    def ask():
        while (event := made.next()) is not None:
            if isinstance(event, Body) and isinstance(told[-1], Body):
                told[-1] = Body(told[-1].data + event.data)
            else:
                told.append(event)
            if isinstance(event, End):
                made.begin(204, ())
                made.say(b"", more=False)

    for piece in cut(stream, cuts):
        made.receive(piece)
        if asks_between:
            ask()
    ask()
    assert told == expected


@pytest.mark.parametrize("parser", [HttptoolsParser, H11Parser])
@given(
    st.sampled_from([200, 404, 503]),
    HEADERS,
    PIECES,
    st.sampled_from(["length", "chunks", "close"]),
    st.lists(HEADERS, max_size=1),
    st.booleans(),
    CUTS,
)
def test_an_answer_is_told_as_it_was_written(parser, status, headers, pieces, way, hints, closes, cuts):
    """Its status, its headers and its body, however its end is told; another may follow where both ends allow that."""
    framing, raw = ([], b"".join(pieces)) if way == "close" else framed(pieces, way)
    said = [*headers, *framing, *([("connection", "close")] if closes else [])]
    stream = b"".join(b"HTTP/1.1 103 Early Hints\r\n" + lines(each) for each in hints)
    stream += f"HTTP/1.1 {status} So\r\n".encode() + lines(said) + raw
    answers._Parser, kept = parser, answers._Parser
    try:
        reader = AnswerReader(HttpRequest("POST", "/asap"), Limits())
        for piece in cut(stream, cuts):
            assert not reader.is_whole
            reader.feed(piece)
        if way == "close":
            assert not reader.is_whole
            reader.end()
    finally:
        answers._Parser = kept
    response = reader.response()
    assert (response.status, response.headers, response.body) == (status, dict(said), b"".join(pieces))
    assert reader.is_whole
    assert reader.is_reusable is (way != "close" and not closes)
