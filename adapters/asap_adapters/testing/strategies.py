"""Hypothesis strategies for every noun: valid values, and plain JSON values that nearly are.

    from asap_adapters.testing import strategies as asap

    @given(asap.envelopes())
    def test_my_agent(envelope): ...

Everything made here survives the wire: texts hold no lone surrogates, integers fit 64 bits, floats are finite.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from datetime import UTC, timedelta, timezone
from typing import Any, TypeVar, cast

from hypothesis import strategies as st

from asap_proto.limits import TASK_DEPTH
from asap_proto.model import (
    PAYLOADS,
    SPELLINGS,
    Agent,
    Artifact,
    ArtifactNotify,
    AuthScheme,
    Capabilities,
    Conversation,
    DataPart,
    Endpoints,
    Envelope,
    FilePart,
    Manifest,
    McpResourceData,
    McpResourceFetch,
    McpToolCall,
    McpToolResult,
    Message,
    MessageRole,
    MessageSend,
    Payload,
    ResourcePart,
    Skill,
    StateQuery,
    StateRestore,
    StateSnapshot,
    Task,
    TaskCancel,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    TemplatePart,
    TextPart,
    UpdateType,
)

__all__ = [
    "NOUNS",
    "envelopes",
    "json_objects",
    "json_values",
    "near_misses",
    "nouns",
    "payloads",
    "stamps",
    "texts",
    "urns",
]

N = TypeVar("N")
Strategy = st.SearchStrategy


def texts(*, least: int = 0, most: int = 20) -> Strategy[str]:
    """Text that UTF-8 can hold."""
    return st.text(st.characters(codec="utf-8"), min_size=least, max_size=most)


def urns() -> Strategy[str]:
    """Agent URNs, with and without a second part."""
    return st.from_regex(r"urn:asap:agent:[a-z0-9-]{1,20}(:[a-z0-9-]{1,20})?", fullmatch=True)


def stamps() -> Strategy[Any]:
    """Aware times, in UTC and with whole-minute offsets."""
    zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
    return st.datetimes(timezones=st.just(UTC) | zones)


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


def json_objects() -> Strategy[dict[str, Any]]:
    """Any JSON object."""
    return st.dictionaries(texts(most=8), json_values(), max_size=3)


def _maybe(strategy: Strategy[N]) -> Strategy[N | None]:
    return st.none() | strategy


def _some(strategy: Strategy[N], *, least: int = 0) -> Strategy[tuple[N, ...]]:
    return st.lists(strategy, min_size=least, max_size=3).map(tuple)


_id = texts()
_objects = json_objects()
_statuses = st.sampled_from(TaskStatus)
_percents = st.integers(0, 100) | st.floats(0, 100)
_progress = json_objects().map(lambda made: {k: v for k, v in made.items() if k != "percent"}) | st.builds(
    lambda made, percent: {**made, "percent": percent}, json_objects(), _percents
)
_results = st.builds(McpToolResult, _id, st.just(True), result=_objects) | st.builds(
    McpToolResult, _id, st.just(False), error=_id
)
_versions = st.sampled_from(("1", "v1.2.3", "1.0rc1", " 1.0 ", "1.0.0-beta", "1.2.3+build", "2!1.0.post1.dev2"))
_schemes = st.sampled_from(("bearer", "basic", "Bearer"))
_uris = st.from_regex(r"(https://[a-z]{1,8}\.example|asap://[a-z]{1,8})(/[a-z0-9_-]{0,8}){0,3}", fullmatch=True)
_mimes = st.from_regex(r"[a-z0-9-]{1,8}/[a-zA-Z0-9.+-]{1,8}", fullmatch=True)
_base64 = st.binary(max_size=20).map(lambda raw: base64.b64encode(raw).decode())
_skills = st.builds(Skill, _id, _id, _maybe(_objects), _maybe(_objects))
_capabilities = st.builds(Capabilities, _id, _some(_skills), st.booleans(), st.booleans(), _some(_id))
_endpoints = st.builds(Endpoints, _id, _maybe(_id))
_auth = st.builds(AuthScheme, _some(_schemes), _maybe(_objects))

_PLAIN: Mapping[type[Any], Strategy[Any]] = {
    TaskRequest: st.builds(TaskRequest, _id, _id, _objects, _maybe(_id), _maybe(_objects)),
    TaskResponse: st.builds(TaskResponse, _id, _statuses, _maybe(_objects), _maybe(_objects), _maybe(_objects)),
    TaskUpdate: st.builds(TaskUpdate, _id, st.sampled_from(UpdateType), _statuses, _maybe(_progress), _maybe(_objects)),
    TaskCancel: st.builds(TaskCancel, _id, _maybe(_id)),
    MessageSend: st.builds(MessageSend, _id, _id, _id, st.sampled_from(MessageRole), _some(_id)),
    StateQuery: st.builds(StateQuery, _id, _maybe(st.integers(-(2**63), 2**64 - 1))),
    StateRestore: st.builds(StateRestore, _id, _id),
    ArtifactNotify: st.builds(ArtifactNotify, _id, _id, _maybe(_id)),
    McpToolCall: st.builds(McpToolCall, _id, _id, _objects, _maybe(_objects)),
    McpToolResult: _results,
    McpResourceFetch: st.builds(McpResourceFetch, _id),
    McpResourceData: st.builds(McpResourceData, _id, _objects),
    TextPart: st.builds(TextPart, _id),
    DataPart: st.builds(DataPart, _objects, _maybe(_id)),
    FilePart: st.builds(FilePart, _uris, _mimes, _maybe(_base64)),
    ResourcePart: st.builds(ResourcePart, _id),
    TemplatePart: st.builds(TemplatePart, _id, _objects),
    Skill: _skills,
    Capabilities: _capabilities,
    Endpoints: _endpoints,
    AuthScheme: _auth,
    Manifest: st.builds(Manifest, urns(), _id, _versions, _id, _capabilities, _endpoints, _maybe(_auth), _maybe(_id)),
    Agent: st.builds(Agent, urns(), _id, _some(_id, least=1)),
    Conversation: st.builds(Conversation, _id, _some(_id, least=1), stamps(), _maybe(_objects)),
    Task: st.builds(
        Task, _id, _id, _statuses, stamps(), stamps(), _maybe(_id), st.integers(0, TASK_DEPTH), _maybe(_objects)
    ),
    Message: st.builds(Message, _id, _id, _id, st.sampled_from(MessageRole), _some(_id), stamps()),
    Artifact: st.builds(Artifact, _id, _id, _id, _some(_id), stamps()),
    StateSnapshot: st.builds(StateSnapshot, _id, _id, st.integers(1, 2**64 - 1), _objects, stamps(), st.booleans()),
}


def payloads() -> Strategy[Payload]:
    """Any of the twelve payloads."""
    return st.one_of(*(_PLAIN[kind] for kind in PAYLOADS.values()))


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    """An envelope with any payload, under any of its names, or with one of an unknown type."""
    known = draw(st.booleans())
    if known:
        payload: Any = draw(payloads())
        name = draw(st.sampled_from([name for name, kind in SPELLINGS.items() if kind is type(payload)]))
    else:
        payload = draw(json_objects())
        name = draw(texts().filter(lambda text: text not in SPELLINGS))
    return Envelope(
        id=draw(_maybe(_id)),
        asap_version=draw(_id),
        timestamp=draw(_maybe(stamps())),
        sender=draw(urns()),
        recipient=draw(urns()),
        payload_type=name,
        payload=payload,
        correlation_id=draw(texts(least=1)),
        trace_id=draw(_maybe(_id)),
        extensions=draw(_maybe(_objects)),
    )


#: A strategy for each noun.
NOUNS: Mapping[type[Any], Strategy[Any]] = {**_PLAIN, Envelope: envelopes()}


def nouns(kind: type[N]) -> Strategy[N]:
    """Valid nouns of one kind."""
    return cast("Strategy[N]", NOUNS[kind])


@st.composite
def near_misses(draw: st.DrawFn, plain: Strategy[dict[str, Any]]) -> Any:
    """JSON objects from `plain` with a few fields dropped, renamed, retyped, added or copied elsewhere."""
    value = copy.deepcopy(draw(plain))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(_objects_in(value))))
        _disturb(draw, place)
    return value


def _objects_in(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        found += _objects_in(item)
    return found


def _disturb(draw: st.DrawFn, place: dict[str, Any]) -> None:
    how = draw(st.sampled_from(("drop", "rename", "retype", "add", "copy", "null", "stretch")))
    if not place or how == "add":
        place[draw(texts(most=8))] = draw(json_values())
        return
    key = draw(st.sampled_from(list(place)))
    if how == "drop":
        del place[key]
    elif how == "rename":
        place[key + draw(st.sampled_from(("", "x", "\n", " ")))] = place.pop(key)
    elif how == "retype":
        place[key] = draw(json_values())
    elif how == "copy":
        place[key] = copy.deepcopy(place[draw(st.sampled_from(list(place)))])
    elif how == "null":
        place[key] = None
    else:
        place[key] = f"{place[key]}\n" if isinstance(place[key], str) else [place[key]]
