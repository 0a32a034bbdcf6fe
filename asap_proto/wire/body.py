"""How much of a body has come, against how much may."""

from __future__ import annotations

from ..errors import BodyInPieces, BodyTooLarge
from ..limits import BODY_PIECES, PIECE_BYTES

__all__ = ["BodyGauge"]


class BodyGauge:
    """Counts bytes as they are read, or inflated, and refuses the first one too many."""

    __slots__ = ("_most", "_pieces", "_seen", "_what")

    def __init__(self, most: int, *, what: str = "body") -> None:
        self._most = most
        self._seen = 0
        self._pieces = 0
        self._what = what

    @property
    def room(self) -> int:
        """How many bytes may still come."""
        return self._most - self._seen

    def announce(self, content_length: str | None) -> None:
        """Looks at Content-Length, so that a body known to be too large is never read; raises `BodyTooLarge`."""
        if content_length and content_length.isdecimal() and content_length.isascii():
            self._check(int(content_length[:20]))

    def feed(self, chunk: bytes) -> bytes:
        """Counts `chunk` and hands it back; raises `BodyTooLarge`."""
        self._seen += len(chunk)
        self._check(self._seen)
        return chunk

    def take(self, piece: bytes) -> bytes:
        """The same of what comes over the wire, where the pieces count too; raises `BodyInPieces` besides.

        A body that is sent byte by byte would keep a server busy for a minute.
        """
        self.feed(piece)
        self._pieces += 1
        if self._pieces > BODY_PIECES and (self._pieces - BODY_PIECES) * PIECE_BYTES > self._seen:
            raise BodyInPieces(f"the {self._what} comes in more than {self._pieces - 1} pieces")
        return piece

    def _check(self, size: int) -> None:
        if size > self._most:
            raise BodyTooLarge(f"the {self._what} has more than {self._most} bytes", facts={"limit_bytes": self._most})
