"""Envelopes, manifests and frames that only one side takes: a row for each rule that makes the difference.

A row names the releases, what was sent, and a shell pattern for the fault: path and type, as whoever refuses tells it,
and what a rule says that a release has of its own.
The tests fail for a refusal without a row, and for a row that excuses nothing.
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

ALL = ("0.1.0", "0.3.0", "0.5.0", "1.0.0", "newest")
BEFORE_1 = ALL[:3]
BEFORE_2 = ALL[:4]


class Row(NamedTuple):
    """What these releases and we see differently in one kind of document, and by which rule."""

    releases: tuple[str, ...]
    name: str
    fault: str
    reason: str


def rows(table: Iterable[Row], release: str, name: str) -> set[Row]:
    """What is excused between us and a release in documents of one name."""
    return {row for row in table if row.name == name and release in row.releases}


def among(rows: set[Row], faults: Iterable[str]) -> set[Row] | None:
    """Those rows that excuse these faults; nothing where one has none."""
    found = [next((row for row in rows if fnmatchcase(fault, row.fault)), None) for fault in faults]
    return None if None in found else {row for row in found if row}


_URN = "releases before 1.0 take any text there, later ones a URN that ends in a newline; a name is a URN, as in 1.0"
_LONG = "an id is held in memory and echoed: 4,096 characters are enough"
_TOGETHER = "a payload of a known type is looked at with its envelope, as since 1.4; before, its handler does that"

#: What releases take, and we do not.
SENT_BY_THEM = (
    Row(ALL, "Envelope", "$.sender urn", _URN),
    Row(ALL, "Envelope", "$.recipient urn", _URN),
    Row(ALL, "Envelope", "$.id too_long", _LONG),
    Row(ALL, "Envelope", "$.correlation_id too_long", _LONG),
    Row(ALL, "Envelope", "$.trace_id too_long", _LONG),
    Row(BEFORE_2, "Envelope", "$.payload.input missing", _TOGETHER),
    Row(BEFORE_2, "Envelope", "$.payload.progress.percent out_of_range", _TOGETHER),
    Row(("newest",), "Envelope", "$.payload.progress.percent out_of_range", "true is no number"),
    Row(ALL, "Manifest", "$.id urn", "a URN does not end in a newline"),
    Row(
        ("0.1.0", "0.3.0"),
        "Manifest",
        "$.auth.schemes auth_scheme",
        "since 0.5 a manifest names bearer and basic alone; a client can use no other",
    ),
)

_FREE = "free in the protocol of 1.0, so what an application puts there is handed on"

#: What we send, and releases do not take.
SENT_BY_US = (
    Row(
        ("newest",),
        "Envelope",
        "$ value_error * must have correlation_id *",
        "2.x wants a correlation id for every spelling of an answer; the answers of our agents have one",
    ),
    Row(("newest",), "Envelope", "$.config.* extra_forbidden", f"a closed object since 1.4; {_FREE}"),
    Row(("newest",), "Envelope", "$.metrics.duration_ms int_parsing", f"some names have a type since 1.4; {_FREE}"),
)
