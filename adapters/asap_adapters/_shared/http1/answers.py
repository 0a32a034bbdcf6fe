"""One answer, read as its bytes come: nothing of it is left for the next one."""

from __future__ import annotations

from asap_proto.http import HttpRequest, HttpResponse, fold
from asap_proto.limits import Limits
from asap_proto.wire.body import BodyGauge

from ..inflate import Inflater, inflater
from ..streams import is_stream
from .parsing import AnswerBroken, Parser, parser_type

__all__ = ["AnswerBroken", "AnswerReader"]

#: Bytes that a chunk may take besides the one byte that it has at least: its size, and two ends of line.
_CHUNK_BYTES = 5

_Parser = parser_type()


class AnswerReader:
    """Takes the bytes of a connection on which one request was sent, until its answer is whole.

    The size of its head, interim answers and trailers among it, is bounded by `Limits.header_bytes` and
    `header_count`, that of its body, inflated, by `reply_bytes`; a stream's body is not, as it is handed on as it
    comes.
    """

    __slots__ = (
        "_body",
        "_decoded",
        "_follow",
        "_gauge",
        "_head",
        "_head_bytes",
        "_inflater",
        "_is_last",
        "_keeps_alive",
        "_left",
        "_limits",
        "_lines",
        "_method",
        "_parser",
        "_part",
        "_raw",
        "has_begun",
        "headers",
        "is_reusable",
        "is_streaming",
        "is_whole",
        "pieces",
        "status",
    )

    def __init__(self, request: HttpRequest, limits: Limits, *, follow: bool = False) -> None:
        self._method = request.method
        # What we have said ourselves counts whatever the answer says (RFC 9112 section 9.6): it may be another's.
        self._is_last = request.headers.get("connection") == "close"
        self._limits = limits
        #: Whether a stream's body is handed on as it comes.
        self._follow = follow
        # What is read now: the "head", or a body whose end is told by "length", "chunks" or the "close".
        self._part = "head"
        self._head: bytearray | None = None
        self._head_bytes = self._lines = 0
        self._parser: Parser | None = None
        self._left = self._raw = self._decoded = 0
        self._gauge: BodyGauge | None = None
        self._inflater: Inflater | None = None
        self._keeps_alive = False
        self._body: bytes | bytearray = b""
        self.status = 0
        self.headers: dict[str, str] = {}
        #: What came of a stream's body, to be taken from here.
        self.pieces: list[bytes] = []
        #: Whether any byte of an answer came.
        self.has_begun = False
        self.is_streaming = False
        self.is_whole = False
        #: Whether another request may be sent, once this is whole.
        self.is_reusable = False

    def feed(self, data: bytes) -> bool:
        """Whether there is something new to tell: the whole answer, or of a stream its head or a piece.

        Raises `AnswerBroken`, `BodyTooLarge`, `BodyInPieces` or `BadEncoding`: then the connection is of no more use.
        """
        self.has_begun = True
        if self._part == "head":
            rest = self._read_head(data)
            if rest is None:
                return False
            if self._part == "none":
                self._finish(surplus=bool(rest))
            elif rest or (self._part == "length" and not self._left):
                self._read_body(rest)
        else:
            self._read_body(data)
        return self.is_whole or self.is_streaming

    def end(self) -> None:
        """The peer says no more, which ends some bodies; raises `AnswerBroken` where it does not, or `BadEncoding`."""
        if self._part != "close":
            raise AnswerBroken("it hung up in the middle of an answer" if self.has_begun else "it hung up")
        if not self.is_whole:
            self._finish(surplus=True)

    def response(self) -> HttpResponse:
        """The answer; of a stream the head alone."""
        return HttpResponse(self.status, self.headers, bytes(self._body))

    def _read_head(self, data: bytes) -> bytes | None:
        """What follows the head, once it has come."""
        while True:
            if self._head is not None:
                seen = max(0, len(self._head) - 3)
                self._head += data
                end = self._head.find(b"\r\n\r\n", seen)
                if end >= 0:
                    data, self._head = bytes(self._head), None
            else:
                end = data.find(b"\r\n\r\n")
            begun = data if self._head is None else self._head
            if begun[:7] != b"HTTP/1."[: len(begun)]:
                raise AnswerBroken("it speaks no HTTP/1.1")
            size = (end + 4 if end >= 0 else len(begun)) + self._head_bytes
            if size > self._limits.header_bytes:
                raise AnswerBroken(f"its head has more than {self._limits.header_bytes} bytes")
            if end < 0:
                if self._head is None:
                    self._head = bytearray(data)
                return None
            self._head_bytes = size
            head, data = data[: end + 4], data[end + 4 :]
            if self._take_head(head):
                return data
            if not data:
                return None

    def _take_head(self, head: bytes) -> bool:
        """Whether it is that of the answer; an interim one says nothing that is wanted."""
        self._lines += head.count(b"\r\n") - 1
        if self._lines > self._limits.header_count + 1:
            raise AnswerBroken(f"its head has more than {self._limits.header_count} lines")
        parser = _Parser()
        version, status, pairs = parser.parse_head(head)
        if status < 200:
            if status == 101 or status < 100:
                raise AnswerBroken(f"it answers {status}, which was not asked for")
            return False
        self.status, self._parser = status, parser
        self.headers = headers = fold(pairs)
        coding = headers.get("content-encoding")
        if coding is not None:
            coding = headers["content-encoding"] = coding.strip().lower()
        self._keeps_alive = _keeps_alive(version, headers.get("connection", ""))
        self._part = self._framing(version, headers)
        if self._part == "none":
            return True
        if self._follow and is_stream(headers):
            self.is_streaming = True
            return True
        most = self._limits.reply_bytes
        if self._part == "length":
            if self._left > most:
                BodyGauge(most, what="reply").announce(headers["content-length"])
            if coding is None:
                return True  # it can't be longer than it says
        self._gauge = BodyGauge(most, what="reply")
        self._inflater = inflater(coding or "identity", BodyGauge(most, what="reply"))
        return True

    def _framing(self, version: str, headers: dict[str, str]) -> str:
        """How the end of the body is told (RFC 9112 section 6.3), and nothing that two could read in two ways."""
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        if coding is not None and (length is not None or version == "1.0" or coding.lower() != "chunked"):
            raise AnswerBroken("its length is told in more than one way, or in none that is known")
        if length is not None:
            if not (length.isascii() and length.isdecimal() and len(length) < 20):
                raise AnswerBroken("its length is no number")
            self._left = int(length)
        if self.status == 204 and (self._left or coding is not None):
            self._keeps_alive = False  # it has no body, whatever it says, and whatever comes then is nobody's answer
        if self._method == "HEAD" or self.status in (204, 304):
            return "none"
        if coding is not None:
            return "chunks"
        return "close" if length is None else "length"

    def _read_body(self, data: bytes) -> None:
        if self._part == "length":
            piece = data[: self._left]
            self._left -= len(piece)
            self._take(piece)
            if not self._left:
                self._finish(surplus=len(data) > len(piece))
        elif self._part == "close":
            self._take(data)
        else:
            self._read_chunks(data)

    def _read_chunks(self, data: bytes) -> None:
        assert self._parser is not None
        pieces: list[bytes] = []
        found = self._parser.parse_chunks(data, pieces)
        self._raw += len(data)
        for piece in pieces:
            self._decoded += len(piece)
            if not self.is_streaming:
                assert self._gauge is not None
                self._gauge.take(piece)
            self._take(piece)
        # What is not content is the size of each chunk, and what may be said beside it.
        if self._raw > self._limits.header_bytes + (1 + _CHUNK_BYTES) * self._decoded:
            raise AnswerBroken("its body is more about itself than anything else")
        if found != "more":
            self._finish(surplus=found == "surplus")

    def _take(self, piece: bytes) -> None:
        if self.is_streaming:
            self.pieces.append(piece)
            return
        if self._inflater is not None:
            piece = self._inflater.feed(piece)
        if not self._body:
            self._body = piece
        else:
            if self._body.__class__ is bytes:
                # One piece after another in a list would cost some dozen times its bytes, where they drip.
                self._body = bytearray(self._body)
            self._body += piece

    def _finish(self, *, surplus: bool) -> None:
        if self._inflater is not None:
            self._inflater.finish()
        self.is_whole = True
        self.is_reusable = self._keeps_alive and not surplus and not self._is_last


def _keeps_alive(version: str, connection: str) -> bool:
    if not connection:
        return version == "1.1"
    options = {option.strip().lower() for option in connection.split(",")}
    return "close" not in options and (version == "1.1" or "keep-alive" in options)
