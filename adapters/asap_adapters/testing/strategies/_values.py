"""The plain values that everything is made of: texts, ids, times, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
from hypothesis import strategies as st

from asap_proto.limits import ID_LENGTH, URN_LENGTH, Limits
from asap_proto.model import AgentUrn, MessageRole, TaskStatus, UpdateType, make_ulid

Strategy = st.SearchStrategy

#: Levels that stand around a free object, at most: a batch, a request, its params, the envelope and its payload.
_LEVELS_AROUND = 5
_DEEPEST = Limits().json_depth - _LEVELS_AROUND


def texts(*, least: int = 0, most: int = 20) -> Strategy[str]:
    """Text that UTF-8 can hold."""
    return st.text(st.characters(codec="utf-8"), min_size=least, max_size=most)


def ids(*, least: int = 0, most: int = ID_LENGTH) -> Strategy[str]:
    """Any id: short texts mostly, and some of `most` characters, of one byte each and of four."""
    long = st.sampled_from("x\U0001f642").map(lambda character: character * most)
    short = texts(least=least, most=min(20, most))
    return st.one_of(*[short] * 4, long)


def urns() -> Strategy[AgentUrn]:
    """Agent URNs, with and without a second part; some as long as they may be."""
    usual = st.from_regex(r"urn:asap:agent:[a-z0-9-]{1,20}(:[a-z0-9-]{1,20})?", fullmatch=True)
    longest = st.sampled_from(["urn:asap:agent:", "urn:asap:agent:a:"]).map(lambda text: text.ljust(URN_LENGTH, "-"))
    return (usual | usual | longest).map(AgentUrn)


def ulids() -> Strategy[str]:
    """ULIDs of any millisecond from 1970 to 9999."""
    times = st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  (Hypothesis adds the zone)
    return st.builds(make_ulid, times, st.integers(0, 2**80 - 1))


def stamps() -> Strategy[datetime]:
    """Aware times, in UTC and with whole-minute offsets."""
    zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    return st.datetimes(timezones=st.just(UTC) | zones)


def stamp_texts() -> Strategy[str]:
    """Times as peers write them (RFC 3339): with any offset, and from no fraction of a second to nine digits of one."""
    return st.builds(
        _stamp_text,
        stamps(),
        st.integers(0, 6),
        st.sampled_from(["", "000", "999"]),
        st.sampled_from("Tt"),
    )


def _stamp_text(at: datetime, digits: int, more: str, mark: str) -> str:
    text = at.isoformat(sep=mark, timespec="seconds")
    zone = "Z" if text.endswith("+00:00") else text[19:]
    fraction = f"{at.microsecond:06}"[:digits]
    return f"{text[:19]}{f'.{fraction}{more}' if fraction else ''}{zone}"


def json_values(*, leaves: int = 8) -> Strategy[Any]:
    """Any JSON value, as it arrives: integers of 64 bits, finite floats."""
    scalars = (
        st.none()
        | st.booleans()
        | st.integers(-(2**63), 2**64 - 1)
        | st.floats(allow_nan=False, allow_infinity=False)
        | texts()
    )
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(most=8), inner, max_size=3),
        max_leaves=leaves,
    )


def json_objects(*, deepest: int = _DEEPEST) -> Strategy[dict[str, Any]]:
    """Any JSON object: small ones mostly, and some of `deepest` levels."""
    small = st.dictionaries(texts(most=8), json_values(), max_size=3)
    deep = st.sampled_from(["arrays", "objects"]).map(lambda kind: _nested(kind, deepest))
    return small | small | small | deep


def _nested(kind: str, levels: int) -> dict[str, Any]:
    value: Any = {} if kind == "objects" else []
    for _ in range(levels - 2):
        value = {"": value} if kind == "objects" else [value]
    return {kind: value}


def task_statuses() -> Strategy[TaskStatus]:
    """Where a task may stand."""
    return st.sampled_from(TaskStatus)


def message_roles() -> Strategy[MessageRole]:
    """Who may speak."""
    return st.sampled_from(MessageRole)


def update_types() -> Strategy[UpdateType]:
    """What an update may tell."""
    return st.sampled_from(UpdateType)


def as_strategy(given: Any) -> Strategy[Any]:
    """`given` itself if it is a strategy, else one that draws just that."""
    return given if isinstance(given, st.SearchStrategy) else st.just(given)


def check_names(kind: type[Any], given: Mapping[str, Any]) -> None:
    """Raises `TypeError` for a name that is no field of this class."""
    if strange := sorted(given.keys() - attrs.fields_dict(kind).keys()):
        raise TypeError(f"{kind.__name__} has no field {strange[0]!r}; it has {', '.join(attrs.fields_dict(kind))}")
