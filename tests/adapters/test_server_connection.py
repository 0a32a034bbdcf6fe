"""The server's end of a connection, without a socket: bytes in and events out, answers in and bytes out."""

import itertools
from http import HTTPStatus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asap_proto.limits import Limits

pytest.importorskip("httptools")

from asap_adapters._shared.asgi import http_scope
from asap_adapters._shared.server_connection import Body, End, Head, Refusal, ServerConnection

LIMITS = Limits(header_bytes=2048, header_count=20)


def connection(*pieces):
    made = ServerConnection(LIMITS)
    for piece in pieces:
        made.receive(piece)
    return made


def events(made):
    """All that is told, with the pieces of a body as one; each head is answered, so that the next is told."""
    told = []
    while (event := made.next()) is not None:
        if isinstance(event, Body) and told and isinstance(told[-1], Body):
            told[-1] = Body(told[-1].data + event.data)
        else:
            told.append(event)
        if isinstance(event, Refusal):
            break
        if isinstance(event, End):
            made.begin(204, ())
            made.say(b"", more=False)
    return told


def get(more="", *, target="/", version="1.1"):
    return f"GET {target} HTTP/{version}\r\nHost: a\r\n{more}\r\n".encode()


def post(body=b"hello", more=""):
    return f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


CHUNKED = (
    b"POST /a?b HTTP/1.1\r\nHOST: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX: y\r\n\r\n"
)


def asked(data, **changes):
    """A connection whose first request is to be answered."""
    made = connection(data)
    assert isinstance(made.next(), Head)
    return made


def answered(made, status=200, headers=(), body=b"", **how):
    made.begin(status, headers, **how)
    return b"".join(made.say(body, more=False))


# -- what comes -------------------------------------------------------------------------------------------------------


def test_a_request_is_told_as_head_body_and_end():
    """A head with its names in lower case, the body without its chunks, and the end; trailers are nobody's."""
    head = Head("POST", b"/a?b", "1.1", [(b"host", b"a"), (b"transfer-encoding", b"chunked")], True, False)
    assert events(connection(CHUNKED)) == [head, Body(b"hello"), End()]


