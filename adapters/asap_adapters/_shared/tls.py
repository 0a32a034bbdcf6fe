"""TLS of clients: the context that all of them share, and TLS without a socket."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Final

__all__ = ["TlsLayer", "shared_tls", "why_not"]

_PIECE: Final = 64 * 1024


@cache
def shared_tls() -> ssl.SSLContext:
    """One context for all clients: to load the certificates takes tens of milliseconds."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


class TlsLayer:
    """The client's end of a TLS connection: what comes and goes is bytes."""

    __slots__ = ("_came", "_goes", "_ssl", "is_over")

    def __init__(self, context: ssl.SSLContext, name: str) -> None:
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._came, self._goes, server_hostname=name)
        #: Whether the peer has said all that it will.
        self.is_over = False

    def shake_hands(self) -> bool:
        """Whether the handshake is over; raises `ssl.SSLError`."""
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes) -> None:
        """Adds to what goes."""
        self._ssl.write(data)

    def outgoing(self) -> bytes:
        """What is to be sent."""
        return self._goes.read()

    def receive(self, data: bytes) -> None:
        """Takes what came; no bytes at the end."""
        if data:
            self._came.write(data)
        else:
            self._came.write_eof()

    def decrypt(self) -> bytes | None:
        """All that can be read so far, no bytes at the end, nothing where more has to come; raises `ssl.SSLError`."""
        if self.is_over:
            return b""
        pieces: list[bytes] = []
        while True:
            try:
                piece = self._ssl.read(_PIECE)
            except ssl.SSLWantReadError:
                return b"".join(pieces) or None
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                piece = b""
            if not piece:
                self.is_over = True
                return b"".join(pieces)
            pieces.append(piece)


def why_not(error: OSError) -> str:
    """What a handshake has failed by, in words that hold nothing of ours."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message}"
    return f"no TLS came about: {getattr(error, 'reason', None) or type(error).__name__}"
