"""One answer, read from its bytes by either parser: what is no HTTP is refused, and packets may end anywhere."""

import gc
import gzip

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters._shared.http1 import answers
from asap_adapters._shared.http1.answers import AnswerBroken, AnswerReader
from asap_adapters._shared.http1.h11_parser import H11Parser
from asap_adapters._shared.http1.httptools_parser import HttptoolsParser
from asap_adapters._shared.http1.parsing import parser_type
from asap_proto import Limits
from asap_proto.errors import AsapError, BadEncoding, BodyInPieces, BodyTooLarge
from asap_proto.http import HttpRequest

PACKED = gzip.compress(b"abc")
LIMITS = Limits(reply_bytes=2000, header_bytes=2000, header_count=10)
OK = b"HTTP/1.1 200 OK\r\n"
PARSERS = pytest.mark.parametrize("parser", [HttptoolsParser, H11Parser])


def read(parser, *pieces, method="POST", ends=False, **options):
    """What a reader made of these bytes; an error, if it is one."""
    answers._Parser, kept = parser, answers._Parser
    reader = AnswerReader(HttpRequest(method, "/asap"), LIMITS, **options)
    try:
        for piece in pieces:
            reader.feed(piece)
        if ends:
            reader.end()
    except (AnswerBroken, AsapError) as error:
        return error
    finally:
        answers._Parser = kept
    return reader


def told(reader):
    """What can be told of it, whichever way it came."""
    if isinstance(reader, Exception):
        return type(reader)
    response = reader.response()
    pieces = b"".join(reader.pieces)
    return reader.is_whole, reader.is_reusable, response.status, response.headers, response.body, pieces


def chunked(*chunks, ending=b"0\r\n\r\n"):
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + ending


def test_httptools_is_used_where_it_is_installed():
    """At a third of the cost of h11."""
    assert parser_type() is HttptoolsParser


