"""Putting bodies into a Content-Encoding: the other half of `inflate`."""

from __future__ import annotations

import zlib
from typing import Final

import brotli

from .inflate import zstd

__all__ = ["CODINGS", "deflate"]

#: The content encodings that `deflate` can do, best first: zstd with Python 3.14, or with the extra of that name.
CODINGS: Final = ("zstd", "br", "gzip") if zstd is not None else ("br", "gzip")

# The fastest levels (docs/adr/0038): of 100 kB the next ones save a percent or two more, in twice the time and longer.
_ZSTD_LEVEL: Final = 1
_BROTLI_QUALITY: Final = 1
_GZIP_LEVEL: Final = 1


def deflate(body: bytes, coding: str) -> bytes:
    """The body in one of `CODINGS`."""
    match coding:
        case "zstd":
            return zstd.compress(body, _ZSTD_LEVEL)  # type: ignore[no-any-return]
        case "br":
            return brotli.compress(body, quality=_BROTLI_QUALITY)  # type: ignore[no-any-return]
        case "gzip":
            return zlib.compress(body, _GZIP_LEVEL, wbits=31)
        case _:
            raise ValueError(f"{coding!r} is none of {', '.join(CODINGS)}")
