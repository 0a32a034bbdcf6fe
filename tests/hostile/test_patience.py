"""Callers that are slow, silent, or too many: each is cut off in time, and nobody else waits for them."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from hostile.cases import Place, call, envelope, head, open_place, posted, request, text
from hostile.servers import IMPATIENCE, Served
from hostile.sockets import HANG, Exchange, Line, Pieces
from hostile.test_inputs import check_health


def _slow(at: Place) -> dict[str, Pieces]:
    """What never becomes a whole request, however long one waits; pauses are shorter than any limit."""
    body = text(call(envelope(at)))
    plain, coding = head(at, length=len(body)), head(at, more={"Transfer-Encoding": "chunked"})
    return {
        "nothing at all": (),
        "half a line": (b"POST /as",),
        "half a head": (plain[:-4],),
        "a head, a letter at a time": _dripping(*(bytes([byte]) for byte in plain[:60])),
        "headers without end, one at a time": (plain[:-2], *_dripping(*(b"X-%d: y\r\n" % n for n in range(60)))),
        "empty lines without end": _dripping(*(b"\r\n",) * 60),
        "a head without body": (plain,),
        "half a body": (plain + body[:100],),
        "a body, a letter at a time": (plain, *_dripping(*(bytes([byte]) for byte in body[:60]))),
        "chunks without end, one at a time": (coding, *_dripping(*(b"1\r\n \r\n",) * 60)),
        "half a chunk": (coding + b"fff\r\nabc",),
        "half a size": (coding + b"f",),
        "no end of the chunks": (coding + b"1\r\n1\r\n",),
        "a chunk beyond all bounds": (coding + b"F" * 17 + b"\r\nabc",),
        "trailers without end, one at a time": (coding + b"0\r\n", *_dripping(*(b"X: y\r\n",) * 60)),
        "a body that is waited with": (head(at, length=len(body), more={"Expect": "100-continue"}),),
        "a stream, half asked for": (head(at, length=len(body), target="/asap/stream") + body[:50],),
        "gzip, half of it": (head(at, length=100, more={"Content-Encoding": "gzip"}) + b"\x1f\x8b\x08",),
    }


def _dripping(*parts: bytes) -> Pieces:
    return tuple(piece for part in parts for piece in (part, 0.2))


def test_slow_callers_are_cut_off(impatient: Served) -> None:
    """Whoever does not say all in time is answered 408 or not at all, and the connection is closed."""
    slow = _slow(open_place(impatient.port))

    def told(sends: Pieces) -> Exchange:
        with Line(impatient.address) as line:
            return line.exchange(sends, to_close=True, patience=HANG - sum(_pauses(sends)))

    with ThreadPoolExecutor(len(slow)) as pool:
        came = dict(zip(slow, pool.map(told, slow.values()), strict=True))
    wrong = {
        name: "stays open" if not each.closed else f"status {each.status}"
        for name, each in came.items()
        if not each.closed or each.status not in (0, 400, 408)
    }
    assert not wrong


def _pauses(sends: Pieces) -> list[float]:
    return [piece for piece in sends if isinstance(piece, float)]


def test_an_idle_connection_is_closed(impatient: Served) -> None:
    """A connection on which nothing is asked any more is closed."""
    at = open_place(impatient.port)
    with Line(impatient.address) as line:
        assert line.exchange((posted(at, call(envelope(at))),)).status == 200
        idle = line.exchange((), to_close=True)
        assert idle.closed
        assert not idle.answers


@pytest.mark.parametrize("name", ["half a head", "half a body", "nothing at all", "half a chunk"])
def test_nobody_waits_for_slow_callers(impatient: Served, name: str) -> None:
    """While 200 callers say nothing more, somebody else is answered in time."""
    at = open_place(impatient.port)
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(Line(impatient.address)).say(b"".join(_slow(at)[name]))
        check_health(impatient, at)


def _slow_request(at: Place, seconds: float) -> bytes:
    return posted(at, call(envelope(at, payload=request(skill_id="slow", input={"seconds": seconds}))))


def test_a_handler_that_takes_too_long(impatient: Served) -> None:
    """It is cut off where it can be, and told so; a thread can't be, and goes on alone."""
    at = open_place(impatient.port)
    with Line(impatient.address) as line:
        came = line.exchange((_slow_request(at, 4.0),))
    assert not came.hangs
    expected = b'"status":"completed"' if impatient.runtime == "sync" else b"asap:execution/timed_out"
    assert expected in came.answers[0].body


def test_more_requests_than_there_is_room_for(impatient: Served) -> None:
    """Those too many are told to come again, with Retry-After; who asks for health is answered meanwhile."""
    at = open_place(impatient.port)
    count = IMPATIENCE["requests"] * 2
    lines = [Line(impatient.address) for _ in range(count)]
    start = threading.Barrier(count + 1)

    def say(line: Line) -> Exchange:
        with line:
            start.wait()
            return line.exchange((_slow_request(at, 0.8),))

    with ThreadPoolExecutor(count) as pool:
        told = [pool.submit(say, line) for line in lines]
        start.wait()
        with Line(impatient.address) as line:
            assert line.exchange((head(at, method="GET", target="/health"),)).status == 200
        came = [each.result() for each in told]
    found = Counter(each.status for each in came)
    assert set(found) == {200, 503}, found
    assert found[200] <= IMPATIENCE["requests"]
    assert all(each.answers[0].header("retry-after").isdecimal() for each in came if each.status == 503)


def test_readers_that_do_not_read(impatient: Served) -> None:
    """Streams whose readers fell silent keep nobody else from being answered."""
    at = open_place(impatient.port)
    large = call(envelope(at, payload=request(skill_id="steps", input={"a": "x" * 50_000})))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(Line(impatient.address)).say(posted(at, large, target="/asap/stream"))
        check_health(impatient, at)
