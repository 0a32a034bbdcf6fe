"""An agent over HTTP as an OpenAPI 3.1 document, derived from the nouns, the catalogue of errors and the manifest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .. import errors
from ..errors import CATALOGUE, AsapError
from ..limits import ID_LENGTH, KEY_LENGTH, SUPPORTED_VERSIONS, Limits
from ..model import PAYLOADS, SPELLINGS, Envelope, Manifest, Skill, TaskRequest
from ..model._value import Value
from .jsonrpc import METHOD
from .paths import (
    ASAP_PATH,
    HEALTH_PATH,
    LIVE_PATH,
    MANIFEST_PATH,
    METRICS_PATH,
    READY_PATH,
    SIGNED_MANIFEST_PATH,
    STREAM_PATH,
)
from .schema import ERROR, HEALTH, closed, extensions_schema, schema_of

__all__ = ["describe"]

_Json = dict[str, Any]

#: What a request to the protocol may be refused with, each with an HTTP status of its own.
REFUSALS: tuple[type[AsapError], ...] = (
    errors.BadEncoding,
    errors.BadHead,
    errors.BodyInPieces,
    errors.ForeignOrigin,
    errors.BodyTooSlow,
    errors.BodyTooLarge,
    errors.UnsupportedEncoding,
    errors.UnsupportedMediaType,
    errors.Misdirected,
    errors.RateLimited,
    errors.HeadTooLarge,
    errors.InternalError,
    errors.LoadShed,
    errors.Overloaded,
    errors.StateUnavailable,
    errors.StillRunning,
    errors.TakenOver,
)
#: Of these, what whoever only reads may meet too.
_WHEN_READ = (errors.BadHead, errors.ForeignOrigin, errors.BodyTooLarge, errors.Misdirected, errors.HeadTooLarge)

_AT = "#/components/schemas/"
#: Keywords of JSON Schema whose values are no schemas, and those whose members are schemas by their names.
_CONSTANTS = frozenset({"const", "default", "enum", "example", "examples"})
_NAMED = frozenset({"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"})
_JSON = "application/json"
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_WORDS = {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}

#: What a JSON-RPC request may be told apart by (`jsonrpc.rpc_id`).
_ID: _Json = {
    "anyOf": [
        {"type": "string", "maxLength": ID_LENGTH},
        {"type": "integer", "minimum": -(2**63), "maximum": 2**64 - 1},
    ]
}

_RETRY_AFTER: _Json = {
    "Retry-After": {"description": "Seconds.", "required": True, "schema": {"type": "integer", "minimum": 1}}
}
_CHALLENGE: _Json = {
    "WWW-Authenticate": {"description": "How callers may say who they are.", "schema": {"type": "string"}}
}
_STANDING: _Json = {
    "RateLimit": {"description": "What is left of the caller's quota.", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The caller's quota.", "schema": {"type": "string"}},
    "ASAP-Version": {"description": "The version agreed on.", "schema": {"enum": list(SUPPORTED_VERSIONS)}},
}


def describe(
    manifest: Manifest,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    *,
    strict_http: bool = False,
) -> _Json:
    """The document of the agent that publishes this manifest; `strict_http` as its `ServerRole` is told."""
    schemas = _schemas(manifest, limits)
    guards = _guards(manifest)
    where = manifest.endpoints.asap.removesuffix(ASAP_PATH)
    return {
        "openapi": "3.1.0",
        "info": {"title": manifest.name, "version": manifest.version, "description": manifest.description},
        "servers": [{"url": where or "/"}],
        "paths": {
            ASAP_PATH: {"post": _send(limits, guards, strict=strict_http)},
            STREAM_PATH: {"post": _stream(limits, guards, strict=strict_http)},
            **_readable(signed=manifest.signature is not None),
        },
        "components": {
            "schemas": schemas,
            **({"securitySchemes": {name: {"type": "http", "scheme": name} for name in guards}} if guards else {}),
        },
    }


def _guards(manifest: Manifest) -> list[str]:
    return sorted({scheme.lower() for scheme in manifest.auth.schemes}) if manifest.auth else []


# -- the protocol ----------------------------------------------------------------------------------------------------


def _send(limits: Limits, guards: list[str], *, strict: bool) -> _Json:
    batch = {"type": "array", "items": _ref("Call"), "minItems": 1, "maxItems": limits.batch_items}
    whole = {"anyOf": [_ref("Answer"), {"type": "array", "items": _ref("Answer"), "minItems": 1}]}
    done = _said("What was asked is done, or why it is not; of a batch each.", whole, _STANDING | _challenge(guards))
    return {
        "operationId": "send",
        "summary": "Hand an envelope to the agent.",
        "description": f"JSON-RPC 2.0, method {METHOD}. Without `id` it is a notification.",
        **_asked({"anyOf": [_ref("Call"), batch]}, limits, guards),
        "responses": {"200": done, **_refusals(guards, strict=strict)},
    }


def _stream(limits: Limits, guards: list[str], *, strict: bool) -> _Json:
    done = _said("What has no parts, refusals included.", _ref("Answer"), _STANDING | _challenge(guards))
    done["content"]["text/event-stream"] = {"schema": _EVENT}
    asked = _asked(_ref("Call"), limits, guards)
    seen = {"type": "string", "pattern": "^[0-9]{1,18}$"}
    asked["parameters"].append(_header("Last-Event-ID", "The number of the last event that was seen.", seen))
    return {
        "operationId": "follow",
        "summary": "Hand an envelope to the agent, and hear what becomes of it as it happens.",
        **asked,
        "responses": {"200": done, **_refusals(guards, strict=strict)},
    }


def _asked(body: _Json, limits: Limits, guards: list[str]) -> _Json:
    versions = {"enum": [", ".join(SUPPORTED_VERSIONS), *SUPPORTED_VERSIONS]}
    about = f"At most {limits.request_bytes} bytes, before and after Content-Encoding is undone."
    return {
        "parameters": [_header("ASAP-Version", "What the caller speaks, newest first.", versions)],
        "requestBody": {"description": about, "required": True, "content": {_JSON: {"schema": body}}},
        **({"security": [{name: []} for name in guards]} if guards else {}),
    }


def _refusals(guards: list[str], *, strict: bool) -> _Json:
    """Every status but 200, each with the codes of those errors that have it."""
    found: dict[int, list[type[AsapError]]] = {}
    for row in REFUSALS:
        found.setdefault(row.kind.http_status, []).append(row)
    if strict:
        for row in CATALOGUE.values():
            if row.kind.strict_status is not None and (guards or row is not errors.Unauthenticated):
                found.setdefault(row.kind.strict_status, []).append(row)
    made = {str(status): _refusal(status, rows, guards) for status, rows in sorted(found.items())}
    return {"204": {"description": "What was asked wants no answer.", "headers": _STANDING}, **made}


def _refusal(status: int, rows: list[type[AsapError]], guards: list[str]) -> _Json:
    data = {"type": "object", "properties": {"code": {"enum": sorted(row.kind.code for row in rows)}}}
    error = {"type": "object", "properties": {"data": data}}
    schema = {"allOf": [_ref("Failure"), {"type": "object", "properties": {"error": error}}]}
    headers = _RETRY_AFTER if status in (429, 503) else _challenge(guards) if status == 401 else {}
    said = _said(_remedies(rows), schema, headers)
    if status in (400, 408, 431):
        said["content"] |= _TEXT  # where the server itself can't read the request
    return said


def _challenge(guards: list[str]) -> _Json:
    return _CHALLENGE if guards else {}


# -- what is read ----------------------------------------------------------------------------------------------------


def _readable(*, signed: bool) -> _Json:
    ok, unready = {"const": "ok"}, {"const": "unready"}
    unchanged = {"304": {"description": "It is as it was."}}
    tags = {name: {"schema": {"type": "string"}} for name in ("ETag", "Cache-Control")}
    asked = [_header("If-None-Match", "The ETag of what is known already.", {"type": "string"})]
    metrics = {"description": "The Prometheus text format.", "content": _TEXT}
    live, able = _said("It runs.", _status(ok)), _said("It does.", _status(ok))
    unable = _said("It takes none now.", _status(unready))
    enclosed = _looked_at(
        "signed_manifest",
        "The same, enclosed in an object beside its signature.",
        {"200": _said("The manifest and its signature.", _ENCLOSED, tags), **unchanged},
        asked,
    )
    return {
        MANIFEST_PATH: _looked_at(
            "manifest",
            "Who the agent is, and what it can do.",
            {"200": _said("The manifest.", _ref("Manifest"), tags), **unchanged},
            asked,
        ),
        **({SIGNED_MANIFEST_PATH: enclosed} if signed else {}),
        HEALTH_PATH: _looked_at(
            "health",
            "How the agent is.",
            {"200": _said("It is well.", _ref("Health")), "503": _said("It takes no work now.", _ref("Health"))},
        ),
        LIVE_PATH: _looked_at("live", "Whether the agent's process runs.", {"200": live}),
        READY_PATH: _looked_at("ready", "Whether it takes work.", {"200": able, "503": unable}),
        METRICS_PATH: _looked_at("metrics", "What it has counted.", {"200": metrics}),
    }


def _looked_at(name: str, summary: str, responses: _Json, parameters: Iterable[_Json] = ()) -> _Json:
    """GET, and HEAD, which is told the same without its body."""
    refused: dict[int, list[type[AsapError]]] = {}
    for row in _WHEN_READ:
        refused.setdefault(row.kind.http_status, []).append(row)
    for status, rows in refused.items():
        said = _said(_remedies(rows), _WORDS)
        if status in (400, 431):
            said["content"] |= _TEXT
        responses[str(status)] = said
    responses["500"] = _said(errors.InternalError.kind.remedy, _ref("Failure"))
    bare = {status: {key: it for key, it in said.items() if key != "content"} for status, said in responses.items()}
    told = {"summary": summary, "parameters": list(parameters)}
    return {
        "get": {"operationId": name, **told, "responses": responses},
        "head": {"operationId": f"{name}_head", **told, "responses": bare},
    }


def _status(word: _Json) -> _Json:
    return {"type": "object", "properties": {"status": word}, "required": ["status"]}


# -- the schemas -----------------------------------------------------------------------------------------------------


def _schemas(manifest: Manifest, limits: Limits) -> _Json:
    made: _Json = {}
    for noun in (*PAYLOADS.values(), Manifest):
        _add(made, noun.__name__, schema_of(noun))
    _add(made, "Extensions", extensions_schema())
    spelt: dict[type[Value], list[str]] = {}
    for name, kind in SPELLINGS.items():
        spelt.setdefault(kind, []).append(name)
    frame = schema_of(Envelope)
    del frame["$schema"]
    frame["properties"]["extensions"] = {"anyOf": [_ref("Extensions"), {"type": "null"}]}

    def carrying(name: str, kind: type[Value], payload: _Json) -> str:
        fields = {"payload_type": {"enum": list(dict.fromkeys(spelt[kind]))}, "payload": payload}
        made[name] = frame | {"title": name, "properties": frame["properties"] | fields}
        return name

    names = [carrying(f"{kind.__name__}Envelope", kind, _ref(kind.__name__)) for kind in PAYLOADS.values()]
    made["Envelope"] = _one_of("An envelope, by what it carries.", names)
    if skills := manifest.capabilities.skills:
        requests = _one_of("A request, by the skill it is for.", _requests(made, skills))
        names = [carrying("SkillEnvelope", TaskRequest, requests), *names]
        names.remove("TaskRequestEnvelope")
    made["Asked"] = _one_of("An envelope that the agent may be handed.", names)
    made |= _calls(limits)
    made["Health"] = HEALTH
    return made


def _one_of(about: str, names: Iterable[str]) -> _Json:
    return {"description": about, "oneOf": [_ref(name) for name in names]}


def _requests(made: _Json, skills: Iterable[Skill]) -> Iterator[str]:
    """The schema of a request for each skill, with that of its input; their names."""
    for number, skill in enumerate({skill.id: skill for skill in skills}.values(), start=1):
        word = re.sub(r"[^A-Za-z0-9._-]", "_", skill.id)[:64]
        name, inner = f"{number}.{word}.request", f"{number}.{word}.input"
        request = made["TaskRequest"]
        fields: _Json = {"skill_id": {"const": skill.id}}
        if skill.input_schema is not None:
            made[inner] = _moved(skill.input_schema, "#", _AT + inner)
            fields["input"] = {"allOf": [request["properties"]["input"], _ref(inner)]}
        about = {"title": name, "description": skill.description}
        made[name] = request | about | {"properties": request["properties"] | fields}
        yield name


def _calls(limits: Limits) -> _Json:
    """JSON-RPC 2.0, as far as the protocol uses it."""
    two = {"const": "2.0"}
    params = {
        "envelope": _ref("Asked"),
        "idempotency_key": {
            "description": "The same for each try of one request.",
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": KEY_LENGTH,
        },
    }
    call = {
        "jsonrpc": two,
        "method": {"const": METHOD},
        "params": {"type": "object", "properties": params, "required": ["envelope"]},
        "id": _ID,
    }
    result = {"type": "object", "properties": {"envelope": _ref("Envelope")}, "required": ["envelope"]}
    about = f"A request, with no more than {limits.json_depth} levels and {limits.json_values} values."
    return {
        "Call": closed(call, ["method", "params"]) | {"description": about},
        "Success": closed({"jsonrpc": two, "result": result, "id": _ID}, ["jsonrpc", "result", "id"]),
        "Failure": closed(
            {"jsonrpc": two, "error": ERROR, "id": {"anyOf": [*_ID["anyOf"], {"type": "null"}]}},
            ["jsonrpc", "error", "id"],
        ),
        "Answer": {"oneOf": [_ref("Success"), _ref("Failure")]},
    }


#: OpenAPI 3.1 has no word for what comes in parts; 3.2 describes each event so.
_EVENT: _Json = {
    "description": "Each of the server-sent events; the last is the reply.",
    "type": "object",
    "properties": {
        "id": {"description": "Its number in the task's log.", "type": "string", "pattern": "^[0-9]+$"},
        "data": {"type": "string", "contentMediaType": _JSON, "contentSchema": {"$ref": f"{_AT}Envelope"}},
    },
    "required": ["data"],
}
#: As peers of release 2.5 read it, with fields of theirs in the manifest.
_ENCLOSED = closed(
    {
        "manifest": {"type": "object"},
        "signature": closed({name: {"type": "string"} for name in ("alg", "signature")}, ["alg", "signature"]),
        "public_key": {"type": "string"},
    },
    ["manifest", "signature", "public_key"],
)


# -- pieces ----------------------------------------------------------------------------------------------------------


def _add(made: _Json, name: str, schema: _Json) -> None:
    """Takes in a schema that is complete in itself: what stands in its ``$defs`` stands beside it here."""
    inner = schema.pop("$defs", {})
    del schema["$schema"]
    for each, what in (*inner.items(), (name, schema)):
        made[each] = _moved(what, "#/$defs/", _AT)


def _moved(value: Any, before: str, after: str, *, named: bool = False) -> Any:
    """The schema with its references pointing to where what they name stands now; `named` are schemas by their names.

    A value that is a constant is no schema, whatever it looks like; and a name that is also a keyword is but a name.
    """
    if isinstance(value, list):
        return [_moved(each, before, after) for each in value]
    if not isinstance(value, dict):
        return value
    if named:
        return {name: _moved(each, before, after) for name, each in value.items()}
    moved = {
        name: each if name in _CONSTANTS else _moved(each, before, after, named=name in _NAMED)
        for name, each in value.items()
    }
    ref = value.get("$ref")
    if isinstance(ref, str) and (ref == before or ref.startswith(before.rstrip("/") + "/")):
        moved["$ref"] = after + ref.removeprefix(before)
    return moved


def _ref(name: str) -> _Json:
    return {"$ref": _AT + name}


def _header(name: str, about: str, schema: _Json) -> _Json:
    return {"name": name, "in": "header", "description": about, "schema": schema}


def _said(about: str, schema: _Json, headers: Mapping[str, Any] = {}) -> _Json:
    told = {"description": about, "content": {_JSON: {"schema": schema}}}
    return told | ({"headers": dict(headers)} if headers else {})


def _remedies(rows: Iterable[type[AsapError]]) -> str:
    return " ".join(dict.fromkeys(row.kind.remedy for row in rows))
