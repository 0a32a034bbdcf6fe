"""Documents that are one step from valid, each with what a strict reader has to say of it.

A test of whoever reads them looks so::

    from asap_adapters.testing.misses import near_miss_requests

    @given(near_miss_requests())
    def test_my_agent(miss):
        data = post(miss.text)["error"]["data"]
        assert (data["code"], data["path"]) == (miss.code, miss.path)

One thing alone is wrong with each: a key that is missing, misspelt or too much, a value of another type or beyond a
limit, a text that breaks a rule by one character, or what is no JSON at all. What is to be told of it is written down
here and asked of no decoder, so it is as good for another runtime as for this one.
"""

from __future__ import annotations

import copy
import enum
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

import attrs
from hypothesis import strategies as st

from asap_proto.errors import (
    AsapError,
    InvalidRequest,
    MalformedEnvelope,
    MalformedJson,
    MalformedPayload,
    UnknownMethod,
)
from asap_proto.limits import ID_LENGTH, KEY_LENGTH, TASK_DEPTH, URN_LENGTH, Limits
from asap_proto.model import (
    PARTS,
    SPELLINGS,
    Agent,
    AuthScheme,
    Conversation,
    Envelope,
    FilePart,
    Manifest,
    McpToolResult,
    StateSnapshot,
    Task,
    TaskUpdate,
)
from asap_proto.model._value import ID, Value
from asap_proto.wire.json import dump

from . import strategies as asap

__all__ = ["NearMiss", "every_near_miss", "every_near_miss_request", "near_miss_requests", "near_misses"]

Place = tuple[str | int, ...]


@attrs.frozen
class NearMiss:
    """A document, and how it is refused.

    `code` is that of the error, `path` where its first fault is, and `fault` that one's type, as in
    ``validation_errors``; empty where a text is no JSON or a method is unknown, as no field is at fault then. `step`
    says in words what was done to a document that was valid.
    """

    text: bytes = attrs.field(repr=lambda text: repr(text) if len(text) < 2000 else f"{text[:2000]!r}...")
    code: str
    path: str
    fault: str
    step: str


@attrs.frozen
class _Step:
    """One change: at a place in the document, by a function of the object or array that holds it."""

    words: str
    place: Place
    change: Callable[[Any], None]
    path: str
    fault: str
    error: type[AsapError] = MalformedEnvelope


def near_misses(kind: type[Value], **fields: Any) -> st.SearchStrategy[NearMiss]:
    """Documents that are one step from a noun of this kind; `fields` narrow the noun as its strategy is narrowed."""
    return asap.plain(asap.nouns(kind, **fields)).flatmap(lambda value: st.sampled_from(_near(kind, value)).map(_made))


def near_miss_requests(*, envelope: Any = None, duplicates: bool = False) -> st.SearchStrategy[NearMiss]:
    """Bodies that are one step from a request, in the frame, in the envelope, or in its payload.

    `envelope` is a strategy for the envelopes to begin with. With `duplicates` a key may stand twice: only who has
    shown credentials is refused for that, as only then anybody trusts what the text says of its sender.
    """
    return asap.rpc_requests(envelope=envelope).flatmap(
        lambda frame: st.sampled_from(_near_request(frame, duplicates)).map(_made)
    )


def every_near_miss(kind: type[Value], value: dict[str, Any]) -> Iterator[NearMiss]:
    """All that are one step from this JSON object, a valid noun with all its fields, as `strategies.plain` draws it.

    For tests that draw nothing, and for tables of cases: some hundred for one object.
    """
    return map(_made, _near(kind, value))


def every_near_miss_request(frame: dict[str, Any], *, duplicates: bool = False) -> Iterator[NearMiss]:
    """All that are one step from this request, whose envelope and payload have all their fields."""
    return map(_made, _near_request(frame, duplicates))


# -- how a step is taken ---------------------------------------------------------------------------------------------


#: A near miss that is not made yet: to choose one of some hundred, no other need be written.
Maker = Callable[[], NearMiss]


