"""A strategy for each noun, narrowed by its fields."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import datetime
from types import NoneType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

import attrs
from hypothesis import strategies as st

from asap_proto.limits import TASK_DEPTH, Limits
from asap_proto.model import (
    PARTS,
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
)
from asap_proto.model._value import ID, Value
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import encode
from asap_proto.wire.shapes import once

from ._values import (
    Strategy,
    as_strategy,
    check_names,
    ids,
    json_objects,
    message_roles,
    stamps,
    task_statuses,
    texts,
    update_types,
    urns,
)

N = TypeVar("N")

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


def _built(kind: type[N], given: Mapping[str, Any]) -> Strategy[N]:
    """Nouns of this kind with these fields; raises `TypeError` for a name that is none."""
    check_names(kind, given)
    return st.builds(kind, **{name: as_strategy(given.get(name, drawn)) for name, drawn in _fields(kind).items()})


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
    check_names(McpToolResult, fields)
    return _tool_results(fields)


@st.composite
def _tool_results(draw: st.DrawFn, given: Mapping[str, Any]) -> McpToolResult:
    drawn = {name: draw(as_strategy(value)) for name, value in given.items()}
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
    check_names(Envelope, fields)
    return _envelopes(fields)


_unknown = texts().filter(lambda text: text not in SPELLINGS)
_names = {kind: [name for name, other in SPELLINGS.items() if other is kind] for kind in PAYLOADS.values()}


#: What answers something has to say what, in the spelling of the classes.
_ANSWERS = frozenset({"TaskResponse", "McpToolResult", "McpResourceData"})


@st.composite
def _envelopes(draw: st.DrawFn, given: Mapping[str, Any]) -> Envelope:
    drawn = {name: draw(as_strategy(value)) for name, value in given.items()}
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
