"""Plain JSON values to nouns and back: one strict function for each noun, generated from its fields.

Nothing is coerced. The fast function only says yes or no; what exactly is wrong is found by a second
pass (`faults`), which runs on failure alone. Each is made when it is first needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

from ..errors import AsapError, Fault, MalformedEnvelope, MalformedPayload
from ..limits import FILE_SCHEMES, ID_LENGTH
from ..model import PARTS, SPELLINGS, Envelope, FilePart, Part, Payload, TaskStatus, payload_name
from ..model._value import ID, Value
from ..model.parts import scheme_of
from . import faults
from .json import keys
from .shapes import Shape, known_names, once, shapes, tag_of
from .stamps import USUAL, read_stamp

__all__ = ["decode", "decode_envelope", "decode_part", "encode", "encode_reply", "encode_result"]

K = TypeVar("K")
V = TypeVar("V", bound=Value)

_TAGS = {tag_of(part): part for part in PARTS}


#: The class of a field's JSON value; times come as texts or numbers, and nouns look for themselves.
_CLASSES = {
    "text": "str",
    "choice": "str",
    "integer": "int",
    "flag": "bool",
    "object": "dict",
    "sealed": "dict",
    "texts": "list",
    "nouns": "list",
}


class _Refused(Exception):
    """The fast pass said no."""


class _Manner(NamedTuple):
    """How to read: past unknown fields; an envelope's payload too; ids that have no room to be too long."""

    lenient: bool = False
    opened: bool = False
    brief: bool = False


def decode(cls: type[V], value: Any, *, lenient: bool = False, error: type[AsapError] = MalformedEnvelope) -> V:
    """`value` as a `cls`; raises `error` with every fault and its path.

    `lenient` passes over unknown fields: for what a newer peer answers or publishes.
    """
    try:
        read = decoder(cls, _Manner(lenient=True)) if lenient else _STRICT[cls]
        return read(value)  # type: ignore[no-any-return]
    except _Refused:
        raise faults.explained(cls, value, lenient=lenient, error=error) from None


def decode_envelope(
    value: Any,
    *,
    lenient: bool = False,
    size: int | None = None,
    error: type[AsapError] = MalformedEnvelope,
    payload_error: type[AsapError] = MalformedPayload,
) -> Envelope:
    """An envelope and, where its type is known, its payload; raises `error` or `payload_error`.

    A payload of unknown type stays the JSON object it is: whoever passes envelopes on need not know all.
    `size` is that of the text `value` comes from: a short text holds no long id, which saves a look at each.
    """
    try:
        if size is not None and size <= ID_LENGTH and not lenient:
            return _read_brief(value)  # type: ignore[no-any-return]
        return _OPENED[lenient](value)  # type: ignore[no-any-return]
    except _Refused:
        envelope = decode(Envelope, value, lenient=lenient, error=error)
        kind = SPELLINGS[envelope.payload_type]
        raise faults.explained(kind, envelope.payload, lenient=lenient, error=payload_error).under(
            "$.payload"
        ) from None


def decode_part(
    value: Any, *, schemes: Collection[str] = FILE_SCHEMES, error: type[AsapError] = MalformedEnvelope
) -> Part:
    """`value` as the part that its ``type`` names, a file's URI of one of `schemes`; raises `error`."""
    if value.__class__ is not dict:
        raise error("a part is an object", faults=[faults.wrong("$", "object", value)])
    tag = value.get("type")
    part = _TAGS.get(tag) if tag.__class__ is str else None
    if part is None:
        raise error("no such part", faults=[faults.unknown_tag([str(known) for known in _TAGS])])
    decoded: Part = decode(part, value, error=error)
    if isinstance(decoded, FilePart) and scheme_of(decoded.uri) not in schemes:
        words = f"is of a scheme that is not fetched; expected one of {', '.join(schemes)}"
        raise error(f"uri {words}", faults=[Fault("$.uri", "scheme", words)])
    return decoded


def encode(noun: Value) -> dict[str, Any]:
    """`noun` as a plain object for the JSON encoder, which writes times and enums itself."""
    return _ENCODERS[noun.__class__](noun)  # type: ignore[no-any-return]


# What stands in a reply is ours, or was checked when it came: no noun is made for it, that would check it again.


