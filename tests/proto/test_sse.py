"""Server-sent events."""

import pytest

from asap_proto.errors import MalformedReply
from asap_proto.wire.sse import ALIVE, Event, EventReader, write_event

MOST = 20
TOO_LONG = f"an event has more than {MOST} bytes"


def read(*pieces):
    """The events of a stream that comes in these pieces."""
    reader = EventReader(MOST)
    return [event for piece in pieces for event in reader.feed(piece)]


def each_way(text):
    """A text in one piece, byte by byte, and cut in two at every place."""
    yield [text]
    yield [text[index : index + 1] for index in range(len(text))]
    for index in range(len(text) + 1):
        yield [text[:index], text[index:]]


def read_each_way(text):
    """The events, which are the same however the text is cut."""
    events = read(text)
    assert all(read(*pieces) == events for pieces in each_way(text))
    return events


def test_what_was_written_is_read():
    """One line each for the id and the data, and an empty one; a comment is no event."""
    assert write_event(b'{"x":1}', "5") == b'id: 5\ndata: {"x":1}\n\n'
    text = write_event(b"one", "1") + ALIVE + write_event(b"two", "2")
    assert read_each_way(text) == [Event(b"one", "1"), Event(b"two", "2")]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_each_end_of_a_line(end):
    """Of the three there are; a CRLF that is cut in two is one end."""
    text = end.join([b"id: 1", b"data: a", b"data: b", b"", b"data: c", b"", b""])
    assert read_each_way(text) == [Event(b"a\nb", "1"), Event(b"c", "1")]


def test_ends_of_lines_may_be_mixed():
    """A line feed after a carriage return is its second half; a carriage return after a line feed is not."""
    assert read_each_way(b"data: a\r\ndata: b\n\rdata: c\r\r\n") == [Event(b"a\nb", None), Event(b"c", None)]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data:a\n\n", [Event(b"a", None)]),
        (b"data:  a\n\n", [Event(b" a", None)]),
        (b"data\n\n", [Event(b"", None)]),
        (b"data: a:b\n\n", [Event(b"a:b", None)]),
        (b"\xef\xbb\xbfdata: a\n\n", [Event(b"a", None)]),
        (b"\xef\xbb\xbf\ndata: a\n\n", [Event(b"a", None)]),
        (b"\n\xef\xbb\xbfdata: a\n\n", []),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [Event(b"a", None)]),
        (b"event: x\nretry: 5\n: word\nDATA: b\ndata: a\n\n", [Event(b"a", None)]),
        (b"id: 1\n\ndata: a\n\n", [Event(b"a", "1")]),
        (b"id: 1\nid\ndata: a\n\n", [Event(b"a", "")]),
        (b"id: 1\nid: 2\0\ndata: a\n\n", [Event(b"a", "1")]),
        (b"id: \xff\ndata: \xff\n\n", [Event(b"\xff", "\ufffd")]),
        (b"\n\n\n", []),
        (b"data: a\n", []),
        (b"data: a", []),
        (b"", []),
    ],
)
def test_lines_are_read_as_the_standard_says(text, events):
    """One space is left out; an id stays until the next; what is unknown is passed over; half an event is none."""
    assert read_each_way(text) == events


@pytest.mark.parametrize(
    "text",
    [
        b"data: %b\n\n" % (b"x" * MOST),
        b"\xef\xbb\xbfdata: %b\r\n\r\n" % (b"x" * MOST),
        b"data: x\ndata: %b\n\n" % (b"x" * (MOST - 2)),
    ],
    ids=["one line", "with a mark", "two lines"],
)
def test_an_event_at_its_limit(text):
    """Is read however it is cut; one byte more is refused however it is cut."""
    assert [len(event.data) for event in read_each_way(text)] == [MOST]
    for pieces in each_way(text.replace(b"x", b"xx", 1)):
        with pytest.raises(MalformedReply, match=TOO_LONG):
            read(*pieces)


@pytest.mark.parametrize("line", [b"data: " + b"x" * 100, b":" + b"x" * 100, b"id: " + b"x" * 100, b"x" * 100])
def test_an_unfinished_line_is_not_held_for_ever(line):
    """Whatever it is: a peer that never ends it can't fill our memory."""
    for pieces in each_way(line):
        with pytest.raises(MalformedReply, match=TOO_LONG):
            read(*pieces)


def test_an_unfinished_line_may_hold_what_comes_before_data():
    """The mark of a stream and the name of the field, beside an event at its limit, and one byte more not."""
    line = b":" * (MOST + len(b"\xef\xbb\xbfdata: "))
    assert read(line) == read(b":\n", line) == []
    for pieces in ([line + b":"], [b":\n", line + b":"]):
        with pytest.raises(MalformedReply, match=TOO_LONG):
            read(*pieces)


def test_an_unfinished_event_is_not_held_for_ever():
    """Not even one of many lines with nothing on them."""
    with pytest.raises(MalformedReply, match=TOO_LONG):
        read(b"data\n" * (MOST + 2))
    assert read(b"data\n" * (MOST + 1), b"\n") == [Event(b"\n" * MOST, None)]


def test_a_limit_holds_for_each_event():
    """Not for what ended before, though both come in one piece."""
    first, half = b"data: %b\n" % (b"x" * MOST), b"\ndata: %b" % (b"y" * MOST)
    assert [event.data for event in read(first, half, b"\n\n")] == [b"x" * MOST, b"y" * MOST]


def test_a_long_line_in_small_pieces_takes_no_longer():
    """What is held is joined once: a hundred thousand pieces would take minutes if each were searched anew."""
    reader = EventReader(1_000_000)
    assert [event for _ in range(100_000) for event in reader.feed(b"data: xxxx")] == []
    assert len(reader.feed(b"\n\n")[0].data) == 1_000_000 - 6
