"""JSON Schema (draft 2020-12) of every public noun, derived from the same shapes as the decoder.

And of what we read and write in an envelope's ``extensions``, where the protocol leaves room, and of what is answered
without an envelope: errors, and how an agent is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .. import model
from ..limits import ID_LENGTH, NONCE_LENGTH, TASK_DEPTH
from ..model import PARTS, PAYLOADS
from ..model._value import Value
from .shapes import Shape, known_names, shapes, tag_of

__all__ = [
    "BESIDE",
    "ERROR",
    "EXTENSIONS",
    "HEALTH",
    "SCHEMAS",
    "closed",
    "error_schema",
    "extensions_schema",
    "health_schema",
    "schema_of",
]

_HEAD = {"$schema": "https://json-schema.org/draft/2020-12/schema"}

_TYPES: Mapping[str, dict[str, Any]] = {
    "text": {"type": "string"},
    "integer": {"type": "integer"},
    "flag": {"type": "boolean"},
    "stamp": {"type": "string", "format": "date-time"},
    "object": {"type": "object"},
    "sealed": {"type": "object"},
    "texts": {"type": "array", "items": {"type": "string"}},
}

#: Every noun that has a schema, by its name.
SCHEMAS: Mapping[str, type[Value]] = {
    noun.__name__: noun
    for noun in (
        model.Envelope,
        *PAYLOADS.values(),
        *PARTS,
        model.Manifest,
        model.Capabilities,
        model.Skill,
        model.Endpoints,
        model.AuthScheme,
        model.Agent,
        model.Conversation,
        model.Task,
        model.Message,
        model.Artifact,
        model.StateSnapshot,
    )
}

#: What an envelope's extensions may hold, each with what it means and its schema, or the noun that it is.
EXTENSIONS: Mapping[str, tuple[str, dict[str, Any] | type[Value]]] = {
    "nonce": (
        "In any request: a text that is new with each try, and claimed once for each sender.",
        {"type": "string", "maxLength": NONCE_LENGTH, "pattern": r"\S"},
    ),
    "task_depth": (
        "In a task request, and in a restore: how many tasks are above it; nothing stands for 0.",
        {"type": "integer", "minimum": 0, "maximum": TASK_DEPTH},
    ),
    "prefer": (
        "In a task request: to be answered at once, while the task runs (RFC 7240). Anything else is passed over.",
        {"const": "respond-async"},
    ),
    "input": ("In a message: what the task is told, beside the ids of its parts.", {"type": "object"}),
    "parent_task_id": (
        "In news of a subtask (an update, an artifact's notice, a response): the receiver's task that it is a part of.",
        {"type": "string", "maxLength": ID_LENGTH},
    ),
    "task": ("In the reply to a query, a cancel, a message or a restore: the task as it stands.", model.Task),
    "snapshot": (
        "In the reply to a query: the newest, or that of the version asked for. In a restore: another agent's.",
        model.StateSnapshot,
    ),
    "request": ("Beside a snapshot: what its task was asked.", model.TaskRequest),
    "input_request": (
        "In the reply to a query: what the task waits to be told.",
        {"type": "object", "properties": {"question": {"type": "string"}}},
    ),
    "error": (
        "In the reply to a query, and in the last event of a stream: why the task has failed, as its request was told.",
        {
            "type": "object",
            "properties": {
                "code": {"type": "integer"},
                "message": {"type": "string"},
                "data": {"type": "object", "properties": {"code": {"type": "string"}}},
            },
            "required": ["code", "message"],
        },
    ),
}


def closed(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """An object with these members and no other."""
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_FAULT = closed({name: {"type": "string"} for name in ("type", "loc", "msg")}, ["type", "loc", "msg"])
#: What an answer has where it has no result.
ERROR: dict[str, Any] = closed(
    {
        "code": {"type": "integer"},
        "message": {"type": "string"},
        "data": {
            "type": "object",
            "properties": {
                "code": {"description": "Stable: the one to look at.", "type": "string"},
                "error": {"type": "string"},
                "path": {"type": "string", "pattern": r"^\$"},
                "details": {"type": "object"},
                "validation_errors": {"type": "array", "items": _FAULT, "minItems": 1},
                "status_code": {"type": "integer"},
            },
            "required": ["code", "error", "path"],
        },
    },
    ["code", "message", "data"],
)
_COUNT = {"type": "integer", "minimum": 0}
#: How an agent is, as it says itself.
HEALTH: dict[str, Any] = closed(
    {
        "status": {"enum": ["healthy", "unhealthy"]},
        "agent_id": {"type": "string"},
        "version": {"type": "string"},
        "asap_version": {"type": "string"},
        "uptime_seconds": {"type": "number", "minimum": 0},
        "load": closed({"active_tasks": _COUNT, "queue_depth": _COUNT}, ["active_tasks", "queue_depth"]),
    },
    ["status", "agent_id", "version", "asap_version", "uptime_seconds", "load"],
)


def extensions_schema() -> dict[str, Any]:
    """The schema of an envelope's extensions: any member may be there or not, and others beside them."""
    defs: dict[str, Any] = {}
    properties = {}
    for name, (about, what) in EXTENSIONS.items():
        schema = what
        if isinstance(schema, type):
            defs[schema.__name__] = _noun(schema, defs)
            schema = {"$ref": f"#/$defs/{schema.__name__}"}
        properties[name] = {"description": about} | schema
    about = "What travels beside the fields of the protocol."
    head = _HEAD | {"title": "Extensions", "description": about}
    return head | {"type": "object", "properties": properties, "$defs": defs}


