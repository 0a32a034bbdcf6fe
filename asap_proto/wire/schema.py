"""JSON Schema (draft 2020-12) of every public noun, derived from the same shapes as the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import model
from ..model import PARTS, PAYLOADS
from ..model._value import Value
from .shapes import Shape, known_names, shapes, tag_of

__all__ = ["SCHEMAS", "schema_of"]

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


def schema_of(cls: type[Value]) -> dict[str, Any]:
    """The schema of one noun, complete in itself: the nouns it holds stand in ``$defs``."""
    defs: dict[str, Any] = {}
    schema = _noun(cls, defs)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": cls.__name__}
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
