"""One exchange over a socket that never waits, told as a story that asks to wait: trio and threads tell it alike.

asyncio has transports that are faster than any socket, and hears of what comes as it does.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Generator
from contextlib import suppress
from errno import EINPROGRESS, EWOULDBLOCK
from typing import Any, Final, Literal

from ..addresses import Refused
from ..tls import TlsLayer, why_not
from .answers import AnswerReader
from .parsing import AnswerBroken

__all__ = ["Stale", "Wait", "Waits", "Wire", "connect", "exchange", "is_readable", "read_more"]

#: What a story waits for: that this socket may be read, that it may be written, or either.
Wait = tuple[socket.socket, Literal["read", "write", "either"]]
Waits = Generator[Wait, None, None]

_PIECE: Final = 64 * 1024


class Stale(AnswerBroken):
    """A connection that was used before was closed before any byte of an answer came: most likely it was so already."""


class Wire:
    """A connected socket, with TLS where it is asked for; each call does what can be done at once."""

    __slots__ = ("_is_cut", "_left", "_tls", "is_used", "socket")

    def __init__(self, connected: socket.socket) -> None:
        self.socket = connected
        self._tls: TlsLayer | None = None
        self._left = memoryview(b"")
        self._is_cut = False
        #: Whether an answer came over it before.
        self.is_used = False

    def encrypt(self, context: ssl.SSLContext, name: str) -> Waits:
        """The handshake; raises `Refused`, for a certificate that is not that of the name among others."""
        self._tls = tls = TlsLayer(context, name)
        try:
            while not tls.shake_hands():
                while not self.flush():
                    yield self.socket, "write"
                yield self.socket, "read"
                with suppress(BlockingIOError):
                    tls.receive(self.socket.recv(_PIECE))
            while not self.flush():
                yield self.socket, "write"
        except OSError as error:
            raise Refused(why_not(error)) from None

    def write(self, data: bytes) -> None:
        """Takes what is to be sent."""
        if self._tls is None:
            self._left = memoryview(data)
        else:
            self._tls.encrypt(data)

    def flush(self) -> bool:
        """Sends what goes now; whether there is no more to send."""
        if self._tls is not None and not self._left:
            self._left = memoryview(self._tls.outgoing())
        try:
            while self._left:
                self._left = self._left[self.socket.send(self._left) :]
        except BlockingIOError:
            return False
        except (BrokenPipeError, ConnectionResetError):
            # It hears no more, but what it has said before may be here: that it was too much, most likely.
            self._is_cut = True
            self._left = memoryview(b"")
        return True

    def read(self) -> bytes | None:
        """What came, no bytes at its end; nothing if nothing did."""
        try:
            data = self.socket.recv(_PIECE)
        except BlockingIOError:
            return None
        if self._tls is None:
            return data
        self._tls.receive(data)
        return self._tls.decrypt()

    @property
    def is_settled(self) -> bool:
        """Whether all of the last request was sent."""
        return not self._left and not self._is_cut

    def is_quiet(self) -> bool:
        """Whether nothing came that nobody has asked for, and the peer is still there."""
        return not is_readable(self.socket.fileno()) and (self._tls is None or not self._tls.is_over)

    def close(self) -> None:
        """Ends it at once: nothing that is left has any use."""
        self.socket.close()

    def shut(self) -> None:
        """Wakes whoever waits for it, whose business it is to close it."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)


def _socket_for(address: str, port: int | None) -> tuple[socket.socket, Any]:
    """A socket, and what it is to be connected to: a numeric address, or a unix socket's path where there is no port.

    Raises `Refused` for what is no address.
    """
    place: Any = address
    if port is None:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    else:
        try:
            found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
            family, kind, protocol, _, place = found[0]
            made = socket.socket(family, kind, protocol)
        except OSError:  # no address, or of a kind that this machine does not have
            raise Refused from None
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setblocking(False)
    return made, place


def connect(address: str, port: int | None) -> Generator[Wait, None, socket.socket]:
    """A connection to such a place; raises `Refused`."""
    made, place = _socket_for(address, port)
    try:
        if made.connect_ex(place) in (EINPROGRESS, EWOULDBLOCK):
            yield made, "write"
        if made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or not _has_peer(made):
            raise Refused
    except BaseException:
        made.close()
        raise
    return made


def exchange(wire: Wire, data: bytes, reader: AnswerReader) -> Waits:
    """Sends a request, and reads until there is something to tell of its answer; raises `AnswerBroken` or `OSError`.

    What is answered before the whole request was sent is read, and the rest of that is not sent.
    """
    try:
        wire.write(data)
        while True:
            yield wire.socket, "read" if wire.flush() else "either"
            if (came := wire.read()) is not None and _take(came, reader):
                break
    except (AnswerBroken, OSError) as error:
        if wire.is_used and not reader.has_begun and not isinstance(error, ssl.SSLError):
            raise Stale(str(error)) from None
        raise
    wire.is_used = True


def read_more(wire: Wire, reader: AnswerReader) -> Waits:
    """Reads on until there is something to tell; raises `AnswerBroken` or `OSError`."""
    while True:
        yield wire.socket, "read"
        if (came := wire.read()) is not None and _take(came, reader):
            return


def _take(came: bytes, reader: AnswerReader) -> bool:
    if came:
        return reader.feed(came)
    reader.end()
    return True


def _has_peer(made: socket.socket) -> bool:
    try:
        made.getpeername()
    except OSError:
        return False
    return True


def is_readable(connected: int) -> bool:
    """Whether anything came over a socket, or its end; by the file's number."""
    if hasattr(select, "poll"):
        look = select.poll()
        look.register(connected, select.POLLIN)
        return bool(look.poll(0))
    return bool(select.select([connected], [], [], 0)[0])
