"""Server-sent events, written and read (HTML standard, section 9.2)."""

from __future__ import annotations

import re

from ..errors import MalformedReply
from ..plain import plain

__all__ = ["ALIVE", "Event", "EventReader", "write_event"]

#: A comment: it says that the stream is alive, and nothing more.
ALIVE = b":\n\n"

_line_end = re.compile(rb"\r\n|\n|\r")

#: Bytes that stand before the data of a line, at most: a byte-order mark, and the name of the field.
_BEFORE = len(b"\xef\xbb\xbfdata: ")


@plain
class Event:
    """One event: its data, and the id that the stream told of last, if any."""

    data: bytes
    id: str | None


def write_event(data: bytes, id: str) -> bytes:
    """An event of one line of data, such as compact JSON is."""
    return b"id: %b\ndata: %b\n\n" % (id.encode(), data)


class EventReader:
    """Makes events of the pieces of a stream. Holds one unfinished event, of at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest: list[bytes] = []
        self._held = 0
        self._half = False
        self._data: list[bytes] = []
        self._size = 0
        self._id: str | None = None
        self._first = True

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes; raises `MalformedReply` for one that is too long."""
        if not piece:
            return []
        if self._half:
            piece = piece.removeprefix(b"\n")  # the other half of a line end
        self._half = piece.endswith(b"\r")
        # What is held is not looked at again: a long line in many pieces takes no longer than in one.
        *lines, rest = _line_end.split(piece)
        if lines:
            lines[0] = b"".join((*self._rest, lines[0]))
            self._rest, self._held = [], 0
        events = [event for line in lines if (event := self._line(line))]
        self._rest.append(rest)
        self._held += len(rest)
        self._bound(self._held)
        return events

    def _line(self, line: bytes) -> Event | None:
        self._bound(len(line))
        if self._first:
            line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
        if not line:
            data, self._data, self._size = self._data, [], 0
            return Event(b"\n".join(data), self._id) if data else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value) + bool(self._data)
            self._data.append(value)
            self._bound(0)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        return None

    def _bound(self, unread: int) -> None:
        """Raises `MalformedReply` where the data, with that of a line of `unread` bytes, is too much."""
        if self._size + max(0, unread - _BEFORE) > self._most:
            raise MalformedReply(f"an event has more than {self._most} bytes")