def encode_reply(
    request: Envelope,
    kind: type[Payload],
    payload: dict[str, Any],
    *,
    id: str,
    at: datetime,
    sender: str,
    extensions: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The envelope that answers `request` with a payload of this kind, as a plain object."""
    return {
        "id": id,
        "asap_version": request.asap_version,
        "timestamp": at,
        "sender": sender,
        "recipient": request.sender,
        "payload_type": payload_name(kind, like=request.payload_type),
        "payload": payload,
        # A request without an id can't be named; the reply still has to answer something.
        "correlation_id": request.id or id,
        "trace_id": request.trace_id,
        "extensions": extensions,
    }


def encode_result(task_id: str, result: dict[str, Any] | None) -> dict[str, Any]:
    """The `TaskResponse` of a completed task, as a plain object."""
    status = TaskStatus.COMPLETED
    return {"task_id": task_id, "status": status, "result": result, "final_state": None, "metrics": None}


@once
def decoder(cls: type[Value], how: _Manner = _Manner()) -> Callable[[Any], Any]:  # noqa: B008  (frozen)
    """The strict function that makes a `cls` or raises `_Refused`."""
    fields, tag = shapes(cls), tag_of(cls)
    names: dict[str, Any] = {
        "Refused": _Refused,
        "absent": {s.name: list(s.default) if s.default == () else s.default for s in fields if not s.required},
        "cls": cls,
        "draft": cls.__base__,
        "known": known_names(cls),
        "pick": _picker([s.name for s in fields]),
        "from_iso": datetime.fromisoformat,
        "read_stamp": read_stamp,
    }
    lines = ["def decode(value):", " if value.__class__ is not dict: raise Refused"]
    if tag:
        lines.append(f" if value.get('type') != {tag!r}: raise Refused")
    # To pick all fields at once costs a third of a look at each. Where some are absent they are filled in first;
    # what then is too much is unknown.
    most, pick = len(fields) + bool(tag), f"{''.join(f'{s.name}, ' for s in fields)}= pick(value)"
    filled = f"if len(value) != {most} and not value.keys() <= known: raise Refused" if not how.lenient else "pass"
    lines += [" try:", f"  if len(value) == {most}: {pick}", "  else:", "   value = absent | value", f"   {pick}"]
    lines += [f"   {filled}", " except KeyError:", "  value = absent | value", f"  try: {pick}"]
    lines += ["  except KeyError: raise Refused from None", f"  {filled}"]
    lines += _class_lines(fields)
    if not how.brief:
        lines += _length_lines([shape for shape in fields if shape.rule is ID])
    for shape in fields:
        lines += [f" {line}" for line in _field_lines(shape, names, how)]
    if how.opened:
        names["readers"] = _Readers(how)
        lines += [" read = readers[payload_type]", " if read is not None: payload = read(payload)"]
    lines += [" noun = draft()", *(f" noun.{s.name} = {s.name}" for s in fields), " noun.__class__ = cls"]
    if cls.flaw is not Value.flaw:
        names.update(cls.flaw_names)
        lines.append(f" if {cls.flaw_quick} and noun.flaw() is not None: raise Refused")
    lines.append(" return noun")
    return _compiled(lines, names, cls, "decode")


def _picker(names: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """What takes these members out of an object, always as a tuple; raises `KeyError`."""
    pick = itemgetter(*keys(*names))
    return pick if len(names) > 1 else lambda value: (pick(value),)


class _Readers(dict[str, Callable[[Any], Any] | None]):
    """The decoder of each payload by its name, made when it is first asked for; none for a name unknown."""

    def __init__(self, how: _Manner) -> None:
        self._how = how._replace(opened=False)

    def __missing__(self, name: str) -> Callable[[Any], Any] | None:
        kind = SPELLINGS.get(name)
        if kind is None:
            return None
        read = self[name] = decoder(kind, self._how)
        return read


def _class_lines(fields: tuple[Shape, ...]) -> Iterator[str]:
    """The lines that check the classes of the fields."""
    for shape in fields:
        if shape.sort in _CLASSES:
            absent = f" and {shape.name} is not None" if shape.nullable else ""
            yield f" if {shape.name}.__class__ is not {_CLASSES[shape.sort]}{absent}: raise Refused"


def _length_lines(ids: list[Shape]) -> list[str]:
    """The lines that look how long ids are: at all of them together first, which nearly always are short."""
    long = " or ".join(f"({shape.name} is not None and len({shape.name}) > {ID_LENGTH})" for shape in ids)
    together = "".join(f"{{{shape.name}}}" for shape in ids)
    return [f" if len(f'{together}') > {ID_LENGTH} and ({long}): raise Refused"] if ids else []


def _field_lines(shape: Shape, names: dict[str, Any], how: _Manner) -> list[str]:
    """The lines that check and convert one field, whose class was looked at."""
    name, lines = shape.name, _conversion(shape, names, how)
    if shape.rule and shape.rule is not ID:
        names[f"check_{name}"] = shape.rule.check
        names.update(shape.rule.names)
        lines.append(f"if {shape.rule.quick.format(v=name)} and check_{name}({name}) is not None: raise Refused")
    if shape.nullable and lines:
        return [f"if {name} is not None:", *(f" {line}" for line in lines)]
    return lines


def _conversion(shape: Shape, names: dict[str, Any], how: _Manner) -> list[str]:
    """The lines that make of a JSON value what the noun holds."""
    name = shape.name
    if shape.sort == "stamp":
        # Spelt out for what every release sends, which saves two calls.
        return [
            f"if {USUAL.format(v=name)}:",
            f" try: {name} = from_iso({name})",
            " except ValueError: raise Refused from None",
            "else:",
            f" {name} = read_stamp({name})",
            f" if {name} is None: raise Refused",
        ]
    if shape.sort == "choice":
        names[f"members_{name}"] = {member.value: member for member in shape.of}
        return [f"{name} = members_{name}.get({name})", f"if {name} is None: raise Refused"]
    if shape.sort == "texts":
        return [f"for item in {name}:", " if item.__class__ is not str: raise Refused", f"{name} = tuple({name})"]
    if shape.sort in ("noun", "nouns"):
        names[f"decode_{name}"] = decoder(shape.of, how)
        many = f"tuple([decode_{name}(item) for item in {name}])"
        return [f"{name} = {many if shape.sort == 'nouns' else f'decode_{name}({name})'}"]
    return []


def _encoder(cls: type[Value]) -> Callable[[Any], dict[str, Any]]:
    """The function that writes a `cls` as a plain object, every field present."""
    names: dict[str, Any] = {"encode": encode, "encoders": _ENCODERS}
    members = [f"'type': {tag!r}"] if (tag := tag_of(cls)) else []
    for shape in shapes(cls):
        read = f"noun.{shape.name}"
        if shape.sort == "noun":
            read = f"{read} and encode({read})" if shape.nullable else f"encode({read})"
        elif shape.sort == "nouns":
            read = f"[encode(item) for item in {read}]"
        elif shape.sort == "sealed":
            read = f"inner if (inner := {read}).__class__ is dict else encoders[inner.__class__](inner)"
        members.append(f"{shape.name!r}: {read}")
    lines = ["def encode_noun(noun):", f" return {{{', '.join(members)}}}"]
    return _compiled(lines, names, cls, "encode_noun")


class _Made(dict[K, Callable[[Any], Any]]):
    """A function for each noun, or manner, made when it is first asked for; found faster than behind `once`."""

    def __init__(self, make: Callable[[K], Callable[[Any], Any]]) -> None:
        self._make = make

    def __missing__(self, key: K) -> Callable[[Any], Any]:
        made = self[key] = self._make(key)
        return made


_ENCODERS: _Made[type[Value]] = _Made(_encoder)
_STRICT: _Made[type[Value]] = _Made(decoder)
#: What reads an envelope and its payload, strictly or past unknown fields.
_OPENED: _Made[bool] = _Made(lambda lenient: decoder(Envelope, _Manner(lenient, opened=True)))


def _compiled(lines: list[str], names: dict[str, Any], cls: type[Value], function: str) -> Callable[..., Any]:
    # The source is made of our own field names alone; nothing of a peer's goes into it.
    exec(compile("\n".join(lines), f"<{function} {cls.__name__}>", "exec"), names)  # nosec B102
    return cast(Callable[..., Any], names[function])


#: What nearly every request is read with; the other functions are made when they are first needed.
_read_brief = decoder(Envelope, _Manner(opened=True, brief=True))
