"""An answer parsed by httptools, which is llhttp, in C."""

from __future__ import annotations

import httptools

from .parsing import AnswerBroken, Chunks

__all__ = ["HttptoolsParser"]


class _Heard:
    """What llhttp calls. It knows nothing of the parser that knows it: a ring would wait for the garbage collector."""

    __slots__ = ("is_whole", "pairs", "pieces", "surplus")

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []
        #: Where the content of chunks goes, once they are read.
        self.pieces: list[bytes] | None = None
        self.is_whole = False
        self.surplus = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.pieces is None:  # else it is a trailer, of which nothing is made
            self.pairs.append((name, value.rstrip(b" ")))  # spaces are none of it, and llhttp keeps those at its end

    def on_body(self, piece: bytes) -> None:
        if self.pieces is not None:
            self.pieces.append(piece)

    def on_message_begin(self) -> None:
        self.surplus = self.is_whole

    def on_message_complete(self) -> None:
        self.is_whole = self.pieces is not None


class HttptoolsParser:
    """A `Parser` by httptools."""

    __slots__ = ("_heard", "_parser")

    def __init__(self) -> None:
        self._heard = heard = _Heard()
        self._parser = httptools.HttpResponseParser(heard)

    def parse_head(self, head: bytes) -> tuple[str, int, list[tuple[bytes, bytes]]]:
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            raise AnswerBroken("it changes to another protocol") from None
        except httptools.HttpParserError as error:
            raise AnswerBroken(f"its head is no HTTP: {error}") from None
        return self._parser.get_http_version(), self._parser.get_status_code(), self._heard.pairs

    def parse_chunks(self, data: bytes, pieces: list[bytes]) -> Chunks:
        heard = self._heard
        heard.pieces = pieces
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not heard.is_whole:
                raise AnswerBroken(f"its body is no HTTP: {error}") from None
            heard.surplus = True
        if heard.is_whole:
            return "surplus" if heard.surplus else "whole"
        return "more"
