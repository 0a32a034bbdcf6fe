"""An answer parsed by h11, which is Python alone, where httptools is not installed."""

from __future__ import annotations

import re
from typing import Any

import h11

from .parsing import AnswerBroken, Chunks

__all__ = ["H11Parser"]

#: What h11 mends: a folded line, half of a line end, control characters, and a length that is told twice.
_is_odd = re.compile(rb"\n[ \t]|(?<!\r)\n|\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]").search
_lengths = re.compile(rb"\ncontent-length[ \t]*:([^\n]*)", re.IGNORECASE).findall


class H11Parser:
    """A `Parser` by h11."""

    __slots__ = ("_connection",)

    def __init__(self) -> None:
        self._connection: Any = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)

    def parse_head(self, head: bytes) -> tuple[str, int, list[tuple[bytes, bytes]]]:
        if _is_odd(head) or len(lengths := _lengths(head)) > 1 or any(b"," in length for length in lengths):
            raise AnswerBroken("its head is no HTTP")
        try:
            # It judges an answer by what was asked; that a HEAD has no body is seen to where the body is read.
            self._connection.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
            self._connection.send(h11.EndOfMessage())
            self._connection.receive_data(head)
            event = self._connection.next_event()
        except h11.ProtocolError as error:
            raise AnswerBroken(f"its head is no HTTP: {error}") from None
        if event is h11.NEED_DATA or not isinstance(event, h11.Response | h11.InformationalResponse):
            raise AnswerBroken("its head is no HTTP")
        if event.http_version not in (b"1.0", b"1.1"):
            raise AnswerBroken("it speaks no HTTP/1.1")
        return event.http_version.decode(), event.status_code, list(event.headers)

    def parse_chunks(self, data: bytes, pieces: list[bytes]) -> Chunks:
        try:
            self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not h11.NEED_DATA:
                if isinstance(event, h11.EndOfMessage):
                    return "surplus" if self._connection.trailing_data[0] else "whole"
                pieces.append(bytes(event.data))
        except h11.ProtocolError as error:
            raise AnswerBroken(f"its body is no HTTP: {error}") from None
        return "more"