STREAMS = {
    "a request": get(),
    "two, one behind another": get() + post() + get("Connection: close\r\n"),
    "chunks and a trailer": CHUNKED + get(),
    "a body that is waited with": post(more="Expect: 100-continue\r\n"),
    "the old version, and more": get(version="1.0") + get(),
    "more behind the last": get("Connection: close\r\n") + get(),
    "an upgrade with a body": post(more="Connection: upgrade\r\nUpgrade: h2c\r\n") + get(),
    "an upgrade in chunks": CHUNKED.replace(b"HOST", b"Connection: upgrade\r\nUpgrade: x\r\nHOST") + get(),
    "an upgrade without": get("Connection: upgrade\r\nUpgrade: x\r\n") + get(),
    "an upgrade with a broken body": CHUNKED.replace(b"HOST", b"Connection: upgrade\r\nUpgrade: x\r\nHOST").replace(
        b"llo", b"l"
    ),
    "a whole URL": get(target="http://a/x?y"),
    "another host in the URL": get(target="http://b/x?y") + get(),
    "no path": get(target="x"),
    "a connection to elsewhere": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n" + get(),
    "no host": b"GET / HTTP/1.1\r\n\r\n" + get(),
    "two hosts": get("Host: a\r\n") + get(),
    "another version": get(version="2.0") + get(),
    "no HTTP": get() + b"NO HTTP\r\n\r\n" + get(),
    "a broken chunk": CHUNKED.replace(b"llo", b"l") + get(),
    "too many headers": get("X: y\r\n" * 20) + get(),
    "too large a target": get(target="/" + "a" * 2048),
    "too many trailers": CHUNKED.replace(b"X: y\r\n", b"X: y\r\n" * 20) + get(),
    "half a head": get() + get()[:-1],
    "half a body": post()[:-1],
}


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=25)
@given(cuts=st.lists(st.floats(0, 1, exclude_max=True), max_size=20))
def test_it_does_not_matter_how_bytes_are_cut(name, cuts):
    """Whatever packets they come in, the same bytes mean the same."""
    stream = STREAMS[name]
    places = [0, *sorted(int(cut * len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[start:end] for start, end in itertools.pairwise(places)]
    assert events(connection(*pieces)) == events(connection(stream))


@given(noise=st.binary(max_size=200), cut=st.integers(0, 200))
def test_whatever_comes_is_told_or_refused(noise, cut):
    """No bytes make it fail, or be heard once they were refused."""
    made = connection(get() + noise[:cut], noise[cut:])
    told = events(made)
    assert told[:2] == [*events(connection(get()))]
    before = made.next()
    made.receive(get())
    if isinstance(before, Refusal):
        assert made.next() == before


@pytest.mark.parametrize(
    ("stream", "status"),
    [
        (STREAMS["another host in the URL"], 400),
        (STREAMS["no path"], 400),
        (STREAMS["a connection to elsewhere"], 400),
        (STREAMS["no host"], 400),
        (STREAMS["two hosts"], 400),
        (STREAMS["another version"], 505),
        (STREAMS["too many headers"], 431),
        (STREAMS["too large a target"], 431),
        (b"NO HTTP\r\n\r\n", 400),
    ],
)
def test_what_is_no_request_is_refused_alone(stream, status):
    """With the status that says why; nothing that follows is heard."""
    assert events(connection(stream)) == [Refusal(HTTPStatus(status))]


def test_what_is_refused_comes_behind_what_was_asked_before():
    """The refusal has its turn once all before it was answered."""
    made = connection(get() + b"NO HTTP\r\n\r\n")
    made.next()
    assert isinstance(made.next(), End)
    assert answered(made).startswith(b"HTTP/1.1 200 OK\r\n")
    assert made.next() == Refusal(HTTPStatus.BAD_REQUEST)
    assert made.last_words() == (
        b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\ncontent-length: 16\r\n\r\n"
        b"400 Bad Request\n"
    )


@pytest.mark.parametrize("start", [b"GET /", get()[:-2] + b"X: ", get()[:-2] + b"X"])
def test_what_never_ends_is_refused(start):
    """A target, a value and a name of which no end comes, once they are larger than a head may be."""
    made = connection(start, b"a" * 2000)
    assert made.next() is None
    made.receive(b"a" * 100)
    assert made.next() == Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)


def test_what_is_around_a_body_is_bounded():
    """Extensions of chunks are heard of by nobody, and are bounded by the body they come with."""
    head, chunk = CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 4], b"1;" + b"a" * 1000 + b"\r\nx\r\n"
    made = connection(head + chunk, chunk, chunk)
    made.next()
    assert made.next() == Body(b"x")
    assert not made.is_broken
    made.receive(chunk)
    assert made.is_broken
    assert events(made)[-1] == Refusal(HTTPStatus.BAD_REQUEST)


def test_the_most_headers_may_wish_for_another_protocol():
    """What we say to hear its body out is not counted."""
    more = "Connection: upgrade\r\nUpgrade: h2c\r\n" + "X: y\r\n" * (LIMITS.header_count - 4)
    assert events(connection(post(more=more)))[1:] == [Body(b"hello"), End()]
    assert events(connection(post(more=more + "X: y\r\n"))) == [Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)]


def test_the_smallest_chunks_are_sound():
    """What is around them is no more than they need."""
    head = CHUNKED[: CHUNKED.index(b"\r\n\r\n") + 4]
    made = connection(head, *[b"1\r\nx\r\n"] * 5000, b"0\r\n\r\n")
    assert events(made)[1:] == [Body(b"x" * 5000), End()]


def test_half_a_head_that_is_late():
    """It is refused, and so is no more heard; where nothing was begun there is nobody to answer."""
    made = connection(get()[:-1])
    assert made.is_in_head
    made.expire()
    made.receive(b"\n")
    assert made.next() == Refusal(HTTPStatus.REQUEST_TIMEOUT)
    silent = connection(b"\r\n")
    silent.expire()
    assert silent.next() is None
    assert not silent.is_over


