"""Bytes as a body in a coding: undone within bounds, and alike however it is cut."""

import zlib
from typing import Any

import brotli

from asap_adapters._shared.inflate import ENCODINGS, inflater
from asap_proto.errors import BadEncoding, BodyTooLarge
from asap_proto.limits import GZIP_MEMBERS
from asap_proto.wire.body import BodyGauge

#: Bytes that may come out.
MOST = 64 * 1024


def feed(data: bytes) -> None:
    """What comes out is bounded, does not depend on the pieces that went in, and is what others read."""
    if len(data) < 2:
        return
    coding = ENCODINGS[data[0] % len(ENCODINGS)]
    size, body = 1 + data[1], data[2:]
    whole, cut = undone(coding, body, len(body) or 1), undone(coding, body, size)
    assert _verdict(whole) == _verdict(cut), (whole, cut)
    if whole is BodyTooLarge or cut is BodyTooLarge or not body:
        return
    theirs = _theirs(coding, body)
    assert theirs is ... or theirs == (whole if isinstance(whole, bytes) else None), (whole, theirs)
    assert whole == cut


def undone(coding: str, body: bytes, size: int) -> bytes | type[Exception]:
    """What is inflated of a body that comes in pieces of this size, or what it is refused with."""
    plain = inflater(coding, BodyGauge(MOST, what="body"))
    found = b""
    try:
        for start in range(0, len(body), size):
            found += plain.feed(body[start : start + size])
            assert len(found) <= MOST
        plain.finish()
    except (BadEncoding, BodyTooLarge) as error:
        return type(error)
    return found


def _verdict(came: bytes | type[Exception]) -> Any:
    # What is both spoilt and too large may be found to be either first.
    return bytes if isinstance(came, bytes) else Exception


def _theirs(coding: str, body: bytes) -> Any:
    """The same by the library's own call, nothing where that refuses it; ``...`` where it has none of the kind."""
    try:
        if coding == "br":
            return bytes(brotli.decompress(body))
        if coding == "gzip":
            return _members(body)
    except (brotli.error, zlib.error, EOFError):
        return None
    return ...


def _members(body: bytes) -> Any:
    found, number = b"", 0
    while body:
        member = zlib.decompressobj(31)
        found += member.decompress(body)
        if not member.eof:
            raise EOFError
        body = member.unused_data.lstrip(b"\0")
        number += 1
    return ... if number > GZIP_MEMBERS else found
