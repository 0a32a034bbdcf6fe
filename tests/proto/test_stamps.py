"""Timestamps as peers write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from asap_proto.wire.stamps import read_stamp

UTC = UTC


def at(*parts, zone=UTC):
    return datetime(*parts, tzinfo=zone)


@pytest.mark.proves("envelope.timestamp-forms")
@pytest.mark.parametrize(("value", "stamp"), [
    ("2026-01-02T03:04:05.123456Z", at(2026, 1, 2, 3, 4, 5, 123456)),
    ("2026-01-02T03:04:05Z", at(2026, 1, 2, 3, 4, 5)),
    ("2026-01-02t03:04:05z", at(2026, 1, 2, 3, 4, 5)),
    ("2026-01-02 03:04:05+00:00", at(2026, 1, 2, 3, 4, 5)),
    ("2026-01-02T03:04:05.1Z", at(2026, 1, 2, 3, 4, 5, 100000)),
    ("2026-01-02T03:04:05.123456789Z", at(2026, 1, 2, 3, 4, 5, 123456)),
    ("2026-01-02T03:04", at(2026, 1, 2, 3, 4)),
    ("2026-01-02T03:04:05", at(2026, 1, 2, 3, 4, 5)),
    ("2026-01-02", at(2026, 1, 2)),
    ("2026-01-02T03:04:05+0200", at(2026, 1, 2, 3, 4, 5, zone=timezone(timedelta(hours=2)))),
    ("2026-01-02T03:04:05-02:30", at(2026, 1, 2, 3, 4, 5, zone=timezone(-timedelta(hours=2, minutes=30)))),
    ("2026-01-02T03:04:05\N{MINUS SIGN}02:30", at(2026, 1, 2, 3, 4, 5, zone=timezone(-timedelta(hours=2, minutes=30)))),
    ("2026-01-02T03:04:05,5", at(2026, 1, 2, 3, 4, 5, 500000)),
    (0, at(1970, 1, 1)), (1.5, at(1970, 1, 1, 0, 0, 1, 500000)), (-1, at(1969, 12, 31, 23, 59, 59)),
    ("1767323045", at(2026, 1, 2, 3, 4, 5)), ("1767323045.5", at(2026, 1, 2, 3, 4, 5, 500000)),
    ("1.767323045E9", at(2026, 1, 2, 3, 4, 5)), ("1.767323045e+12", at(2026, 1, 2, 3, 4, 5)),
    (".5e1", at(1970, 1, 1, 0, 0, 5)), ("-15.e-1", at(1969, 12, 31, 23, 59, 58, 500000)),
    (1767323045000, at(2026, 1, 2, 3, 4, 5)), ("1767323045000", at(2026, 1, 2, 3, 4, 5)),
    (20_000_000_000, at(2603, 10, 11, 11, 33, 20)), (20_000_000_001, at(1970, 8, 20, 11, 33, 20, 1000)),
])  # fmt: skip
def test_times_that_are_read(value, stamp):
    """RFC 3339 and its looser kin, naive as UTC; numbers as seconds, or as milliseconds when large."""
    assert read_stamp(value) == stamp
    assert read_stamp(value).utcoffset() == stamp.utcoffset()


@pytest.mark.proves("envelope.timestamp-forms")
@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        [],
        {},
        "",
        "now",
        "2026-01",
        "2026-1-2",
        "2026-13-01",
        "2026-02-30",
        "0000-01-01",
        "20260102T030405Z",
        "2026-01-02T25:00:00Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+25:00",
        "2026-01-02T03:04:05 Z",
        "2026-01-02T",
        "2026-W01-1T03:04:05.12345Z",
        "2026-01-02T03:04:05.12345xZ",
        "2026-01-02T03:04:05.123456Z\n",
        "٢٠٢٦-01-02",
        "2026-01-02T99:04:05.123456Z",
        "1e3",
        "1.5e",
        "1.5e+",
        "1.5e3.2",
        "1.5e400",
        "nan",
        "1" * 21,
        float(2**63),
        1e308,
        -1e308,
        2**64 - 1,
        "99999999999999999999",
    ],
)
def test_what_is_no_time(value):
    """Booleans, loose words, impossible dates, and numbers beyond the calendar."""
    assert read_stamp(value) is None


def test_a_number_is_a_time_in_utc():
    """Whatever zone its reader lives in."""
    assert read_stamp(0).tzinfo is UTC
