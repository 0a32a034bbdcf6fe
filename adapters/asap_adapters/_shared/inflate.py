"""Undoing Content-Encoding within bounds: what comes out is gauged before it is kept."""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Any, Protocol

import brotli

from asap_proto.errors import BadEncoding, BodyTooLarge
from asap_proto.limits import GZIP_MEMBERS, INFLATE_FREE, INFLATE_RATIO
from asap_proto.wire.body import BodyGauge

zstd: Any = None
if not TYPE_CHECKING:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
    except ImportError:
        pass

__all__ = ["ENCODINGS", "Inflater", "inflater"]

#: The content encodings that `inflater` can undo: zstd with Python 3.14, or with the extra of that name.
ENCODINGS = ("gzip", "br", "zstd") if zstd is not None else ("gzip", "br")

#: What a peer may make us hold to look back into (RFC 9659: 8 MiB for HTTP).
_WINDOW_LOG = 23

#: The longest head of a frame (RFC 8878 section 3.1.1).
_ZSTD_HEAD_BYTES = 18


class Inflater(Protocol):
    """Takes a body as it comes, gives it as it was."""

    def feed(self, chunk: bytes) -> bytes:
        """What can be said so far; raises `BadEncoding` or `BodyTooLarge`."""

    def finish(self) -> None:
        """There is no more; raises `BadEncoding` where there should be."""


def inflater(encoding: str, gauge: BodyGauge) -> Inflater:
    """The inflater for one of `ENCODINGS` or ``identity``; `gauge` counts what comes out."""
    match encoding:
        case "gzip":
            return _Gzip(_Ratio(gauge))
        case "br":
            return _Brotli(_Ratio(gauge))
        case "zstd":
            return _Zstd(_Ratio(gauge))
        case _:
            return _Identity(gauge)


class _Identity:
    def __init__(self, gauge: BodyGauge) -> None:
        self.feed = gauge.feed

    def finish(self) -> None:
        pass


class _Ratio:
    """What went in bounds what may come out, beside the gauge: few bytes must not cost us many."""

    def __init__(self, gauge: BodyGauge) -> None:
        self._gauge = gauge
        self._left = INFLATE_FREE
        self._taken = 0

    def take(self, chunk: bytes) -> None:
        """So much is to be inflated next."""
        before = max(INFLATE_FREE, self._taken * INFLATE_RATIO)
        self._taken += len(chunk)
        self._left += max(INFLATE_FREE, self._taken * INFLATE_RATIO) - before

    @property
    def most(self) -> int:
        """How much to inflate at once: a byte more than is allowed tells that there is more."""
        return max(0, min(self._left, self._gauge.room)) + 1

    def give(self, piece: bytes) -> bytes:
        """Counts what came out; raises `BodyTooLarge`."""
        self._left -= len(piece)
        self._gauge.feed(piece)
        if self._left < 0:
            raise BodyTooLarge(f"the body inflates to more than {INFLATE_RATIO} times its size")
        return piece


class _Gzip:
    """RFC 1952: one member after another, then perhaps zeros."""

    def __init__(self, ratio: _Ratio) -> None:
        self._ratio = ratio
        self._member = zlib.decompressobj(31)
        self._members = 1
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        self._ratio.take(chunk)
        out = []
        while chunk:
            if self._member.eof:
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    break
                self._next_member()
            self._begun = True
            try:
                piece = self._member.decompress(chunk, self._ratio.most)
            except zlib.error:
                raise BadEncoding("the body is not gzip") from None
            out.append(self._ratio.give(piece))
            chunk = self._member.unconsumed_tail or self._member.unused_data
        return b"".join(out)

    def _next_member(self) -> None:
        self._members += 1
        if self._members > GZIP_MEMBERS:
            raise BadEncoding(f"the gzip body has more than {GZIP_MEMBERS} members")
        self._member = zlib.decompressobj(31)

    def finish(self) -> None:
        if self._begun and not self._member.eof:
            raise BadEncoding("the gzip body ends too early")


class _Brotli:
    """RFC 7932."""

    def __init__(self, ratio: _Ratio) -> None:
        self._ratio = ratio
        self._stream = brotli.Decompressor()
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        self._ratio.take(chunk)
        self._begun = True
        out = []
        try:
            while True:
                if self._stream.is_finished():
                    raise BadEncoding("something follows the brotli body")
                # The limit is soft, so each piece is looked at.
                out.append(self._ratio.give(self._stream.process(chunk, output_buffer_limit=self._ratio.most)))
                if self._stream.can_accept_more_data():
                    return b"".join(out)
                chunk = b""
        except brotli.error:
            raise BadEncoding("the body is not brotli") from None

    def finish(self) -> None:
        if self._begun and not self._stream.is_finished():
            raise BadEncoding("the brotli body ends too early")


class _Zstd:
    """RFC 8878: one frame, with a window that RFC 9659 allows."""

    def __init__(self, ratio: _Ratio) -> None:
        self._ratio = ratio
        self._frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
        self._begun = False
        self._head = b""
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        self._ratio.take(chunk)
        self._begun = True
        self._head += chunk[: _ZSTD_HEAD_BYTES - len(self._head)]
        out = []
        try:
            while True:
                if self._frame.eof:
                    raise BadEncoding("something follows the zstd frame")
                out.append(self._ratio.give(self._frame.decompress(chunk, self._ratio.most)))
                self._size += len(out[-1])
                if self._frame.eof and not self._frame.unused_data:
                    return b"".join(out)
                if not self._frame.eof and self._frame.needs_input:
                    return b"".join(out)
                chunk = b""
        except zstd.ZstdError:
            raise BadEncoding("the body is not zstd") from None

    def finish(self) -> None:
        if not self._begun:
            return
        if not self._frame.eof:
            raise BadEncoding("the zstd body ends too early")
        # The library looks at that only where the whole frame comes in one piece.
        try:
            told = zstd.get_frame_info(self._head).decompressed_size
        except zstd.ZstdError:
            raise BadEncoding("the body is not zstd") from None
        if told is not None and told != self._size:
            raise BadEncoding("the zstd body is not as long as it says")
