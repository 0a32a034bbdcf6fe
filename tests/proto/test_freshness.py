"""Whether an envelope was made just now, and its nonce."""

from datetime import datetime, timedelta, timezone

import pytest

from asap_proto.errors import InvalidNonce, InvalidTimestamp
from asap_proto.limits import Limits
from asap_proto.rules.freshness import check_fresh, nonce_of
from asap_testkit import NOW

EARLIEST = datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14)))
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone(timedelta(hours=-14)))


@pytest.mark.proves("freshness.window")
@pytest.mark.parametrize("age", [300, 0, -30])
def test_both_ends_of_the_window_pass(age):
    """Exactly 300 seconds old and exactly 30 seconds ahead still pass."""
    check_fresh(NOW - timedelta(seconds=age), now=NOW, limits=Limits())


@pytest.mark.proves("freshness.window")
@pytest.mark.parametrize(
    ("stamp", "fact"),
    [
        (NOW - timedelta(seconds=300, microseconds=1), "age_seconds"),
        (NOW + timedelta(seconds=30, microseconds=1), "future_offset_seconds"),
        (EARLIEST, "age_seconds"),
        (LATEST, "future_offset_seconds"),
    ],
)
def test_beyond_the_window_is_refused(stamp, fact):
    """Older or further ahead is refused, with how far it is off; the ends of the calendar are no trouble."""
    with pytest.raises(InvalidTimestamp) as caught:
        check_fresh(stamp, now=NOW, limits=Limits())
    assert caught.value.path == "$.timestamp"
    assert caught.value.facts[fact] > 0


@pytest.mark.proves("freshness.window")
@pytest.mark.parametrize(
    ("ahead", "facts", "told"),
    [
        (-301, {"age_seconds": 301.0, "max_age_seconds": 300.0}, "301 s ago; at most 300 s"),
        (31, {"future_offset_seconds": 31.0, "max_future_tolerance_seconds": 30.0}, "31 s in the future; at most 30 s"),
    ],
)
def test_a_peer_is_told_by_how_much_its_clock_is_off(ahead, facts, told):
    """By the names that the reference uses, and in words for whoever reads the log."""
    with pytest.raises(InvalidTimestamp) as caught:
        check_fresh(NOW + timedelta(seconds=ahead), now=NOW, limits=Limits())
    assert caught.value.facts == facts
    assert told in caught.value.message


@pytest.mark.proves("nonce.shape")
@pytest.mark.parametrize(
    ("extensions", "nonce"),
    [
        (None, None),
        ({}, None),
        ({"other": 1}, None),
        ({"nonce": "n"}, "n"),
        ({"nonce": " n"}, " n"),
        ({"nonce": "n" * 256}, "n" * 256),
    ],
)
def test_nonces_that_pass(extensions, nonce):
    """A text of 1 to 256 characters, or none at all."""
    assert nonce_of(extensions) == nonce


@pytest.mark.proves("nonce.shape")
@pytest.mark.parametrize("nonce", ["", " ", "\n\t", "n" * 257, None, 1, True, {}, []])
def test_nonces_that_are_refused(nonce):
    """What is there has to be usable; null is no nonce left out."""
    with pytest.raises(InvalidNonce) as caught:
        nonce_of({"nonce": nonce})
    assert caught.value.path == "$.extensions.nonce"
    assert "1 to 256" in caught.value.message
