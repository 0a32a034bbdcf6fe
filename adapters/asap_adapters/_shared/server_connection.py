"""The server's end of one HTTP/1.1 connection, without I/O: bytes in and events out, answers in and bytes out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

import httptools

from asap_proto.limits import Limits
from asap_proto.plain import plain

__all__ = ["Body", "End", "Event", "Head", "Refusal", "ServerConnection"]

#: Bytes that a chunk may take besides the one byte that it has at least: its size, and two ends of line.
_CHUNK_BYTES: Final = 5
#: A larger body goes out beside its head, as copying it would cost more than another call.
_JOINED_BYTES: Final = 64 * 1024

#: A path or a whole URL, in visible characters.
_is_target = re.compile(rb"(?:/|https?://)[!-~]*", re.IGNORECASE).fullmatch
_is_name = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
_has_control = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search

_STATUS_LINES: Final = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in HTTPStatus}


@plain
class Head:
    """The head of a request is whole, and sound."""

    method: str
    target: bytes
    version: str
    #: In their order, their names in lower case.
    headers: list[tuple[bytes, bytes]]
    #: Whether another request may follow on this connection.
    keeps: bool
    #: Whether its body comes once it is told to go on.
    waits: bool


@plain
class Body:
    """Some of a request's body has come."""

    data: bytes


@plain
class End:
    """A request is whole."""


@plain
class Refusal:
    """What came is no request, or the one that was begun never becomes whole; nothing that follows is heard."""

    status: HTTPStatus


Event = Head | Body | End | Refusal

_END: Final = End()


