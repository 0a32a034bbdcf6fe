"""Bodies in codings: cut, stacked, many-membered, lying about themselves, and larger than they look."""

import gzip
import itertools
import zlib
from collections.abc import Iterator
from functools import cache

import brotli
from backports import zstd

from hostile.cases import (
    SILENCE,
    Case,
    Expect,
    Place,
    call,
    chunked,
    envelope,
    good,
    head,
    in_chunks,
    posted,
    refused,
    text,
)

#: What an agent takes when nobody has turned it.
LIMIT = 10 * 1024 * 1024

_BAD = refused("asap:transport/bad_encoding", status=400)
_UNKNOWN = refused("asap:transport/unsupported_encoding", status=415)


def bodies(at: Place) -> Iterator[Case]:
    """Codings of one good request, each spoilt in one way."""
    whole = text(call(envelope(at)))
    member, squeezed = gzip.compress(whole), brotli.compress(whole)
    frame = zstd.compress(whole, options={zstd.CompressionParameter.checksum_flag: 1})
    for name, (coding, body, expect) in {
        "two members": ("gzip", gzip.compress(whole[:50]) + gzip.compress(whole[50:]), good()),
        "zeros behind": ("gzip", member + bytes(10_000), good()),
        "a name and a comment": ("gzip", _named(whole), good()),
        "gzip in upper case": ("GZIP", member, good()),
        "no compression": ("gzip", gzip.compress(whole, 0), good()),
        "gzip cut by a byte": ("gzip", member[:-1], _BAD),
        "gzip without its trailer": ("gzip", member[:-8], _BAD),
        "a gzip head alone": ("gzip", member[:10], _BAD),
        "half a gzip head": ("gzip", member[:5], _BAD),
        "the mark of gzip alone": ("gzip", member[:2], _BAD),
        "a wrong sum": ("gzip", member[:-8] + bytes(4) + member[-4:], _BAD),
        "a wrong length": ("gzip", member[:-4] + bytes(4), _BAD),
        "a wrong mark": ("gzip", b"\x1f\x8c" + member[2:], _BAD),
        "another method": ("gzip", member[:2] + b"\x09" + member[3:], _BAD),
        "reserved flags": ("gzip", member[:3] + b"\xe0" + member[4:], _BAD),
        "a name without end": ("gzip", member[:3] + b"\x08" + member[4:10] + b"x" * 100_000, _BAD),
        "a broken block": ("gzip", member[:12] + b"\xff" * 8 + member[20:], _BAD),
        "something behind": ("gzip", member + b"x", _BAD),
        "a request behind": ("gzip", member + whole, _BAD),
        "half a member behind": ("gzip", member + member[:20], _BAD),
        "zeros, then something": ("gzip", member + bytes(3) + b"x", _BAD),
        "300 members": ("gzip", member + gzip.compress(b"") * 300, _BAD),
        "300,000 members": ("gzip", gzip.compress(b"") * 300_000 + member, _BAD),
        "200,000 empty blocks": ("gzip", _blocks(200_000), _BAD),
        "no gzip": ("gzip", whole, _BAD),
        "zlib": ("gzip", zlib.compress(whole), _BAD),
        "bare deflate": ("gzip", zlib.compress(whole)[2:-4], _BAD),
        "brotli as gzip": ("gzip", squeezed, _BAD),
        "a ZIP file": ("gzip", b"PK\x03\x04" + bytes(100), _BAD),
        "gzip of gzip": ("gzip", gzip.compress(member), refused("asap:protocol/malformed_json")),
        "gzip of nothing": ("gzip", gzip.compress(b""), refused("asap:protocol/malformed_json")),
        "brotli cut by a byte": ("br", squeezed[:-1], _BAD),
        "half of brotli": ("br", squeezed[: len(squeezed) // 2], _BAD),
        "a byte of brotli": ("br", squeezed[:1], _BAD),
        "a byte behind brotli": ("br", squeezed + b"\0", _BAD),
        "brotli twice": ("br", squeezed * 2, _BAD),
        "no brotli": ("br", whole, _BAD),
        "gzip as brotli": ("br", member, _BAD),
        "noise as brotli": ("br", bytes(range(256)) * 4, _BAD),
        "a large window": ("br", b"\x11\x3f" + squeezed[1:], _BAD),
        "200,000 empty blocks of brotli": ("br", _brotli_blocks(200_000), _BAD),
        "brotli of brotli": ("br", brotli.compress(squeezed), refused("asap:protocol/malformed_json")),
        "zstd cut by a byte": ("zstd", frame[:-1], _BAD),
        "half of zstd": ("zstd", frame[: len(frame) // 2], _BAD),
        "the mark of zstd alone": ("zstd", frame[:4], _BAD),
        "a byte behind zstd": ("zstd", frame + b"\0", _BAD),
        "zstd twice": ("zstd", frame * 2, _BAD),
        "a frame to skip before zstd": ("zstd", b"\x50\x2a\x4d\x18\4\0\0\0abcd" + frame, _BAD),
        "no zstd": ("zstd", whole, _BAD),
        "gzip as zstd": ("zstd", member, _BAD),
        "a broken frame of zstd": ("zstd", frame[:20] + b"\xff" * 8 + frame[28:], _BAD),
        "a window of 2 GB": ("zstd", frame[:4] + b"\x00\xa8" + frame[6:], _BAD),
        "a dictionary nobody has": ("zstd", frame[:4] + b"\x03\x50\1\2\3\4" + frame[5:], _BAD),
        "zstd of zstd": ("zstd", zstd.compress(frame), refused("asap:protocol/malformed_json")),
        "zstd of nothing": ("zstd", zstd.compress(b""), refused("asap:protocol/malformed_json")),
        "brotli of nothing": ("br", brotli.compress(b""), refused("asap:protocol/malformed_json")),
    }.items():
        yield Case(name, (posted(at, body, more={"Content-Encoding": coding}),), expect)
        yield Case(
            f"{name}, in chunks", (chunked(at, in_chunks(body, 997), more=(("Content-Encoding", coding),)),), expect
        )
    yield from _unknown(at, whole, member)


def _unknown(at: Place, whole: bytes, member: bytes) -> Iterator[Case]:
    twice = gzip.compress(member)
    for coding in ("gzip, gzip", "gzip, br", "br, gzip", "gzip,gzip,gzip,gzip", "x-gzip", "compress", "deflate"):
        yield Case(f"coding {coding}", (posted(at, twice, more={"Content-Encoding": coding}),), _UNKNOWN)
    for coding in ("gzip;q=1", '"gzip"', "gzi\tp", "gzip br", "*", "chunked", "aes128gcm", "x" * 5000, "\xe9"):
        yield Case(f"coding {coding[:10]!r}", (posted(at, whole, more={"Content-Encoding": coding}),), _UNKNOWN)
    for coding in ("", "identity", "IDENTITY", "identity, identity", ","):
        yield Case(f"coding {coding!r}", (posted(at, whole, more={"Content-Encoding": coding}),), good())
    for coding in ("gzip", "identity, gzip", "gzip,", "gzip, identity"):
        yield Case(f"gzip as {coding!r}", (posted(at, member, more={"Content-Encoding": coding}),), good())
    for first, other in itertools.product(("gzip", "br", "zstd"), repeat=2):
        more = (("Content-Encoding", first), ("Content-Encoding", other))
        yield Case(f"codings {first} and {other}", (posted(at, twice, more=more),), _UNKNOWN)


def sizes(at: Place) -> Iterator[Case]:
    """Bodies beyond the limit: as announced, as sent, as inflated; most of what is sent need not be read."""
    announced = head(at, length=LIMIT + 1)
    yield Case("one byte more is announced", (announced,), _LARGE_UNREAD)
    yield Case("a terabyte is announced", (head(at, length=10**12),), _LARGE_UNREAD)
    expecting = head(at, length=LIMIT + 1, more={"Expect": "100-continue"})
    yield Case("one byte more is announced, and waited with", (expecting,), Expect(frozenset({413}), closes=True))
    yield Case("one byte more is sent", (announced + b" " * (LIMIT + 1),), _LARGE)
    coding = (("Transfer-Encoding", "chunked"),)
    spaces = b"100000\r\n" + b" " * 0x100000 + b"\r\n"
    yield Case("one chunk more is sent", (head(at, more=coding) + spaces * 11 + b"0\r\n\r\n",), _LARGE)
    yield Case("chunks without end are sent", (head(at, more=coding) + spaces * 40,), _LARGE_UNREAD)
    for name, (kind, body) in bombs().items():
        more = (("Content-Encoding", kind),)
        yield Case(f"{name}, whole", (posted(at, body, more=more),), _LARGE)
        yield Case(f"{name}, in chunks", (chunked(at, in_chunks(body, 4096), more=more),), _LARGE)


#: Whoever still speaks when the refusal comes may lose it, as the connection is closed on what was not read.
_LARGE = Expect(frozenset({SILENCE, 413}))
_LARGE_UNREAD = Expect(frozenset({SILENCE, 413}), closes=True)


@cache
def bombs() -> dict[str, tuple[str, bytes]]:
    """Small bodies that inflate beyond the limit."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    zeros = b"".join(packer.compress(bytes(1 << 20)) for _ in range(200)) + packer.flush()
    return {
        "one byte more, in gzip": ("gzip", gzip.compress(b" " * (LIMIT + 1))),
        "one byte more, in brotli": ("br", brotli.compress(b" " * (LIMIT + 1), quality=1)),
        "200 MB of zeros in gzip": ("gzip", zeros),
        "200 MB of zeros in brotli": ("br", _brotli_zeros()),
        "one byte more, in zstd": ("zstd", zstd.compress(b" " * (LIMIT + 1))),
        "200 MB of zeros in zstd": ("zstd", zstd.compress(bytes(200 << 20))),
        "50 members of 1 MB": ("gzip", gzip.compress(bytes(1 << 20)) * 50),
        "200 MB behind a blank": ("gzip", gzip.compress(b" ") + zeros),
    }


def _brotli_zeros() -> bytes:
    packer = brotli.Compressor(quality=1)
    return b"".join(packer.process(bytes(1 << 20)) for _ in range(200)) + packer.finish()


def _named(data: bytes) -> bytes:
    """A gzip member with a file name, a comment, an extra field and a sum of its head."""
    plain = gzip.compress(data)
    top = plain[:3] + b"\x1e" + plain[4:10] + b"\x02\0xy" + b"../../name\0" + b"a comment\0"
    return top + (zlib.crc32(top) & 0xFFFF).to_bytes(2, "little") + plain[10:]


def _blocks(count: int) -> bytes:
    """A gzip member of empty stored blocks that never ends."""
    return gzip.compress(b"")[:10] + b"\x00\x00\x00\xff\xff" * count


def _brotli_blocks(count: int) -> bytes:
    """Brotli of metadata blocks that hold nothing, and never end."""
    return b"\x06" * count
