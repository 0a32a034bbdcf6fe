"""ULIDs."""

from datetime import UTC, datetime, timedelta

import pytest

from asap_proto.errors import InvalidValue
from asap_proto.model import is_ulid, make_ulid, ulid_time
from asap_proto.model.ulid import EPOCH, chance_text, ulid_of
from asap_testkit import NOW

LATE = datetime(9999, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)


def test_known_ulids():
    """As the ULID specification writes them: time first, Crockford's base 32, 26 characters."""
    assert make_ulid(EPOCH, 0) == "0" * 26
    assert make_ulid(EPOCH + timedelta(milliseconds=1), 0) == "0000000001" + "0" * 16
    assert make_ulid(EPOCH, 2**80 - 1) == "0" * 10 + "Z" * 16
    assert make_ulid(EPOCH, 32) == "0" * 24 + "10"


@pytest.mark.parametrize("at", [EPOCH, NOW, LATE])
def test_the_time_is_kept_to_the_millisecond(at):
    """A ULID tells when it was made."""
    text = make_ulid(at, 2**79)
    assert is_ulid(text)
    assert ulid_time(text) == at - timedelta(microseconds=at.microsecond % 1000)


def test_letters_for_who_makes_many():
    """A character for each byte, of which the lower five bits count, takes the place of the chance."""
    letters = chance_text(bytes(range(248, 256)) * 2)
    assert letters == "RSTVWXYZ" * 2
    assert chance_text(bytes(range(256))) == "0123456789ABCDEFGHJKMNPQRSTVWXYZ" * 8
    assert ulid_of(NOW, letters) == make_ulid(NOW, 0)[:10] + letters
    with pytest.raises(InvalidValue):
        ulid_of(EPOCH - timedelta(milliseconds=1), letters)


def test_ulids_sort_by_age():
    """Later ones sort after earlier ones, whatever their chance."""
    assert make_ulid(NOW, 2**80 - 1) < make_ulid(NOW + timedelta(milliseconds=1), 0)


@pytest.mark.parametrize(("at", "chance"), [(EPOCH - timedelta(milliseconds=1), 0), (NOW, -1), (NOW, 2**80)])
def test_what_does_not_fit_is_refused(at, chance):
    """A time before 1970, or chance of more or less than 80 bits, makes no ULID."""
    with pytest.raises(InvalidValue):
        make_ulid(at, chance)


@pytest.mark.parametrize(
    "text", ["", "0" * 25, "0" * 27, "8" + "0" * 25, "0" * 25 + "U", "0" * 25 + "a", "0" * 26 + "\n"]
)
def test_what_is_no_ulid(text):
    """Only the canonical form counts: 26 upper-case characters, the first at most 7."""
    assert not is_ulid(text)
    with pytest.raises(InvalidValue, match="is no ULID"):
        ulid_time(text)


def test_a_ulid_from_beyond_the_calendar():
    """A ULID may name a time that no calendar of ours has."""
    with pytest.raises(InvalidValue, match="9999"):
        ulid_time("7" + "Z" * 25)