def test_a_broken_body():
    """Its request is broken, not those before it; an answer that was begun to it has no last words behind it."""
    broken = CHUNKED.replace(b"llo", b"l")
    made = asked(get() + broken)
    assert made.is_whole
    assert not made.is_broken
    made.next()
    answered(made)
    assert isinstance(made.next(), Head)
    assert made.is_broken
    assert made.last_words().startswith(b"HTTP/1.1 400 ")
    begun = asked(CHUNKED[:-10])
    begun.begin(200, ())
    begun.say(b"x", more=True)
    begun.receive(b"broken")
    assert begun.is_broken
    assert begun.last_words() == b""


# -- what is answered -------------------------------------------------------------------------------------------------


def test_an_answer_in_one_piece():
    """Head and body go out together, with the length where the app has not told it."""
    said = answered(asked(get()), headers=[(b"X", b"y"), (b"Connection", b"keep-alive")], body=b"hi", date=b"now")
    assert said == b"HTTP/1.1 200 OK\r\nx: y\r\ndate: now\r\ncontent-length: 2\r\n\r\nhi"


def test_a_body_that_nobody_asks_for():
    """It is passed over with the answer, and what follows is told as ever."""
    made = asked(post() + get(target="/next"))
    answered(made)
    following = made.next()
    assert isinstance(following, Head)
    assert following.target == b"/next"


def test_a_date_of_the_apps_own():
    """It is the only one."""
    assert answered(asked(get()), headers=[(b"date", b"then")], date=b"now").count(b"date: ") == 1


def test_an_answer_in_parts():
    """It goes out in chunks, unless the app has said how long it is; what it says of chunks is ours to say."""
    made = asked(get())
    made.begin(200, [(b"transfer-encoding", b"gzip")])
    assert b"".join(made.say(b"", more=True)) == b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    assert made.say(b"hello", more=True) == [b"5\r\nhello\r\n"]
    assert made.say(b"!", more=False) == [b"1\r\n!\r\n0\r\n\r\n"]
    assert made.is_answered
    assert made.keeps
    made = asked(get())
    made.begin(200, [(b"content-length", b"6")])
    assert b"".join(made.say(b"hello", more=True)) == b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhello"
    assert made.say(b"!", more=False) == [b"!"]


def test_an_answer_in_parts_to_the_old_version():
    """It ends with the connection: chunks are of no use to it."""
    made = asked(get(version="1.0"))
    made.begin(200, ())
    assert b"".join(made.say(b"a", more=True)) == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\na"
    assert made.say(b"b", more=False) == [b"b"]
    assert made.is_over


@pytest.mark.parametrize("more", [False, True])
def test_a_large_body_is_not_copied(more):
    """It goes out as it is, between what is around it."""
    body = bytes(100_000)
    made = asked(get())
    made.begin(200, ())
    assert made.say(body, more=more)[1] is body
    if more:
        assert made.say(b"", more=True) == []


