"""Server-sent events, written and read (HTML standard, section 9.2)."""

from __future__ import annotations

import re

from ..errors import MalformedReply
from ..plain import plain

__all__ = ["ALIVE", "Event", "EventReader", "write_event"]

#: A comment: it says that the stream is alive, and nothing more.
ALIVE = b":\n\n"

_line_end = re.compile(rb"\r\n|\n|\r")


@plain
class Event:
    """One event: its data, and its id where it has one."""

    data: bytes
    id: str | None


def write_event(data: bytes, id: str) -> bytes:
    """An event of one line of data, such as compact JSON is."""
    return b"id: %b\ndata: %b\n\n" % (id.encode(), data)


class EventReader:
    """Makes events of the pieces of a stream. Holds one unfinished event, of at most `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._id: str | None = None
        self._first = True

    def feed(self, piece: bytes) -> list[Event]:
        """The events that this piece completes; raises `MalformedReply` for one that is too long."""
        text = self._rest + piece
        # A carriage return at the very end may be the first half of a line end.
        held = b"\r" if text.endswith(b"\r") else b""
        *lines, self._rest = _line_end.split(text[: len(text) - len(held)])
        self._rest += held
        if self._size + len(self._rest) > self._most:
            raise MalformedReply(f"an event has more than {self._most} bytes")
        return [event for line in lines if (event := self._line(line))]

    def _line(self, line: bytes) -> Event | None:
        if self._first:
            line, self._first = line.removeprefix(b"\xef\xbb\xbf"), False
        if not line:
            data, self._data, self._size = self._data, [], 0
            return Event(b"\n".join(data), self._id) if data else None
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._size += len(value)
            if self._size > self._most:
                raise MalformedReply(f"an event has more than {self._most} bytes")
            self._data.append(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        return None