def _made(maker: Maker) -> NearMiss:
    return maker()


def _near(kind: type[Value], value: dict[str, Any]) -> list[Maker]:
    steps = [*_noun_steps(kind, value, (), "$"), *_payload_steps(kind, value, (), "$")]
    return [*(partial(_taken, value, step) for step in steps), *_no_json(value)]


def _near_request(frame: dict[str, Any], duplicates: bool) -> list[Maker]:
    place, path, envelope = ("params", "envelope"), "$.params.envelope", frame["params"]["envelope"]
    steps = [
        *_frame_steps(frame),
        *_noun_steps(Envelope, envelope, place, path),
        *_payload_steps(Envelope, envelope, place, path),
    ]
    doubled = _doubled(frame) if duplicates else ()
    return [*(partial(_taken, frame, step) for step in steps), *_no_json(frame), *doubled]


def _taken(value: dict[str, Any], step: _Step) -> NearMiss:
    changed = copy.deepcopy(value)
    holder: Any = changed
    for key in step.place:
        holder = holder[key]
    step.change(holder)
    return NearMiss(dump(changed), step.error.kind.code, step.path, step.fault, step.words)


def _put(key: str | int, value: Any) -> Callable[[Any], None]:
    return lambda holder: holder.__setitem__(key, value)


def _drop(key: str) -> Callable[[Any], None]:
    return lambda holder: holder.__delitem__(key)


def _rename(key: str, to: str) -> Callable[[Any], None]:
    return lambda holder: holder.__setitem__(to, holder.pop(key))


# -- nouns -----------------------------------------------------------------------------------------------------------

#: Keys that no noun has.
_STRANGE = ("colour", "a b", "", "ключ", "'", "k" * 65)

#: Values by their JSON type: of each there is one that a careless reader would take for another type's.
_VALUES: Mapping[str, tuple[Any, ...]] = {
    "null": (None,),
    "a boolean": (True, False),
    "an integer": (0, 1),
    "a number": (1.0, 1.5),
    "a string": ("5", "true", "{}"),
    "an array": ([], [["a", 1]]),
    "an object": ({}, {"0": "a"}),
}
_WRONG = {
    str: ({"a string"}, "string_type"),
    int: ({"an integer"}, "int_type"),
    bool: ({"a boolean"}, "bool_type"),
    dict: ({"an object"}, "dict_type"),
    tuple: ({"an array"}, "list_type"),
    enum.StrEnum: (set(), "enum"),
    # Unix times are read too.
    datetime: ({"an integer", "a number"}, "datetime_type"),
}

_URNS = (
    ("a newline behind a URN", lambda urn: urn + "\n"),
    ("a URN in upper case", str.upper),
    ("a URN without a name", lambda urn: "urn:asap:agent:"),
    ("a URN with an empty part", lambda urn: "urn:asap:agent:a:"),
    ("a URN with three parts", lambda urn: "urn:asap:agent:a:b:c"),
    ("a URN in other digits", lambda urn: "urn:asap:agent:a\u0661"),
    ("a URN of something else", lambda urn: "urn:asap:task:a"),
    ("a URN that is too long by one", lambda urn: "urn:asap:agent:".ljust(URN_LENGTH + 1, "a")),
)
_STAMPS = (
    "", "now", "2026-02-30T03:04:05Z", "2026-01-02T24:01:00Z", "2026-13-02T03:04:05Z", "2026-01-02T03:04:60Z",
    "2026-01-02T03:04:05Z\n", " 2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456Z ", "2026-01-02T03:04:05+25:00",
    "02/01/2026", "2026-01-02T03:04:05.Z0", "10000-01-01T00:00:00Z", "1e9", "٢٠٢٦-01-02T03:04:05Z",
)  # fmt: skip
_URIS = (
    "", "report.txt", "/etc/passwd", "file:///etc/passwd", "FILE:/etc/passwd", "C:/report.txt", "https://a.example/../b",
    "https://a.example/%2e%2e/b", "https://a.example/a b", "https://a.example/a\n", "https:///a", "data:text/plain",
)  # fmt: skip