@pytest.mark.parametrize(
    ("method", "status", "head"),
    [
        ("HEAD", 200, b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
        ("GET", 304, b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n"),
        ("GET", 204, b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
def test_answers_without_a_body(method, status, head):
    """Whatever the app says, no body goes out that the other end would take for the next answer."""
    made = asked(get().replace(b"GET", method.encode()))
    assert answered(made, status, [(b"content-length", b"5")], b"hello") == head
    assert made.keeps


def test_an_answer_of_a_status_without_a_name():
    """It is sent as it is."""
    assert answered(asked(get()), 299).startswith(b"HTTP/1.1 299 \r\n")


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (101, ()),
        (1000, ()),
        (200, [(b"X\r\nY", b"z")]),
        (200, [(b"", b"z")]),
        (200, [(b"X", b"y\r\nset-cookie: z")]),
        (200, [(b"X", b"y\0")]),
        (200, [(b"content-length", b"-1")]),
        (200, [(b"content-length", b"1"), (b"content-length", b"2")]),
    ],
)
def test_what_is_no_answer_is_not_sent(status, headers):
    """An app's mistake, or its caller's words in a header, never become another line; a sound answer may follow."""
    made = asked(get())
    with pytest.raises(ValueError, match=r"no answer|no header|control character"):
        made.begin(status, headers)
    assert answered(made, 500).startswith(b"HTTP/1.1 500 ")


@pytest.mark.parametrize("body", [b"hell", b"hello!"])
def test_a_body_of_another_length_than_announced(body):
    """It is not sent: the other end would take its end, or what follows, for something else."""
    made = asked(get())
    made.begin(200, [(b"content-length", b"5")])
    with pytest.raises(ValueError, match="5 were announced"):
        made.say(body, more=False)
    assert not made.is_begun


@pytest.mark.parametrize(
    ("stream", "headers", "keeps"),
    [
        (get("Connection: close\r\n"), (), True),
        (get(version="1.0"), (), True),
        (get(version="1.0", more="Connection: keep-alive\r\n"), (), True),
        (get("Connection: upgrade\r\nUpgrade: h2c\r\n"), (), True),
        (get(), [(b"connection", b"close")], True),
        (get(), (), False),
        (post()[:-1], (), True),
    ],
)
def test_the_last_answer_says_so(stream, headers, keeps):
    """Because the other end wants it so, or the app, or the server, or as the request was not whole yet."""
    made = asked(stream)
    assert b"\r\nconnection: close\r\n" in answered(made, headers=headers, keeps=keeps)
    assert not made.keeps
    assert made.is_over


def test_who_has_said_that_it_ends_is_not_waited_for():
    """Its last answer ends the connection at once; of anybody else it is not known whether more is on its way."""
    last = asked(get("Connection: close\r\n"))
    answered(last)
    assert last.is_parted
    early = asked(post()[:-1])
    answered(early)
    assert not early.is_parted
    sent_away = asked(get())
    answered(sent_away, keeps=False)
    assert not sent_away.is_parted


def test_a_body_may_come_while_it_is_answered():
    """An answer that is begun does not end what is heard; only its end does."""
    made = asked(post()[:-1])
    made.begin(200, ())
    assert b"connection: close" in b"".join(made.say(b"a", more=True))
    made.receive(b"o")
    assert made.is_whole
    made.say(b"b", more=False)
    assert made.is_over


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
def test_who_waits_with_its_body_is_told_to_go_on(value):
    """Once, and only where nothing of it has come."""
    waiting = asked(post(more=f"Expect: {value}\r\n")[:-5])
    assert waiting.go_on() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert waiting.go_on() == b""
    assert asked(post(more=f"Expect: {value}\r\n")).go_on() == b""
    assert asked(post()[:-5]).go_on() == b""
    assert asked(post(more=f"Expect: {value}\r\n")[:-5].replace(b"1.1", b"1.0")).go_on() == b""


# -- what an app is told ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path", "raw", "query"),
    [
        (b"/", "/", b"/", b""),
        (b"/a%20b/%C3%A9?x=%20&y", "/a b/é", b"/a%20b/%C3%A9", b"x=%20&y"),
        (b"//a/b", "//a/b", b"//a/b", b""),
        (b"/a?b?c#d", "/a", b"/a", b"b?c"),
        (b"http://a", "/", b"/", b""),
        (b"HTTP://a/b?c", "/b", b"/b", b"c"),
        (b"http://a?c", "/", b"/", b"c"),
        (b"/%ff", "/\ufffd", b"/%ff", b""),
    ],
)
def test_the_path_that_an_app_sees(target, path, raw, query):
    """Decoded, and as it came; the query apart; of a whole URL the path alone."""
    head = Head("GET", target, "1.1", [(b"host", b"a")], True, False)
    scope = http_scope(head, {"scheme": "http", "server": ("::1", 80), "client": None})
    assert (scope["path"], scope["raw_path"], scope["query_string"]) == (path, raw, query)
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.3"}
    assert scope["headers"] == [(b"host", b"a")]
    assert (scope["type"], scope["method"], scope["http_version"], scope["root_path"]) == ("http", "GET", "1.1", "")
    assert (scope["scheme"], scope["server"], scope["client"]) == ("http", ("::1", 80), None)