class ServerConnection:
    """Requests are told by `next`, in order, once `receive` was given their bytes; each is answered before the next.

    Whoever performs it asks for the next head only once the answer before it is given whole.
    Trailers are counted, and belong to no request. No other protocol is changed to, whoever wishes it.
    """

    __slots__ = (
        "_answered",
        "_asked",
        "_body_bytes",
        "_events",
        "_head_bytes",
        "_header_count",
        "_headers",
        "_is_bodiless",
        "_is_chunked",
        "_is_last",
        "_length",
        "_limits",
        "_lines",
        "_parser",
        "_part",
        "_pieces",
        "_raw",
        "_reason",
        "_refusal",
        "_status",
        "_target",
        "_turn",
        "_upgrades",
        "_waits",
        "_whole",
        "is_begun",
        "is_over",
        "keeps",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parser = httptools.HttpRequestParser(self)
        # Few: a list takes a tenth of what a deque does while nothing is asked.
        self._events: list[Event] = []
        # What the parser is in: "idle" between two messages, their "head", or their "body", with its trailers.
        self._part = "idle"
        # Of the head, or the body with its chunks: which of them it is, and its bytes but for those of the packet in
        # which it began.
        self._turn = 0
        self._raw = 0
        self._head_bytes = 0
        self._header_count = 0
        self._body_bytes = 0
        self._target = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._upgrades = False
        self._is_last = False
        self._refusal: Refusal | None = None
        # Why a callback has ended the parser's run, whose own error says nothing of it.
        self._reason: HTTPStatus | None = None
        # How many requests were whole, and how many were answered.
        self._whole = 0
        self._answered = 0
        #: Whether nothing more is heard.
        self.is_over = False
        # The request that is being answered, and how.
        self._asked: Head | None = None
        self._waits = False
        self._lines: list[bytes] = []
        self._is_bodiless = False
        self._length: int | None = None
        self._is_chunked = False
        self._status = 0
        #: Whether some of an answer went out, and whether another request may follow once it is given.
        self.is_begun = False
        self.keeps = True

    def close(self) -> None:
        """Nothing more comes or goes; what it and its parser know of each other is let go."""
        self.is_over = True
        del self._parser

    # -- what comes ---------------------------------------------------------------------------------------------------

    @property
    def is_in_head(self) -> bool:
        """Whether a head was begun that is not whole."""
        return self._part == "head"

    @property
    def is_whole(self) -> bool:
        """Whether all is there of the request that is being answered."""
        return self._whole > self._answered

    @property
    def is_answered(self) -> bool:
        """Whether no request waits for an answer, or the rest of it."""
        return self._asked is None

    @property
    def is_parted(self) -> bool:
        """Whether the other end has said itself that nothing follows, and all that it asked was answered."""
        return self._is_last and self._whole == self._answered and self._refusal is None

    @property
    def is_broken(self) -> bool:
        """Whether the request that is being answered never becomes whole."""
        return self._refusal is not None and not self.is_whole

    def next(self) -> Event | None:
        """What comes next; nothing, if more has to be received first. A refusal is the last, and told each time."""
        if not self._events:
            return self._refusal
        event = self._events.pop(0)
        if isinstance(event, Head):
            self._asked = event
            self.keeps = event.keeps
            self._waits = event.waits
        return event

    def receive(self, data: bytes) -> None:
        """Takes bytes as they came, in pieces of any size."""
        if self.is_over:
            return
        turn = self._turn
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._stay(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(self._reason or HTTPStatus.BAD_REQUEST)
        self._tell_body()
        if self._turn == turn:
            self._raw += len(data)
        if self._part == "head" and self._raw > self._limits.header_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._part == "body" and self._raw > self._limits.header_bytes + (1 + _CHUNK_BYTES) * self._body_bytes:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def expire(self) -> None:
        """The time of a head is over."""
        if self._part == "head":
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _stay(self, rest: bytes) -> None:
        """Takes a request for one without a wish for another protocol, and for the last.

        The parser knows no more of its body, which another hears out by what the head says of it.
        """
        framing = [each for each in self._headers if each[0] in (b"content-length", b"transfer-encoding")]
        if not framing:
            self._complete()
            return
        self._parser = httptools.HttpRequestParser(_Bodies(self))
        lines = b"".join(b"%b: %b\r\n" % each for each in framing)
        try:
            self._parser.feed_data(b"POST / HTTP/1.1\r\nconnection: close\r\n" + lines + b"\r\n")
            self._parser.feed_data(rest)
        except httptools.HttpParserError:
            self._refuse(self._reason or HTTPStatus.BAD_REQUEST)

    def _refuse(self, status: HTTPStatus) -> None:
        if not self.is_over:  # else it is what stands behind the last request, which nobody hears
            self._tell_body()
            self._refusal = Refusal(status)
            self.is_over = True

    def _refused(self, status: HTTPStatus) -> Exception:
        """What ends the parser's run."""
        self._reason = status
        return ValueError(status.phrase)

    def _tell_body(self) -> None:
        if pieces := self._pieces:
            self._events.append(Body(pieces[0] if len(pieces) == 1 else b"".join(pieces)))
            self._pieces = []

    # -- what the parser tells ----------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.is_over:
            raise self._refused(HTTPStatus.BAD_REQUEST)
        self._part = "head"
        self._turn += 1
        self._raw = self._head_bytes = self._header_count = 0
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url
        self._head_bytes += len(url)
        if self._head_bytes > self._limits.header_bytes:
            raise self._refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._header_count += 1
        self._head_bytes += len(name) + len(value)
        if self._head_bytes > self._limits.header_bytes or self._header_count > self._limits.header_count:
            raise self._refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if self._part == "head":
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        parser, headers = self._parser, self._headers
        version, method = parser.get_http_version(), parser.get_method()
        if version not in ("1.0", "1.1"):
            raise self._refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        if not _is_target(self._target) or method == b"CONNECT":
            raise self._refused(HTTPStatus.BAD_REQUEST)
        hosts, waits = [], False
        for name, value in headers:
            if name == b"host":
                hosts.append(value.lower())
            elif name == b"expect":
                waits = version == "1.1" and value.lower() == b"100-continue"
        if len(hosts) != 1 and (hosts or version == "1.1"):
            raise self._refused(HTTPStatus.BAD_REQUEST)
        # A host in the target would count, says RFC 9112 section 3.2.2, but the app sees what Host says alone.
        if self._target[0] != b"/"[0] and [_authority(self._target)] != hosts:
            raise self._refused(HTTPStatus.BAD_REQUEST)
        self._upgrades = parser.should_upgrade()
        self._is_last = version == "1.0" or self._upgrades or not parser.should_keep_alive()
        self._events.append(Head(method.decode("ascii"), self._target, version, headers, not self._is_last, waits))
        self._part = "body"
        self._turn += 1
        self._raw = self._body_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        if not self._upgrades:
            self._complete()

    def _complete(self) -> None:
        self._tell_body()
        self._events.append(_END)
        self._whole += 1
        self._headers = []  # they are the app's, and not held while nothing is asked
        self._part = "idle"
        if self._is_last:
            self.is_over = True

    # -- what is answered ---------------------------------------------------------------------------------------------

    def go_on(self) -> bytes:
        """What tells whoever waits with its body to send it; nothing for anybody else."""
        waits, self._waits = self._waits and not self._body_bytes and not self.is_begun, False
        return b"HTTP/1.1 100 Continue\r\n\r\n" if waits else b""

    def begin(
        self, status: int, headers: Iterable[tuple[bytes, bytes]], *, date: bytes | None = None, keeps: bool = True
    ) -> None:
        """Begins an answer, which goes out with the first of its body, and can be begun anew until then.

        How it is framed, and whether another may follow, is said by us, not by `headers`.
        Raises `ValueError` for what can't be said in HTTP.
        """
        if not 200 <= status <= 999:
            raise ValueError(f"no answer has the status {status}")
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        length = None
        for spelt, value in headers:
            name = spelt.lower()
            if not _is_name(name):
                raise ValueError(f"no header has the name {name!r}")
            if _has_control(value):
                raise ValueError(f"the header {name!r} has a control character in its value")
            if name == b"content-length":
                if length is not None or not value.isdigit():
                    raise ValueError(f"no answer has the length {value!r}, or two of them")
                length = int(value)
            elif name == b"connection":
                keeps = keeps and b"close" not in value.lower()
            elif name != b"transfer-encoding":
                lines.append(b"%b: %b\r\n" % (name, value))
                if name == b"date":
                    date = None
        if date is not None:
            lines.append(b"date: %b\r\n" % date)
        self._lines, self._status, self._length = lines, status, length
        self.keeps = self.keeps and keeps

    def say(self, data: bytes, *, more: bool) -> list[bytes]:
        """Some of an answer's body, or the last of it, as it goes out: in as few pieces as cost least.

        Raises `ValueError` where it is not as long as the head has said.
        """
        head = b"" if self.is_begun else self._head(len(data), more=more)
        if self._is_bodiless:
            data = b""
        elif self._length is not None:
            if len(data) > self._length or (len(data) < self._length and not more):
                raise ValueError(f"{len(data)} bytes of an answer are to come where {self._length} were announced")
            self._length -= len(data)
        self.is_begun = True
        if not more:
            self._asked = None
            self._answered += 1
            self.is_begun = False
            while self._events and not isinstance(self._events[0], Head):  # nobody has asked for the body
                self._events.pop(0)
            if not self.keeps:
                self.is_over = True
        end = b""
        if self._is_chunked:
            if data:
                head += b"%x\r\n" % len(data)
                end = b"\r\n"
            if not more:
                end += b"0\r\n\r\n"
        pieces = [head + data + end] if len(data) <= _JOINED_BYTES else [head, data, end]
        return [piece for piece in pieces if piece]

    def _head(self, size: int, *, more: bool) -> bytes:
        """The head of the answer that was begun, and how what follows is framed."""
        assert self._asked is not None
        # Whoever is answered before it has said all is heard by nobody afterwards.
        self.keeps = self.keeps and self.is_whole
        self._is_bodiless = self._asked.method == "HEAD" or self._status in (204, 304)
        self._is_chunked = False
        lines = self._lines
        if self._length is None and not self._is_bodiless:
            if not more:
                self._length = size
            elif self._asked.version == "1.1":
                self._is_chunked = True
                lines.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keeps = False  # it ends with the connection
        if self._length is not None and self._status != 204:
            lines.append(b"content-length: %d\r\n" % self._length)
        if not self.keeps:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._lines = []  # nothing of an answer is held while nothing is asked
        return b"".join(lines)

    def last_words(self) -> bytes:
        """The answer to what was refused; none behind half of another."""
        if self._refusal is None or self.is_begun:
            return b""
        status = self._refusal.status
        words = f"{status.value} {status.phrase}\n".encode()
        headers = b"content-type: text/plain\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(words)
        return _STATUS_LINES[status] + headers + words


class _Bodies:
    """What is heard of a request whose head was heard already: its body, and trailers."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection
        self._is_behind_head = False
        self.on_body = connection.on_body
        self.on_message_complete = connection._complete

    def on_headers_complete(self) -> None:
        self._is_behind_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._is_behind_head:
            self._connection.on_header(name, value)


def _authority(target: bytes) -> bytes:
    """The host and port of a target that is a whole URL."""
    return re.split(rb"[/?#]", target.lower().partition(b"://")[2], maxsplit=1)[0]
