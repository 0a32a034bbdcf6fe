"""Documents drawn from a JSON Schema, of the keywords that our schemas and those of the releases are written in."""

import re
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap

#: Faults that a schema can't tell, with the reason.
BEYOND_SCHEMA = {
    "datetime_type": "formats are notes to a validator; the decoder reads them",
    "int_type": "to JSON Schema 1.0 is an integer",
    "urn": "to Python's regular expressions $ also matches before a trailing newline",
    "uri": "what a URI must not point to is prose",
    "mime_type": "is prose",
    "base64": "contentEncoding is a note",
    "version": "PEP 440 is prose",
    "auth_scheme": "case-insensitive words are prose",
    "result_or_error": "several fields taken together",
    "missing": "a correlation id is required by the value of another field",
    "out_of_range": "of progress.percent, within an object that is otherwise free",
}

#: What prose says of a field, by its name: most texts that its schema lets pass are refused.
_PROSE: Mapping[str, st.SearchStrategy[Any]] = {
    "mime_type": st.just("text/plain"),
    "schemes": st.lists(st.sampled_from(("bearer", "Basic")), max_size=2),
    "uri": st.just("https://files.example/a"),
    "version": st.sampled_from(("1", "v1.2.3", "1.0rc1")),
}

_PLAIN: Mapping[str, st.SearchStrategy[Any]] = {
    "boolean": st.booleans(),
    "null": st.none(),
    "number": st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False),
}


def documents(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """What `schema` lets pass, the most and the least that its bounds allow among it."""
    root = schema if root is None else root
    if "$ref" in schema:
        rest = {name: value for name, value in schema.items() if name != "$ref"}
        return documents({**root["$defs"][schema["$ref"].removeprefix("#/$defs/")], **rest}, root)
    if "anyOf" in schema:
        return st.one_of([documents(option, root) for option in schema["anyOf"]])
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case None:
            return asap.json_values()
        case "object":
            return _objects(schema, root)
        case "array":
            least = schema.get("minItems", 0)
            return st.lists(documents(schema.get("items", {}), root), min_size=least, max_size=least + 2)
        case "integer":
            return st.integers(schema.get("minimum", -(2**63)), schema.get("maximum", 2**64 - 1))
        case "string":
            return _texts(schema)
        case kind:
            return _PLAIN[kind]


def _objects(schema: Mapping[str, Any], root: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    members = {name: _member(name, inner, root) for name, inner in schema.get("properties", {}).items()}
    required = {name: members.pop(name) for name in schema.get("required", ())}
    known = st.fixed_dictionaries(required, optional=members)
    if {"error", "result", "success"} <= schema.get("properties", {}).keys():
        known = known.map(_of_a_tool)
    if not schema.get("additionalProperties", True):
        return known
    # Names of one letter meet members of another schema, where two are compared.
    others = st.dictionaries(st.sampled_from("abn") | asap.texts(most=8), asap.json_values(leaves=3), max_size=3)
    shut = schema.get("properties", {}).keys()
    return st.builds(lambda more, made: {n: v for n, v in more.items() if n not in shut} | made, others, known)


def _of_a_tool(made: dict[str, Any]) -> dict[str, Any]:
    """A result or an error, which is prose too: no schema that we know of says it."""
    if made["success"]:
        return {**made, "result": made.get("result") or {}, "error": None}
    return {**made, "result": None, "error": made.get("error") or "failed"}


def _member(name: str, schema: Mapping[str, Any], root: Mapping[str, Any]) -> st.SearchStrategy[Any]:
    options = schema.get("anyOf", [schema])
    if name not in _PROSE or not any(option.get("type") in ("array", "string") for option in options):
        return documents(schema, root)
    return _PROSE[name] | st.none() if "anyOf" in schema else _PROSE[name]


def _texts(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if schema.get("format") == "date-time":
        return asap.stamps().map(lambda stamp: stamp.isoformat())
    if schema.get("contentEncoding") == "base64":
        return st.sampled_from(("", "aGk=", "AAAA"))
    if "pattern" in schema:
        fitting = st.from_regex(schema["pattern"]).filter(lambda text: not text.endswith("\n"))
        if most is None:
            return fitting
        within = fitting.filter(lambda text: len(text) <= most)
        return within | st.just("x" * most) if re.search(schema["pattern"], "x" * most) else within
    usual = asap.texts(least=least, most=20 if most is None else min(20, most))
    return usual if most is None else usual | st.just("x" * most)
