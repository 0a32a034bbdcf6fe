"""How much of a body has come, against how much may."""

import pytest

from asap_proto.errors import BodyInPieces, BodyTooLarge
from asap_proto.limits import BODY_PIECES, PIECE_BYTES
from asap_proto.wire.body import BodyGauge


@pytest.mark.proves("http.body-limit")
def test_exactly_the_limit_passes():
    """One byte more is refused, with the limit and what was measured."""
    gauge = BodyGauge(10, what="request")
    assert gauge.feed(b"x" * 10) == b"x" * 10
    assert gauge.room == 0
    with pytest.raises(BodyTooLarge, match="the request has more than 10 bytes") as caught:
        gauge.feed(b"x")
    assert caught.value.facts == {"limit_bytes": 10}


@pytest.mark.proves("http.body-limit")
@pytest.mark.parametrize("value", [None, "", "10", "0010", "-1", "+11", "1e9", "11 ", "²", "٣٣", "abc"])
def test_content_lengths_that_pass(value):
    """What is no number is not believed here: the bytes themselves are counted."""
    BodyGauge(10).announce(value)


@pytest.mark.proves("http.body-limit")
@pytest.mark.parametrize("value", ["11", "0011", "9" * 20, "9" * 5000])
def test_content_lengths_that_are_too_large(value):
    """A body known to be too large is never read, however long its length is written."""
    with pytest.raises(BodyTooLarge, match=r"^the body has more than 10 bytes"):
        BodyGauge(10).announce(value)


@pytest.mark.proves("http.body-limit")
def test_a_body_in_crumbs():
    """What comes over the wire in too many pieces for its size is refused; in fair ones it is not, however many."""
    gauge = BodyGauge(1_000_000, what="request")
    for _ in range(BODY_PIECES):
        assert gauge.take(b"") == b""
    for _ in range(5 * BODY_PIECES):
        gauge.take(b"x" * PIECE_BYTES)
    gauge = BodyGauge(1_000_000, what="request")
    for _ in range(BODY_PIECES):
        gauge.take(b"")
    with pytest.raises(BodyInPieces, match="the request comes in more than 1000 pieces"):
        gauge.take(b"x")
    with pytest.raises(BodyTooLarge):
        BodyGauge(1).take(b"xx")
