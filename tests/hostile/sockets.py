"""Raw bytes over a socket, and what comes back: whole answers, what else there is, and whether the server hung up."""

import select
import socket
import time
from contextlib import suppress
from typing import Self

from attrs import define, field, frozen

#: Nothing may keep a caller for longer, in seconds.
HANG = 5.0
#: How long a server may take to hang up, once it has answered: well before a connection is idle for too long.
HANG_UP = 2.0

#: What is sent: bytes, and seconds to wait before the next.
Pieces = tuple[bytes | float, ...]


@frozen
class Answer:
    """One whole HTTP answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for known, value in self.headers if known == name), "")


@frozen
class Exchange:
    """What came of what was sent; `rest` is what is no whole answer."""

    answers: tuple[Answer, ...]
    rest: bytes
    closed: bool
    hangs: bool
    seconds: float

    @property
    def status(self) -> int:
        """That of the first answer, 0 for none."""
        return self.answers[0].status if self.answers else 0


@define
class Line:
    """One connection."""

    address: tuple[str, int]
    _socket: socket.socket = field(init=False)
    _heard: bytes = b""
    is_open: bool = True

    def __attrs_post_init__(self) -> None:
        self._socket = socket.create_connection(self.address, timeout=HANG)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def exchange(
        self, pieces: Pieces, *, to_close: bool = False, ends: bool = False, head: bool = False, patience: float = HANG
    ) -> Exchange:
        """Sends, and hears one answer, or with `to_close` all until the server hangs up.

        With `ends` our side is closed when all is sent; `head` says that answers have no body.
        """
        started = time.monotonic()
        pauses = sum(piece for piece in pieces if isinstance(piece, float))
        speaking = _Speaking(self._socket, pieces, ends)
        answered: float | None = None
        while True:
            answers, rest = parse(self._heard, head=head, over=not self.is_open)
            now = time.monotonic()
            if answers and answered is None:
                answered = now
            until = started + patience + pauses if answered is None else answered + HANG_UP
            if not self.is_open or (answers and not to_close) or now >= until:
                hangs = self.is_open and not answers
                # One answer was asked for: another belongs to whoever asks next, so here it stays visible.
                self._heard = b""
                return Exchange(answers, rest, not self.is_open, hangs, (answered or now) - started)
            self._step(speaking, min(until - now, 1.0))

    def say(self, content: bytes) -> None:
        """Sends, as far as the system takes it at once, and hears nothing."""
        with suppress(OSError):
            self._socket.send(content)

    def _step(self, speaking: "_Speaking", seconds: float) -> None:
        wants, seconds = speaking.wants(seconds)
        readable, writable, _ = select.select([self._socket], [self._socket] if wants else [], [], seconds)
        if writable:
            speaking.go_on()
        if readable:
            try:
                chunk = self._socket.recv(1 << 20)
            except BlockingIOError:
                return
            except OSError:
                chunk = b""
            self._heard += chunk
            self.is_open = chunk != b""


@define
class _Speaking:
    """What is still to be sent."""

    _socket: socket.socket
    _pieces: Pieces
    _ends: bool
    _left: memoryview = field(default=memoryview(b""))
    _at: float = 0.0

    def wants(self, seconds: float) -> tuple[bool, float]:
        """Whether there is something to send now, and how long to wait at most."""
        now = time.monotonic()
        while not self._left and self._pieces and now >= self._at:
            piece, *others = self._pieces
            self._pieces = tuple(others)
            if isinstance(piece, float):
                self._at = now + piece
            else:
                self._left = memoryview(piece)
        if not self._left and not self._pieces and self._ends:
            self._ends = False
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        waits = self._at - now if self._pieces and not self._left else seconds
        return bool(self._left), max(0.0, min(waits, seconds))

    def go_on(self) -> None:
        try:
            self._left = self._left[self._socket.send(self._left) :]
        except BlockingIOError:
            return
        except OSError:  # it no longer listens: what it says is still heard
            self._left, self._pieces, self._ends = memoryview(b""), (), False


def parse(heard: bytes, *, head: bool = False, over: bool = False) -> tuple[tuple[Answer, ...], bytes]:
    """The whole answers at the start of `heard`, without interim ones, and the rest; strict, for we are the judge.

    `over` says that no more will come: so ends an answer that has no other end.
    """
    answers = []
    while True:
        top, found, after = heard.partition(b"\r\n\r\n")
        if not found:
            return tuple(answers), heard
        line, *lines = top.decode("latin-1").split("\r\n")
        version, _, words = line.partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not words[:3].isdecimal():
            return tuple(answers), heard
        status = int(words[:3])
        pairs = tuple((name.lower(), value.strip()) for name, _, value in (each.partition(":") for each in lines))
        if status < 200:
            heard = after
            continue
        body = _body(status, dict(pairs), after, head=head, over=over)
        if body is None:
            return tuple(answers), heard
        content, heard = body
        answers.append(Answer(status, pairs, content))


def _body(status: int, headers: dict[str, str], after: bytes, *, head: bool, over: bool) -> tuple[bytes, bytes] | None:
    """The body, and what follows it; nothing while it is not whole."""
    if head or status in (204, 304):
        return b"", after
    if headers.get("transfer-encoding") == "chunked":
        return _chunks(after)
    if "content-length" not in headers:
        return (after, b"") if over else None
    length = int(headers["content-length"])
    return (after[:length], after[length:]) if len(after) >= length else None


def _chunks(after: bytes) -> tuple[bytes, bytes] | None:
    body = b""
    while True:
        size, found, after = after.partition(b"\r\n")
        if not found:
            return None
        length = int(size, 16)
        if len(after) < length + 2:
            return None
        body, after = body + after[:length], after[length + 2 :]
        if not length:
            return body, after
