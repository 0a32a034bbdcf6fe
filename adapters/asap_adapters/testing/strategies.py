"""Hypothesis strategies for every noun of the protocol, for what carries them, and for JSON that nearly is one.

A property of an agent looks so::

    from asap_adapters.testing import strategies as asap

    @given(asap.envelopes(payload=asap.task_requests(skill_id="count")))
    def test_my_agent(envelope): ...

There is one for each noun, called as the noun is, in the plural. It takes the noun's fields by name, each as a value or
as a strategy; those not given are drawn. Everything that is drawn survives the wire: texts hold no lone surrogates,
integers fit 64 bits, floats are finite, ids are as long as they may be, and free objects nest as deep as a request has
room for. What `asap_adapters.testing.misses` draws is one step from that, on the other side.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import attrs
from hypothesis import strategies as st

from asap_proto.errors import CATALOGUE, AsapError, Fault
from asap_proto.http import HttpRequest, HttpResponse, RequestHead
from asap_proto.limits import ID_LENGTH, KEY_LENGTH, TASK_DEPTH, URN_LENGTH, Limits
from asap_proto.model import (
    PARTS,
    PAYLOADS,
    SPELLINGS,
    Agent,
    AgentUrn,
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
    Part,
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
    make_ulid,
)
from asap_proto.model._value import ID, Value
from asap_proto.wire.json import dump, load
from asap_proto.wire.jsonrpc import METHOD, error_member
from asap_proto.wire.nouns import encode
from asap_proto.wire.shapes import once

__all__ = [
    "NOUNS",
    "agents",
    "artifact_notifies",
    "artifacts",
    "auth_schemes",
    "capabilities",
    "conversations",
    "data_parts",
    "disturbed",
    "endpoints",
    "envelopes",
    "errors",
    "file_parts",
    "headers",
    "http_requests",
    "http_responses",
    "ids",
    "json_objects",
    "json_values",
    "manifests",
    "mcp_resource_datas",
    "mcp_resource_fetches",
    "mcp_tool_calls",
    "mcp_tool_results",
    "message_roles",
    "message_sends",
    "messages",
    "nouns",
    "parts",
    "payloads",
    "plain",
    "request_heads",
    "resource_parts",
    "rpc_answers",
    "rpc_batches",
    "rpc_errors",
    "rpc_ids",
    "rpc_notifications",
    "rpc_requests",
    "skills",
    "stamp_texts",
    "stamps",
    "state_queries",
    "state_restores",
    "state_snapshots",
    "task_cancels",
    "task_requests",
    "task_responses",
    "task_statuses",
    "task_updates",
    "tasks",
    "template_parts",
    "text_parts",
    "texts",
    "ulids",
    "update_types",
    "urns",
]

N = TypeVar("N")
Strategy = st.SearchStrategy

#: Levels that stand around a free object, at most: a batch, a request, its params, the envelope and its payload.
_LEVELS_AROUND = 5
_DEEPEST = Limits().json_depth - _LEVELS_AROUND

# -- values ----------------------------------------------------------------------------------------------------------


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


# -- nouns -----------------------------------------------------------------------------------------------------------


_objects = json_objects()
_versions = st.sampled_from(("1", "v1.2.3", "1.0rc1", " 1.0 ", "1.0.0-beta", "1.2.3+build", "2!1.0.post1.dev2"))
_uris = st.from_regex(r"(https://[a-z]{1,8}\.example|asap://[a-z]{1,8})(/[a-z0-9_-]{0,8}){0,3}", fullmatch=True)
_mimes = st.from_regex(r"[a-z0-9-]{1,8}/[a-zA-Z0-9.+-]{1,8}", fullmatch=True)
_base64 = st.binary(max_size=20).map(lambda raw: base64.b64encode(raw).decode())
_free = _objects.map(lambda made: {key: value for key, value in made.items() if key != "percent"})
_progress = _free | st.builds(
    lambda made, percent: {**made, "percent": percent}, _free, st.integers(0, 100) | st.floats(0, 100)
)
_some_texts = st.lists(texts(), min_size=1, max_size=3).map(tuple)

#: Fields by their type.
_PLAIN: Mapping[Any, Strategy[Any]] = {
    str: texts(),
    bool: st.booleans(),
    int: st.integers(-(2**63), 2**64 - 1),
    datetime: stamps(),
    TaskStatus: task_statuses(),
    MessageRole: message_roles(),
    UpdateType: update_types(),
}

#: Fields that have a rule besides.
_OWN: Mapping[type[Any], Mapping[str, Strategy[Any]]] = {
    TaskUpdate: {"progress": st.none() | _progress},
    FilePart: {"uri": _uris, "mime_type": _mimes, "inline_data": st.none() | _base64},
    AuthScheme: {"schemes": st.lists(st.sampled_from(("bearer", "basic", "Bearer")), max_size=3).map(tuple)},
    Manifest: {"id": urns(), "version": _versions},
    Agent: {"id": urns(), "capabilities": _some_texts},
    Conversation: {"participants": _some_texts},
    Task: {"depth": st.integers(0, TASK_DEPTH)},
    StateSnapshot: {"version": st.integers(1, 2**64 - 1)},
    Envelope: {"sender": urns(), "recipient": urns(), "payload": _objects},
}


@once
def _fields(kind: type[Any]) -> Mapping[str, Strategy[Any]]:
    """How each field of a noun is drawn where nothing else is said: by its type, but for those with a rule."""
    hints, own = get_type_hints(kind), _OWN.get(kind, {})
    return {
        field.name: own[field.name] if field.name in own else _of_type(hints[field.name], field.validator is ID)
        for field in attrs.fields(kind)
    }


def _of_type(hint: Any, is_id: bool = False) -> Strategy[Any]:
    inner = get_args(hint)
    if NoneType in inner:
        [solid] = (each for each in inner if each is not NoneType)
        return st.none() | _of_type(solid, is_id)
    if get_origin(hint) is tuple:
        return st.lists(_of_type(inner[0]), max_size=3).map(tuple)
    if get_origin(hint) is dict:
        return _objects
    if hint in NOUNS:
        return nouns(hint)
    return ids() if is_id else _PLAIN[hint]


def _drawn(given: Any) -> Strategy[Any]:
    return given if isinstance(given, st.SearchStrategy) else st.just(given)


def _built(kind: type[N], given: Mapping[str, Any]) -> Strategy[N]:
    """Nouns of this kind with these fields; raises `TypeError` for a name that is none."""
    _check(kind, given)
    return st.builds(kind, **{name: _drawn(given.get(name, drawn)) for name, drawn in _fields(kind).items()})


def _check(kind: type[Any], given: Mapping[str, Any]) -> None:
    if strange := sorted(given.keys() - attrs.fields_dict(kind).keys()):
        raise TypeError(f"{kind.__name__} has no field {strange[0]!r}; it has {', '.join(attrs.fields_dict(kind))}")


def task_requests(**fields: Any) -> Strategy[TaskRequest]:
    """Requests for work."""
    return _built(TaskRequest, fields)


def task_responses(**fields: Any) -> Strategy[TaskResponse]:
    """What came of work."""
    return _built(TaskResponse, fields)


def task_updates(**fields: Any) -> Strategy[TaskUpdate]:
    """How far work has come, with and without a percentage."""
    return _built(TaskUpdate, fields)


def task_cancels(**fields: Any) -> Strategy[TaskCancel]:
    """Words to stop."""
    return _built(TaskCancel, fields)


def message_sends(**fields: Any) -> Strategy[MessageSend]:
    """What is said within a task."""
    return _built(MessageSend, fields)


def state_queries(**fields: Any) -> Strategy[StateQuery]:
    """Questions for what a task knew."""
    return _built(StateQuery, fields)


def state_restores(**fields: Any) -> Strategy[StateRestore]:
    """Words to go on from a snapshot."""
    return _built(StateRestore, fields)


def artifact_notifies(**fields: Any) -> Strategy[ArtifactNotify]:
    """News of something made."""
    return _built(ArtifactNotify, fields)


def mcp_tool_calls(**fields: Any) -> Strategy[McpToolCall]:
    """Calls of MCP tools."""
    return _built(McpToolCall, fields)


def mcp_tool_results(**fields: Any) -> Strategy[McpToolResult]:
    """What tools answered; either a result or an error, as `success` says or as the one that is given."""
    _check(McpToolResult, fields)
    return _tool_results(fields)


@st.composite
def _tool_results(draw: st.DrawFn, given: Mapping[str, Any]) -> McpToolResult:
    drawn = {name: draw(_drawn(value)) for name, value in given.items()}
    if "success" not in drawn:
        if "result" in drawn:
            drawn["success"] = drawn["result"] is not None
        else:
            drawn["success"] = drawn["error"] is None if "error" in drawn else draw(st.booleans())
    drawn.setdefault("request_id", draw(ids()))
    drawn.setdefault("result", draw(_objects) if drawn["success"] else None)
    drawn.setdefault("error", None if drawn["success"] else draw(texts()))
    return McpToolResult(**drawn)


def mcp_resource_fetches(**fields: Any) -> Strategy[McpResourceFetch]:
    """Questions for MCP resources."""
    return _built(McpResourceFetch, fields)


def mcp_resource_datas(**fields: Any) -> Strategy[McpResourceData]:
    """MCP resources."""
    return _built(McpResourceData, fields)


def text_parts(**fields: Any) -> Strategy[TextPart]:
    """Words."""
    return _built(TextPart, fields)


def data_parts(**fields: Any) -> Strategy[DataPart]:
    """JSON objects as parts."""
    return _built(DataPart, fields)


def file_parts(**fields: Any) -> Strategy[FilePart]:
    """Files: where they are, or what they hold, in base64 or in a data URI that says the same."""
    built = _built(FilePart, fields)
    return built if fields else built | st.builds(_data_part, _mimes, st.binary(max_size=20), st.booleans())


def _data_part(mime_type: str, held: bytes, twice: bool) -> FilePart:
    text = base64.b64encode(held).decode()
    return FilePart(f"data:{mime_type};base64,{text}", mime_type, text if twice else None)


def resource_parts(**fields: Any) -> Strategy[ResourcePart]:
    """What is to be fetched through MCP."""
    return _built(ResourcePart, fields)


def template_parts(**fields: Any) -> Strategy[TemplatePart]:
    """Texts with gaps."""
    return _built(TemplatePart, fields)


def skills(**fields: Any) -> Strategy[Skill]:
    """What an agent can do."""
    return _built(Skill, fields)


def capabilities(**fields: Any) -> Strategy[Capabilities]:
    """All an agent can do."""
    return _built(Capabilities, fields)


def endpoints(**fields: Any) -> Strategy[Endpoints]:
    """Where an agent listens."""
    return _built(Endpoints, fields)


def auth_schemes(**fields: Any) -> Strategy[AuthScheme]:
    """How callers say who they are."""
    return _built(AuthScheme, fields)


def manifests(**fields: Any) -> Strategy[Manifest]:
    """What agents publish; `capabilities` and the like may be narrowed in turn."""
    return _built(Manifest, fields)


def agents(**fields: Any) -> Strategy[Agent]:
    """Agents as others know them."""
    return _built(Agent, fields)


def conversations(**fields: Any) -> Strategy[Conversation]:
    """Whose tasks belong together."""
    return _built(Conversation, fields)


def tasks(**fields: Any) -> Strategy[Task]:
    """Tasks, wherever they stand."""
    return _built(Task, fields)


def messages(**fields: Any) -> Strategy[Message]:
    """What was said."""
    return _built(Message, fields)


def artifacts(**fields: Any) -> Strategy[Artifact]:
    """What was made."""
    return _built(Artifact, fields)


def state_snapshots(**fields: Any) -> Strategy[StateSnapshot]:
    """What tasks knew."""
    return _built(StateSnapshot, fields)


def envelopes(**fields: Any) -> Strategy[Envelope]:
    """Envelopes with any payload, under any of its names; where none is given, some have one of an unknown type.

    `payload` may be a strategy for one kind, such as `task_requests()`, or for objects of a type that nobody knows.
    """
    _check(Envelope, fields)
    return _envelopes(fields)


_unknown = texts().filter(lambda text: text not in SPELLINGS)
_names = {kind: [name for name, other in SPELLINGS.items() if other is kind] for kind in PAYLOADS.values()}


#: What answers something has to say what, in the spelling of the classes.
_ANSWERS = frozenset({"TaskResponse", "McpToolResult", "McpResourceData"})


@st.composite
def _envelopes(draw: st.DrawFn, given: Mapping[str, Any]) -> Envelope:
    drawn = {name: draw(_drawn(value)) for name, value in given.items()}
    if "payload" not in drawn:
        known = SPELLINGS.get(drawn["payload_type"]) if "payload_type" in drawn else draw(_known)
        drawn["payload"] = draw(_objects if known is None else nouns(known))
    if "payload_type" not in drawn:
        names = _names.get(type(drawn["payload"]))
        drawn["payload_type"] = draw(_unknown if names is None else st.sampled_from(names))
    if drawn["payload_type"] in _ANSWERS and "correlation_id" not in drawn:
        drawn["correlation_id"] = draw(ids(least=1))
    for name, strategy in _fields(Envelope).items():
        if name not in drawn:
            drawn[name] = draw(strategy)
    return Envelope(**drawn)


_known: Strategy[type[Payload] | None] = st.sampled_from([*PAYLOADS.values(), None])


#: The strategies of the nouns, each by its class.
NOUNS: Mapping[type[Any], Callable[..., Strategy[Any]]] = {
    TaskRequest: task_requests,
    TaskResponse: task_responses,
    TaskUpdate: task_updates,
    TaskCancel: task_cancels,
    MessageSend: message_sends,
    StateQuery: state_queries,
    StateRestore: state_restores,
    ArtifactNotify: artifact_notifies,
    McpToolCall: mcp_tool_calls,
    McpToolResult: mcp_tool_results,
    McpResourceFetch: mcp_resource_fetches,
    McpResourceData: mcp_resource_datas,
    TextPart: text_parts,
    DataPart: data_parts,
    FilePart: file_parts,
    ResourcePart: resource_parts,
    TemplatePart: template_parts,
    Skill: skills,
    Capabilities: capabilities,
    Endpoints: endpoints,
    AuthScheme: auth_schemes,
    Manifest: manifests,
    Agent: agents,
    Conversation: conversations,
    Task: tasks,
    Message: messages,
    Artifact: artifacts,
    StateSnapshot: state_snapshots,
    Envelope: envelopes,
}


def nouns(kind: type[N], **fields: Any) -> Strategy[N]:
    """Nouns of one kind, which may be known only when it runs."""
    return cast("Strategy[N]", NOUNS[kind](**fields))


def payloads() -> Strategy[Payload]:
    """Any of the twelve payloads."""
    return st.one_of(*map(nouns, PAYLOADS.values()))


def parts() -> Strategy[Part]:
    """Any of the five parts."""
    return st.one_of(*map(nouns, PARTS))


def plain(drawn: Strategy[Value]) -> Strategy[dict[str, Any]]:
    """Nouns as the plain JSON objects that arrive of them."""
    return drawn.map(lambda noun: load(dump(encode(noun)), depth=Limits().json_depth))


# -- JSON-RPC --------------------------------------------------------------------------------------------------------


def rpc_ids() -> Strategy[str | int]:
    """Ids of requests: texts, and integers of 64 bits."""
    return ids() | st.integers(-(2**63), 2**64 - 1)


def rpc_requests(*, envelope: Any = None, id: Any = None, key: Any = None) -> Strategy[dict[str, Any]]:
    """Requests as the JSON objects that arrive; each argument is a value or a strategy.

    `envelope` is of nouns, `id` one of a request, `key` an idempotency key, which some requests have if none is given.
    """
    parameters: dict[str, Any] = {"envelope": plain(envelopes() if envelope is None else _drawn(envelope))}
    keys: dict[str, Any] = {"idempotency_key": ids(least=1, most=KEY_LENGTH) if key is None else _drawn(key)}
    params = (
        st.fixed_dictionaries(parameters, optional=keys) if key is None else st.fixed_dictionaries(parameters | keys)
    )
    return st.fixed_dictionaries(
        {
            "jsonrpc": st.just("2.0"),
            "method": st.just(METHOD),
            "params": params,
            "id": rpc_ids() if id is None else _drawn(id),
        }
    )


def rpc_notifications(**given: Any) -> Strategy[dict[str, Any]]:
    """Requests that want no answer, and so have no id; narrowed as `rpc_requests` are."""
    return rpc_requests(**given).map(lambda frame: {name: item for name, item in frame.items() if name != "id"})


def rpc_batches(frames: Strategy[Any] | None = None, *, least: int = 1, most: int = 4) -> Strategy[list[Any]]:
    """Arrays of requests and notifications, or of what `frames` draws; each request has an id of its own."""
    if frames is not None:
        return st.lists(frames, min_size=least, max_size=most)
    mixed = st.lists(st.tuples(rpc_requests(), st.booleans()), min_size=least, max_size=most)
    return mixed.map(
        lambda drawn: [
            {**frame, "id": number} if wants else {name: frame[name] for name in ("jsonrpc", "method", "params")}
            for number, (frame, wants) in enumerate(drawn)
        ]
    )


def rpc_answers(*, envelope: Any = None, id: Any = None) -> Strategy[dict[str, Any]]:
    """Answers with a result; `envelope` and `id` as for `rpc_requests`."""
    result = st.fixed_dictionaries({"envelope": plain(envelopes() if envelope is None else _drawn(envelope))})
    return st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0"), "result": result, "id": rpc_ids() if id is None else _drawn(id)}
    )


def rpc_errors(*, error: Any = None, id: Any = None) -> Strategy[dict[str, Any]]:
    """Answers with an error, as this library writes them; `error` is of those that `errors` draws."""
    members = (errors() if error is None else _drawn(error)).map(lambda one: load(dump(error_member(one)), depth=9))
    return st.fixed_dictionaries(
        {"jsonrpc": st.just("2.0"), "error": members, "id": rpc_ids() if id is None else _drawn(id)}
    )


def errors() -> Strategy[AsapError]:
    """Errors of every row of the catalogue, with and without faults."""
    paths = st.sampled_from(["$", "$.sender", "$.payload.parts[0]", "$['a b']"])
    faults = st.lists(st.builds(Fault, paths, st.sampled_from(["missing", "urn"]), texts()), max_size=3)
    return st.builds(
        lambda row, message, found: row(message, faults=found),
        st.sampled_from([CATALOGUE[code] for code in sorted(CATALOGUE)]),
        texts(),
        faults,
    )


# -- HTTP ------------------------------------------------------------------------------------------------------------

_tokens = st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True)
_values = st.from_regex(r"([!-~]([ -~]{0,18}[!-~])?)?", fullmatch=True)
_paths = st.from_regex(r"(/[a-zA-Z0-9._~-]{0,8}){1,3}", fullmatch=True)
_methods = st.sampled_from(("GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE"))
_bodies = st.binary(max_size=64) | json_values().map(dump)


def headers() -> Strategy[dict[str, str]]:
    """Headers as roles are given them: names in lower case, values of visible characters and blanks between."""
    return st.dictionaries(_tokens, _values, max_size=4)


def request_heads(**fields: Any) -> Strategy[RequestHead]:
    """Requests whose body was not read yet; fields as for a noun."""
    drawn = {"method": _methods, "path": _paths, "headers": headers(), "peer": st.ip_addresses().map(str)}
    return _value(RequestHead, drawn, fields)


def http_requests(**fields: Any) -> Strategy[HttpRequest]:
    """Requests to be sent; fields as for a noun."""
    return _value(HttpRequest, {"method": _methods, "target": _paths, "headers": headers(), "body": _bodies}, fields)


def http_responses(**fields: Any) -> Strategy[HttpResponse]:
    """Answers, whole, of any status but an interim one; fields as for a noun."""
    return _value(HttpResponse, {"status": st.integers(200, 599), "headers": headers(), "body": _bodies}, fields)


def _value(kind: type[N], drawn: dict[str, Strategy[Any]], given: Mapping[str, Any]) -> Strategy[N]:
    _check(kind, given)
    return st.builds(kind, **(drawn | {name: _drawn(one) for name, one in given.items()}))


# -- nearly right ----------------------------------------------------------------------------------------------------


@st.composite
def disturbed(draw: st.DrawFn, plain: Strategy[dict[str, Any]]) -> Any:
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