WHOLE = {
    "a length": (OK + b"Content-Length: 3\r\n\r\nabc", b"abc", True),
    "no body": (OK + b"Content-Length: 0\r\n\r\n", b"", True),
    "chunks": (chunked(b"abc", b"de"), b"abcde", True),
    "a trailer": (chunked(b"abc", ending=b"0\r\nX: y\r\n\r\n"), b"abc", True),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    "204 of no bytes": (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", b"", True),
    "204 of some bytes": (b"HTTP/1.1 204 No Content\r\nContent-Length: 1\r\n\r\n", b"", False),
    "204 in chunks": (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", b"", False),
    "304": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", b"", True),
    "an early hint": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na", b"a", True),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na", b"a", True),
    "close": (OK + b"Connection: close\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "close among others": (OK + b"Connection: x, Close\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "close in a line of its own": (
        OK + b"Connection: keep-alive\r\nConnection: close\r\nContent-Length: 1\r\n\r\na",
        b"a",
        False,
    ),
    "spaces around a value": (OK + b"Connection: \t close  \r\nContent-Length: \t1 \r\n\r\na", b"a", False),
    "spaces after a coding": (chunked(b"abc").replace(b"chunked", b"chunked "), b"abc", True),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", b"a", False),
    "HTTP/1.0 kept": (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\na", b"a", True),
    "no reason": (b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\na", b"a", True),
    "gzip": (
        OK
        + b"Content-Encoding: GZIP\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(b"abc"))
        + gzip.compress(b"abc"),
        b"abc",
        True,
    ),
    "gzip in chunks": (
        chunked(PACKED).replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1),
        b"abc",
        True,
    ),
}


@PARSERS
@pytest.mark.parametrize(("answer", "body", "is_reusable"), WHOLE.values(), ids=WHOLE)
def test_a_whole_answer(parser, answer, body, is_reusable):
    """Its end is told by the answer itself, and so is whether another may follow."""
    reader = read(parser, answer)
    assert (reader.is_whole, reader.response().body, reader.is_reusable) == (True, body, is_reusable)


@PARSERS
@pytest.mark.parametrize(("answer", "body", "is_reusable"), WHOLE.values(), ids=WHOLE)
def test_what_follows_an_answer_ends_the_connection(parser, answer, body, is_reusable):
    """Nobody has asked for it: whoever is answered next would be given it."""
    reader = read(parser, answer + OK + b"Content-Length: 0\r\n\r\n")
    assert (reader.is_whole, reader.response().body, reader.is_reusable) == (True, body, False)


@PARSERS
def test_an_answer_to_head_has_no_body(parser):
    """Whatever length it tells."""
    reader = read(parser, OK + b"Content-Length: 5\r\n\r\n", method="HEAD")
    assert (reader.is_whole, reader.is_reusable) == (True, True)


@PARSERS
def test_a_body_that_ends_with_the_connection(parser):
    """As in HTTP/1.0: it is whole once the peer hangs up, and not before."""
    assert not read(parser, OK + b"\r\nabc").is_whole
    reader = read(parser, OK + b"\r\nabc", b"de", ends=True)
    assert (reader.is_whole, reader.response().body, reader.is_reusable) == (True, b"abcde", False)


BROKEN = {
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
    "another version": b"HTTP/2.0 200 OK\r\n\r\n",
    "a version that is none": b"HTTP/1.9 200 OK\r\nContent-Length: 0\r\n\r\n",
    "not even that": b"\x15\x03\x01",
    "lines that end early": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n",
    "a folded line": OK + b"X: y\r\n z\r\nContent-Length: 0\r\n\r\n",
    "a folded first line": OK + b" X: y\r\nContent-Length: 0\r\n\r\n",
    "a space before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "no colon": OK + b"Content-Length\r\n\r\n",
    "no name": OK + b": x\r\n\r\n",
    "a zero byte": OK + b"X: \0\r\nContent-Length: 0\r\n\r\n",
    "a control character": OK + b"X: \x01\r\nContent-Length: 0\r\n\r\n",
    "a bare CR": OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na",
    "a length twice": OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
    "a list of lengths": OK + b"Content-Length: 1, 1\r\n\r\na",
    "a signed length": OK + b"Content-Length: +1\r\n\r\na",
    "a negative length": OK + b"Content-Length: -1\r\n\r\na",
    "a length in hexadecimal": OK + b"Content-Length: 0x1\r\n\r\na",
    "no length": OK + b"Content-Length: \r\n\r\na",
    "an endless length": OK + b"Content-Length: 99999999999999999999999\r\n\r\na",
    "a length and chunks": OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and a length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    "chunks twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding without an end": OK + b"Transfer-Encoding: identity\r\n\r\n",
    "chunks in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk of no size": chunked(ending=b"\r\n\r\n"),
    "a chunk of a signed size": chunked(ending=b"+1\r\na\r\n0\r\n\r\n"),
    "a chunk of a size in words": chunked(ending=b"0x1\r\na\r\n0\r\n\r\n"),
    "a chunk of an endless size": chunked(ending=b"fffffffffffffffffffffff\r\na"),
    "a chunk that is longer": chunked(ending=b"1\r\nab\r\n0\r\n\r\n"),
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status below all": b"HTTP/1.1 099 OK\r\n\r\n",
    "a change of protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    "a change of protocol without a name": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "a head without end": OK + b"X: " + b"x" * 2000,
    "a head too large": OK + b"X: " + b"x" * 2000 + b"\r\n\r\n",
    "a head of too many lines": OK + b"X: y\r\n" * 10 + b"Content-Length: 0\r\n\r\n",
    "hints without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 12,
    "trailers without end": chunked(b"abc", ending=b"0\r\n" + b"X: y\r\n" * 400),
    "chunks with more about them": chunked(ending=b"1;" + b"x" * 2100),
}


@PARSERS
@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_what_could_be_read_in_two_ways_is_no_answer(parser, answer):
    """Both parsers refuse the same, or one would read on where the other has stopped."""
    assert isinstance(read(parser, answer), AnswerBroken)


@PARSERS
def test_a_head_may_be_as_large_as_its_limits(parser):
    """And have as many lines."""
    filled = OK + b"X: y\r\n" * 8 + b"Content-Length: 0\r\n"
    assert read(parser, filled + b"Y: " + b"y" * (2000 - len(filled) - 7) + b"\r\n\r\n").is_whole


@PARSERS
@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 20", OK + b"Content-Length: 3\r\n\r\nab", chunked(b"abc", ending=b"")]
)
def test_a_peer_that_hangs_up_too_early(parser, answer):
    """What came is not the whole of an answer."""
    assert isinstance(read(parser, *([answer] if answer else []), ends=True), AnswerBroken)


@PARSERS
def test_a_body_is_bounded_as_it_comes(parser):
    """By what it says of itself, by what comes, and by what that inflates to."""
    packed = gzip.compress(bytes(3000))
    for answer in (
        OK + b"Content-Length: 2001\r\n\r\n",
        OK + b"\r\n" + bytes(2001),
        chunked(bytes(1001), bytes(1000)),
        OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed) + packed,
    ):
        assert isinstance(read(parser, answer), BodyTooLarge)
    assert isinstance(read(parser, chunked(*[b"x"] * 1100)), BodyInPieces)
    for ending in (b"0\r\n\r\n", b""):
        told_short = chunked(packed[:-4], ending=ending).replace(b"\r\n", b"\r\nContent-Encoding: gzip\r\n", 1)
        assert isinstance(read(parser, told_short, ends=not ending), BadEncoding | AnswerBroken | BodyTooLarge)


@PARSERS
@given(st.sampled_from([*WHOLE.values(), *((each, b"", False) for each in BROKEN.values())]), st.data())
def test_it_is_the_same_in_whichever_pieces_it_comes(parser, case, data):
    """A packet ends anywhere."""
    answer = case[0]
    cuts = sorted(data.draw(st.lists(st.integers(1, len(answer) - 1), max_size=8)))
    pieces = [answer[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(answer)], strict=True) if begin < end]
    assert told(read(parser, *pieces)) == told(read(parser, answer))