#: Values of one field that break its rule, and the type of the fault.
_BROKEN: Mapping[tuple[type[Value], str], tuple[str, tuple[Any, ...]]] = {
    (FilePart, "uri"): ("uri", _URIS),
    (FilePart, "mime_type"): (
        "mime_type",
        ("", "text", "text/", "/plain", "text/plain; charset=utf-8", "text/plain\n"),
    ),
    (FilePart, "inline_data"): ("base64", ("A", "QQ=", "QQ==\n", "Q Q=", "-_8=", "QQ==QQ==", "é")),
    (AuthScheme, "schemes"): ("auth_scheme", (["digest"], ["bearer", ""], ["bearer "])),
    (Manifest, "version"): ("version", ("", "one", "1..2", "1.0-", "1.0+é")),
    (Agent, "capabilities"): ("too_short", ([],)),
    (Conversation, "participants"): ("too_short", ([],)),
    (Task, "depth"): ("out_of_range", (-1, TASK_DEPTH + 1, 2**64 - 1)),
    (StateSnapshot, "version"): ("out_of_range", (0, -1)),
}
_URN_FIELDS = {(Envelope, "sender"), (Envelope, "recipient"), (Manifest, "id"), (Agent, "id")}


def _path(path: str, key: str) -> str:
    """A path one step further, as every answer writes it: what is no plain name is quoted, and cut."""
    return f"{path}.{key}" if key.isidentifier() and key.isascii() and len(key) <= 64 else f"{path}[{key[:64]!r}]"


def _noun_steps(kind: type[Any], value: dict[str, Any], place: Place, path: str) -> Iterator[_Step]:
    """All single steps from a noun, and from the nouns that it holds."""
    for key in _STRANGE:
        yield _Step("a key that is none", place, _put(key, 1), _path(path, key), "extra_forbidden")
    if kind in PARTS:
        yield _Step("no type", place, _drop("type"), f"{path}.type", "missing")
        tags: tuple[Any, ...] = (value["type"].upper(), f"{value['type']} ", None, 1, [])
        for tag in tags:
            yield _Step("another type", place, _put("type", tag), f"{path}.type", "literal_error")
    hints = get_type_hints(kind)
    for field in attrs.fields(kind):
        yield from _field_steps(kind, field, hints[field.name], value, place, path)
    yield from _flaw_steps(kind, value, place, path)


def _field_steps(
    kind: type[Any], field: attrs.Attribute[Any], hint: Any, value: dict[str, Any], place: Place, path: str
) -> Iterator[_Step]:
    name = field.name
    there, item = f"{path}.{name}", value[name]
    if field.default is attrs.NOTHING or (kind, name) == (Envelope, "asap_version"):
        yield _Step("a key is missing", place, _drop(name), there, "missing")
    for other in (name.title(), name + " ", f"{name}\n"):
        yield _Step("a key is misspelt", place, _rename(name, other), _path(path, other), "extra_forbidden")
    nullable = NoneType in get_args(hint)
    sort = _sort(hint)
    right, fault = _WRONG[sort]
    for words, values in _VALUES.items():
        if words in right or (nullable and words == "null"):
            continue
        for wrong in values:
            if sort is enum.StrEnum or sort is not datetime or words != "a string":
                yield _Step(f"{words} in place of what it should be", place, _put(name, wrong), there, fault)
    yield from _rule_steps(kind, field, sort, item, place, path)
    solid = [each for each in get_args(hint) if each not in (NoneType, ...)]
    inner = solid[0] if len(solid) == 1 else hint
    if sort is tuple and inner is str and item:
        for wrong in (None, 5, True, [], {}):
            step = _put(len(item) - 1, wrong)
            yield _Step("another type in an array", (*place, name), step, f"{there}[{len(item) - 1}]", "string_type")
    if inner in asap.NOUNS and item:
        for index, held in enumerate(item) if sort is tuple else [(None, item)]:
            further = (*place, name) if index is None else (*place, name, index)
            yield from _noun_steps(inner, held, further, there if index is None else f"{there}[{index}]")


