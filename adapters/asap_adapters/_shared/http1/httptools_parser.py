"""An answer parsed by httptools, which is llhttp, in C."""

from __future__ import annotations

import httptools

from .parsing import AnswerBroken

__all__ = ["HttptoolsParser"]


class HttptoolsParser:
    """A `Parser` by httptools."""

    __slots__ = ("_parser", "_pieces", "_surplus", "is_whole", "pairs")

    def __init__(self) -> None:
        self.pairs: list[tuple[bytes, bytes]] = []
        self.is_whole = False
        self._surplus = False
        self._pieces: list[bytes] | None = None
        self._parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._pieces is None:  # else it is a trailer, of which nothing is made
            self.pairs.append((name, value))

    def on_body(self, piece: bytes) -> None:
        if self._pieces is not None:
            self._pieces.append(piece)

    def on_message_begin(self) -> None:
        self._surplus = self.is_whole

    def on_message_complete(self) -> None:
        self.is_whole = self._pieces is not None

    def parse_head(self, head: bytes) -> tuple[str, int]:
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            raise AnswerBroken("it changes to another protocol") from None
        except httptools.HttpParserError as error:
            raise AnswerBroken(f"its head is no HTTP: {error}") from None
        return self._parser.get_http_version(), self._parser.get_status_code()

    def parse_chunks(self, data: bytes, pieces: list[bytes]) -> bool:
        self._pieces = pieces
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.is_whole:
                raise AnswerBroken(f"its body is no HTTP: {error}") from None
            self._surplus = True
        return self._surplus
