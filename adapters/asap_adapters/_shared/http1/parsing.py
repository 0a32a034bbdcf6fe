"""What parses the head of an answer, and a body in chunks.

Parsers refuse the same: what one mends would be read otherwise by whoever else looks at it.
"""

from __future__ import annotations

from typing import Literal, Protocol

__all__ = ["AnswerBroken", "Chunks", "Parser", "parser_type"]


class AnswerBroken(Exception):
    """What came is no answer, or not the whole of one."""


#: Of a body in chunks: there is more of it, or it is whole, or something follows it.
Chunks = Literal["more", "whole", "surplus"]


class Parser(Protocol):
    """Parses one answer."""

    def parse_head(self, head: bytes) -> tuple[str, int, list[tuple[bytes, bytes]]]:
        """The version, the status and the headers of a whole head; raises `AnswerBroken`."""

    def parse_chunks(self, data: bytes, pieces: list[bytes]) -> Chunks:
        """Adds the content of chunks to `pieces`, and says how far that went; raises `AnswerBroken`."""


def parser_type() -> type[Parser]:
    """By httptools where it is installed, else by h11, at a multiple of the cost."""
    try:
        from .httptools_parser import HttptoolsParser
    except ImportError:
        from .h11_parser import H11Parser

        return H11Parser
    return HttptoolsParser