def _sort(hint: Any) -> Any:
    """What stands in a field, but for null: a key of `_WRONG`."""
    if NoneType in get_args(hint):
        [hint] = (each for each in get_args(hint) if each is not NoneType)
    if get_origin(hint) is not None and not isinstance(get_origin(hint), type):
        return dict
    sort = get_origin(hint) or hint
    if sort in _WRONG:
        return sort
    return enum.StrEnum if isinstance(sort, type) and issubclass(sort, enum.StrEnum) else dict


def _rule_steps(
    kind: type[Any], field: attrs.Attribute[Any], sort: Any, item: Any, place: Place, path: str
) -> Iterator[_Step]:
    name, there = field.name, f"{path}.{field.name}"
    if field.validator is ID:
        yield _Step("an id that is too long by one", place, _put(name, "x" * (ID_LENGTH + 1)), there, "too_long")
    if (kind, name) in _URN_FIELDS:
        for words, change in _URNS:
            yield _Step(words, place, _put(name, change(item)), there, "urn")
    if sort is datetime:
        for text in _STAMPS:
            yield _Step("a text that is no time", place, _put(name, text), there, "datetime_type")
    if sort is enum.StrEnum:
        for text in (item.upper(), f"{item} ", f"{item}\n", ""):
            yield _Step("a word of no set", place, _put(name, text), there, "enum")
    fault, broken = _BROKEN.get((kind, name), ("", ()))
    for wrong in broken:
        yield _Step("a value that breaks a rule", place, _put(name, wrong), there, fault)


def _flaw_steps(kind: type[Any], value: dict[str, Any], place: Place, path: str) -> Iterator[_Step]:
    """Fields that are right each for itself, and not together."""
    if kind is TaskUpdate:
        percents: tuple[Any, ...] = (-1, 101, 100.5, "50", True, None, [])
        for percent in percents:
            step = _put("progress", {"percent": percent})
            yield _Step("a share that is none", place, step, f"{path}.progress.percent", "out_of_range")
    if kind is McpToolResult:
        step = _put("success", not value["success"])
        yield _Step("another outcome than it tells of", place, step, f"{path}.success", "result_or_error")
    if kind is Envelope and value["payload_type"] in ("TaskResponse", "McpToolResult", "McpResourceData"):
        for change in (_drop("correlation_id"), _put("correlation_id", None), _put("correlation_id", "")):
            yield _Step("an answer to nothing", place, change, f"{path}.correlation_id", "missing")
    if kind is FilePart and value["uri"].startswith("data:"):
        yield _Step("another type than its URI has", place, _put("mime_type", "a/b.c"), f"{path}.mime_type", "differs")


def _payload_steps(kind: type[Any], value: dict[str, Any], place: Place, path: str) -> Iterator[_Step]:
    """Those from an envelope's payload, where its type is known."""
    payload = SPELLINGS.get(value["payload_type"]) if kind is Envelope else None
    if payload is not None:
        for step in _noun_steps(payload, value["payload"], (*place, "payload"), f"{path}.payload"):
            yield attrs.evolve(step, error=MalformedPayload)


# -- frames ----------------------------------------------------------------------------------------------------------


#: What may stand in place of a member of a request, and is none.
_VERSIONS: tuple[Any, ...] = ("1.0", 2.0, 2, None, "2.0 ")
_RPC_IDS: tuple[Any, ...] = (None, True, 1.5, [], {}, 2.0**64, "x" * (ID_LENGTH + 1))
_NO_METHODS: tuple[Any, ...] = (None, 5, ["asap.send"])
_METHODS = ("asap.Send", "asap.send ", "asap.send\n", "send", "")
_NO_OBJECTS: tuple[Any, ...] = ("", 1, True, [], [{}])
_NO_KEYS: tuple[Any, ...] = ("", 5, True, [], "k" * (KEY_LENGTH + 1))


