"""Undoing Content-Encoding within bounds: what comes out is gauged before it is kept."""

from __future__ import annotations

import zlib
from typing import Protocol

import brotli

from asap_proto.errors import BadEncoding
from asap_proto.limits import GZIP_MEMBERS
from asap_proto.wire.body import BodyGauge

__all__ = ["ENCODINGS", "Inflater", "inflater"]

#: The content encodings that `inflater` can undo.
ENCODINGS = ("gzip", "br")


class Inflater(Protocol):
    """Takes a body as it comes, gives it as it was."""

    def feed(self, chunk: bytes) -> bytes:
        """What can be said so far; raises `BadEncoding` or `BodyTooLarge`."""

    def finish(self) -> None:
        """There is no more; raises `BadEncoding` where there should be."""


def inflater(encoding: str, gauge: BodyGauge) -> Inflater:
    """The inflater for one of `ENCODINGS` or ``identity``; `gauge` counts what comes out."""
    if encoding == "gzip":
        return _Gzip(gauge)
    return _Brotli(gauge) if encoding == "br" else _Identity(gauge)


class _Identity:
    def __init__(self, gauge: BodyGauge) -> None:
        self.feed = gauge.feed

    def finish(self) -> None:
        pass


class _Gzip:
    """RFC 1952: one member after another, then perhaps zeros."""

    def __init__(self, gauge: BodyGauge) -> None:
        self._gauge = gauge
        self._member = zlib.decompressobj(31)
        self._members = 1
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        out = []
        while chunk:
            if self._member.eof:
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    break
                self._next_member()
            self._begun = True
            try:
                piece = self._member.decompress(chunk, self._gauge.room + 1)
            except zlib.error:
                raise BadEncoding("the body is not gzip") from None
            out.append(self._gauge.feed(piece))
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

    def __init__(self, gauge: BodyGauge) -> None:
        self._gauge = gauge
        self._stream = brotli.Decompressor()
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        if not chunk:
            return b""
        self._begun = True
        out = []
        try:
            while True:
                if self._stream.is_finished():
                    raise BadEncoding("something follows the brotli body")
                # The limit is soft, so the gauge looks at each piece.
                out.append(self._gauge.feed(self._stream.process(chunk, output_buffer_limit=self._gauge.room + 1)))
                if self._stream.can_accept_more_data():
                    return b"".join(out)
                chunk = b""
        except brotli.error:
            raise BadEncoding("the body is not brotli") from None

    def finish(self) -> None:
        if self._begun and not self._stream.is_finished():
            raise BadEncoding("the brotli body ends too early")