def error_schema() -> dict[str, Any]:
    """The schema of an answer's ``error``; clients pass over members of it that they do not know."""
    return _HEAD | {"title": "Error", "description": "Why what was asked is not done (JSON-RPC 2.0)."} | ERROR


def health_schema() -> dict[str, Any]:
    """The schema of what ``/.well-known/asap/health`` answers."""
    return _HEAD | {"title": "Health", "description": "How an agent is."} | HEALTH


#: What is no noun and has a schema as well, by its name.
BESIDE: Mapping[str, Callable[[], dict[str, Any]]] = {
    "Extensions": extensions_schema,
    "Error": error_schema,
    "Health": health_schema,
}


def schema_of(cls: type[Value]) -> dict[str, Any]:
    """The schema of one noun, complete in itself: the nouns it holds stand in ``$defs``."""
    defs: dict[str, Any] = {}
    schema = _noun(cls, defs)
    head = _HEAD | {"title": cls.__name__}
    return head | schema | ({"$defs": defs} if defs else {})


def _noun(cls: type[Value], defs: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = {"type": {"const": tag}} if (tag := tag_of(cls)) else {}
    properties |= {shape.name: _field(shape, defs) for shape in shapes(cls)}
    # Known additions of newer releases pass, whatever they hold.
    properties |= {name: {} for name in sorted(known_names(cls) - properties.keys())}
    required = (["type"] if tag else []) + [shape.name for shape in shapes(cls) if shape.required]
    about = (cls.__doc__ or "").partition("\n")[0]
    return {
        "description": about,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _field(shape: Shape, defs: dict[str, Any]) -> dict[str, Any]:
    schema = _solid(shape, defs) | (dict(shape.rule.schema) if shape.rule else {})
    return {"anyOf": [schema, {"type": "null"}]} if shape.nullable else schema


def _solid(shape: Shape, defs: dict[str, Any]) -> dict[str, Any]:
    if shape.sort == "choice":
        return {"enum": [str(member) for member in shape.of]}
    if shape.sort in ("noun", "nouns"):
        defs[shape.of.__name__] = _noun(shape.of, defs)
        ref = {"$ref": f"#/$defs/{shape.of.__name__}"}
        return ref if shape.sort == "noun" else {"type": "array", "items": ref}
    return dict(_TYPES[shape.sort])