def _frame_steps(frame: dict[str, Any]) -> Iterator[_Step]:
    for version in _VERSIONS:
        words = "another version of JSON-RPC"
        yield _Step(words, (), _put("jsonrpc", version), "$.jsonrpc", "literal_error", InvalidRequest)
    for id in _RPC_IDS:
        yield _Step("an id that can't be answered to", (), _put("id", id), "$.id", "rpc_id", InvalidRequest)
    for key in _STRANGE:
        yield _Step("a member that is none", (), _put(key, 1), _path("$", key), "extra_forbidden", InvalidRequest)
    for name in ("method", "params"):
        yield _Step("a member is missing", (), _drop(name), f"$.{name}", "missing", InvalidRequest)
    for wrong in _NO_METHODS:
        yield _Step("a method that is no text", (), _put("method", wrong), "$.method", "string_type", InvalidRequest)
    for method in _METHODS:
        yield _Step("another method", (), _put("method", method), "$.method", "", UnknownMethod)
    here, path = ("params",), "$.params.envelope"
    for other in (None, *_NO_OBJECTS):
        yield _Step("params that are no object", (), _put("params", other), "$.params", "dict_type")
    for change in (_drop("envelope"), _put("envelope", None)):
        yield _Step("no envelope", here, change, path, "missing")
    for other in _NO_OBJECTS:
        yield _Step("an envelope that is no object", here, _put("envelope", other), path, "dict_type")
    for wrong in _NO_KEYS:
        path = "$.params.idempotency_key"
        yield _Step("a key that is no text, or too long", here, _put("idempotency_key", wrong), path, "string_type")


def _doubled(frame: dict[str, Any]) -> Iterator[Maker]:
    """A request in which a key that could name a sender stands twice."""
    inner = frame["params"]["envelope"]
    sender, envelope, params, id = map(dump, (inner["sender"], inner, frame["params"], frame["id"]))
    call = b'{"jsonrpc":"2.0","method":"asap.send",%b"params":%b,"id":%b}'
    twice = {
        "$": call % (b'"params":%b,' % params, params, id),
        "$.params": call % (b"", b'{"envelope":%b,"envelope":%b}' % (envelope, envelope), id),
        "$.params.envelope": call % (b"", b'{"envelope":{"sender":%b,%b}' % (sender, envelope[1:]), id),
    }
    for path, text in twice.items():
        yield partial(NearMiss, text, MalformedJson.kind.code, path, "", "a key stands twice")


# -- texts -----------------------------------------------------------------------------------------------------------

#: What may stand in place of a value, and is no JSON (RFC 8259).
_NO_VALUES = (
    b"NaN", b"Infinity", b"-Infinity", b"1e999", b"01", b"+1", b".5", b"1.", b"True", b"None", b"undefined", b"'a'",
    b'"\\ud800"', b'"\x00"', b'"\n"', b'"\\x41"', b'"\xff"', b'"\xed\xa0\x80"', b'"', b"[1,]", b"/**/1", b"",
)  # fmt: skip
_DEPTH = Limits().json_depth


def _no_json(value: dict[str, Any]) -> Iterator[Maker]:
    text = dump(value)
    first = dump(next(iter(value)))
    broken = [
        *((b"{%b:%b,%b" % (first, wrong, text[1:]), "a value that is no JSON") for wrong in _NO_VALUES),
        (b"\xef\xbb\xbf" + text, "a byte-order mark"),
        (text[:-1], "the end is missing"),
        (text[:-1] + b",}", "a comma too many"),
        (text + b"}", "a bracket too many"),
        (text + text, "two documents"),
        (text.decode().encode("utf-16"), "UTF-16"),
        (text[:-1] + b',"deep":' + b"[" * _DEPTH + b"]" * _DEPTH + b"}", "nested too deep by one"),
    ]
    for one, words in broken:
        yield partial(NearMiss, one, MalformedJson.kind.code, "$", "", words)
