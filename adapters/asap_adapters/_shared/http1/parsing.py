"""What parses the head of an answer, and a body in chunks.

Parsers refuse the same: what one mends would be read otherwise by whoever else looks at it.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["AnswerBroken", "Parser", "parser_type"]


class AnswerBroken(Exception):
    """What came is no answer, or not the whole of one."""


class Parser(Protocol):
    """Parses one answer."""

    #: The headers as they came, once the head is there.
    pairs: list[tuple[bytes, bytes]]

    def parse_head(self, head: bytes) -> tuple[str, int]:
        """The version and the status of a whole head; raises `AnswerBroken`."""

    def parse_chunks(self, data: bytes, pieces: list[bytes]) -> bool:
        """Adds the content of chunks to `pieces`; whether more was said than that; raises `AnswerBroken`."""

    #: Whether the last chunk has come, and its trailers.
    is_whole: bool


def parser_type() -> type[Parser]:
    """By httptools where it is installed, else by h11, at a multiple of the cost."""
    try:
        from .httptools_parser import HttptoolsParser
    except ImportError:
        from .h11_parser import H11Parser

        return H11Parser
    return HttptoolsParser
