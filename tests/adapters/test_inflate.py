"""Undoing codings within bounds, piece by piece."""

import gzip
import math

import brotli
import pytest

from asap_adapters._shared.inflate import ENCODINGS, inflater
from asap_proto.errors import BadEncoding, BodyTooLarge
from asap_proto.limits import INFLATE_FREE, INFLATE_RATIO
from asap_proto.wire.body import BodyGauge

zstd = pytest.importorskip("backports.zstd", reason="the extra zstd is not installed")

PACK = {"gzip": gzip.compress, "br": brotli.compress, "zstd": zstd.compress}
LARGE = 64 * INFLATE_FREE


def undone(coding, body, *, most=LARGE, size=None):
    """What comes of a body that arrives in pieces of this size."""
    inflating = inflater(coding, BodyGauge(most))
    pieces = [body[start : start + size] for start in range(0, len(body), size)] if size else [body]
    out = b"".join([inflating.feed(piece) for piece in pieces])
    inflating.finish()
    return out


def test_every_coding_is_tested():
    """One that is added comes with its tests."""
    assert set(ENCODINGS) == PACK.keys()


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("size", [None, 7, 50])
def test_what_was_packed(coding, size):
    """Comes out as it was, however it is cut."""
    text = b"".join(b"%d, " % number for number in range(2000))
    assert undone(coding, PACK[coding](text), size=size) == text


@pytest.mark.parametrize("coding", PACK)
@pytest.mark.parametrize("size", [None, 1, 7])
def test_a_small_body_is_never_refused_for_its_ratio(coding, size):
    """However well it packs, up to what is free."""
    assert undone(coding, PACK[coding](bytes(INFLATE_FREE)), size=size) == bytes(INFLATE_FREE)
    with pytest.raises(BodyTooLarge, match=f"{INFLATE_RATIO} times its size"):
        undone(coding, PACK[coding](bytes(INFLATE_FREE + 1)), size=size)


def test_a_large_body_is_refused_for_its_ratio():
    """What may come out grows with what went in, to the byte."""
    text = bytes(4 * INFLATE_FREE)
    packed = gzip.compress(text)
    missing = math.ceil(len(text) / INFLATE_RATIO) - len(packed)
    assert undone("gzip", commented(packed, missing)) == text
    with pytest.raises(BodyTooLarge, match="times its size"):
        undone("gzip", commented(packed, missing - 1))


def commented(member, size):
    """A gzip member with a comment, which weighs and inflates to nothing."""
    return member[:3] + b"\x10" + member[4:10] + b"c" * (size - 1) + b"\0" + member[10:]


@pytest.mark.parametrize("coding", PACK)
def test_the_gauge_holds_first(coding):
    """A body that inflates beyond the limit is told so."""
    body = PACK[coding](bytes(1001))
    with pytest.raises(BodyTooLarge, match="more than 1000 bytes"):
        undone(coding, body, most=1000)


def wide(log):
    """A frame for which a reader has to remember 2**log bytes, should it refer to them."""
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: log})
    return packer.compress(bytes(1000), zstd.ZstdCompressor.FLUSH_BLOCK) + packer.flush()


def test_a_window_as_wide_as_http_allows():
    """8 MiB, and no more."""
    assert undone("zstd", wide(23)) == bytes(1000)


GOOD = zstd.compress(b"hello" * 100)


@pytest.mark.parametrize(
    "body",
    [
        GOOD[:-1],
        GOOD[:3],
        GOOD + b"x",
        GOOD + GOOD,
        b"hello",
        GOOD[:-4] + b"\xff\xff\xff\xff" + GOOD[-4:],
        wide(24),
    ],
    ids=["cut", "head", "more", "twice", "plain", "broken", "window"],
)
@pytest.mark.parametrize("size", [None, 1])
def test_what_is_no_zstd(body, size):
    """One frame, whole, with nothing behind it, and no larger a window than HTTP allows."""
    with pytest.raises(BadEncoding):
        undone("zstd", body, size=size)


@pytest.mark.skipif("zstd" not in ENCODINGS, reason="the extra zstd is not installed")
@pytest.mark.parametrize("size", [1, 100])
def test_a_zstd_frame_is_as_long_as_it_says(size):
    """However it is cut: one that tells of two bytes, and has none."""
    frame = bytes.fromhex("28b52ffd2002010000")
    body = inflater("zstd", BodyGauge(100, what="request"))
    with pytest.raises(BadEncoding):  # noqa: PT012  (in which piece is the library's affair)
        for start in range(0, len(frame), size):
            body.feed(frame[start : start + size])
        body.finish()