@PARSERS
@given(st.binary(max_size=300), st.booleans())
def test_whatever_comes_is_an_answer_or_is_none(parser, noise, is_after_head):
    """No other exception leaves the reader."""
    answer = (OK + b"Transfer-Encoding: chunked\r\n\r\n" if is_after_head else b"HTTP/1.1 ") + noise
    read(parser, answer, ends=True)


@PARSERS
def test_a_stream_is_told_as_it_comes(parser):
    """Its head first, then each piece, of which none is kept back; it may be longer than any reply."""
    reader = AnswerReader(HttpRequest("POST", "/asap"), LIMITS, follow=True)
    head = OK + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert reader.feed(head)
    assert (reader.is_streaming, reader.is_whole, reader.pieces) == (True, False, [])
    for _ in range(50):
        assert reader.feed(b"64\r\n" + b"x" * 100 + b"\r\n")
    assert b"".join(reader.pieces) == b"x" * 5000
    reader.feed(b"0\r\n\r\n")
    assert (reader.is_whole, reader.is_reusable) == (True, True)


@PARSERS
def test_what_is_no_stream_is_read_whole(parser):
    """An error, most often."""
    reader = read(parser, OK + b"Content-Length: 3\r\n\r\n", b"abc", follow=True)
    assert (reader.is_streaming, reader.is_whole, reader.response().body) == (False, True, b"abc")


def test_an_answer_leaves_nothing_to_the_garbage_collector():
    """A ring of objects for each exchange would cost as much as the exchange."""
    answer = WHOLE["chunks"][0]
    read(HttptoolsParser, answer)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            read(HttptoolsParser, answer)
        assert gc.collect() == 0
    finally:
        gc.enable()
