"""Plain JSON values to nouns and back: one strict function for each noun, generated from its fields.

Nothing is coerced. The fast function only says yes or no; what exactly is wrong is found by a second
pass (`faults`), which runs on failure alone. The functions are registered with cattrs, so
``converter.structure(obj, TaskRequest)`` and ``converter.unstructure(request)`` work for every noun.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from cattrs import Converter

from ..errors import AsapError, MalformedEnvelope, MalformedPayload
from ..model import PARTS, SPELLINGS, Envelope, Part
from ..model._value import Value
from . import faults
from .shapes import MISSING, Shape, known_names, once, shapes, tag_of
from .stamps import read_stamp

__all__ = ["converter", "decode", "decode_envelope", "decode_part", "encode"]

V = TypeVar("V", bound=Value)

_TAGS = {tag_of(part): part for part in PARTS}


class _Refused(Exception):
    """The fast pass said no."""


def decode(cls: type[V], value: Any, *, lenient: bool = False, error: type[AsapError] = MalformedEnvelope) -> V:
    """`value` as a `cls`; raises `error` with every fault and its path.

    `lenient` passes over unknown fields: for what a newer peer answers or publishes.
    """
    try:
        return decoder(cls, lenient)(value)  # type: ignore[no-any-return]
    except _Refused:
        raise faults.explained(cls, value, lenient=lenient, error=error) from None


def decode_envelope(
    value: Any,
    *,
    lenient: bool = False,
    error: type[AsapError] = MalformedEnvelope,
    payload_error: type[AsapError] = MalformedPayload,
) -> Envelope:
    """An envelope and, where its type is known, its payload; raises `error` or `payload_error`.

    A payload of unknown type stays the JSON object it is: whoever passes envelopes on need not know all.
    """
    try:
        return decoder(Envelope, lenient, True)(value)  # type: ignore[no-any-return]
    except _Refused:
        envelope = decode(Envelope, value, lenient=lenient, error=error)
        kind = SPELLINGS[envelope.payload_type]
        raise faults.explained(kind, envelope.payload, lenient=lenient, error=payload_error).under(
            "$.payload"
        ) from None


def decode_part(value: Any, *, error: type[AsapError] = MalformedEnvelope) -> Part:
    """`value` as the part that its ``type`` names; raises `error`."""
    if value.__class__ is not dict:
        raise error("a part is an object", faults=[faults.wrong("$", "object", value)])
    tag = value.get("type")
    part = _TAGS.get(tag) if tag.__class__ is str else None
    if part is None:
        raise error("no such part", faults=[faults.unknown_tag(value, [str(known) for known in _TAGS])])
    return decode(part, value, error=error)


def encode(noun: Value) -> dict[str, Any]:
    """`noun` as a plain object for the JSON encoder, which writes times and enums itself."""
    return _ENCODERS[noun.__class__](noun)


@once
def decoder(cls: type[Value], lenient: bool = False, opened: bool = False) -> Callable[[Any], Any]:
    """The strict function that makes a `cls` or raises `_Refused`; `opened` reads an envelope's payload too."""
    names: dict[str, Any] = {
        "ABSENT": MISSING,
        "Refused": _Refused,
        "cls": cls,
        "draft": _draft(cls),
        "known": known_names(cls),
        "new": object.__new__,
        "read_stamp": read_stamp,
    }
    fields = shapes(cls)
    tag = tag_of(cls)
    lines = ["def decode(value):", " if value.__class__ is not dict: raise Refused"]
    if tag:
        lines.append(f" if value.get('type') != {tag!r}: raise Refused")
    lines += [" get = value.get", f" seen = {len(fields) + bool(tag)}", " try:"]
    lines += [f"  {s.name} = value[{s.name!r}]" for s in fields if s.required] or ["  pass"]
    lines += [" except KeyError: raise Refused from None"]
    for shape in fields:
        lines += [f" {line}" for line in _field_lines(shape, names, lenient)]
    if not lenient:
        # Cheaper than a look at each key; only where the count is off can one be unknown.
        lines.append(" if len(value) != seen and not value.keys() <= known: raise Refused")
    if opened:
        names["readers"] = {name: decoder(kind, lenient) for name, kind in SPELLINGS.items()}
        lines += [" read = readers.get(payload_type)", " if read is not None: payload = read(payload)"]
    # A frozen noun's own __init__ costs three times as much as to fill a mutable twin of the same slots.
    lines += [" noun = new(draft)", *(f" noun.{s.name} = {s.name}" for s in fields), " noun.__class__ = cls"]
    if cls.flaw is not Value.flaw:
        lines.append(" if noun.flaw() is not None: raise Refused")
    lines.append(" return noun")
    return _compiled(lines, names, cls, "decode")


def _field_lines(shape: Shape, names: dict[str, Any], lenient: bool) -> list[str]:
    """The lines that read, check and convert one field."""
    name = shape.name
    check = [f" {line}" for line in _check_lines(shape, names, lenient)]
    if shape.required:
        return [f"if {name} is not None:", *check] if shape.nullable else [line[1:] for line in check]
    names[f"default_{name}"] = shape.default
    absent = [f"{name} = get({name!r}, ABSENT)", f"if {name} is ABSENT: {name} = default_{name}; seen -= 1"]
    return [*absent, f"elif {name} is not None:" if shape.nullable else "else:", *check]


def _check_lines(shape: Shape, names: dict[str, Any], lenient: bool) -> list[str]:
    name = shape.name
    exact = {"text": "str", "integer": "int", "flag": "bool", "object": "dict", "sealed": "dict"}
    lines: list[str] = []
    if shape.sort in exact:
        lines.append(f"if {name}.__class__ is not {exact[shape.sort]}: raise Refused")
    elif shape.sort == "stamp":
        lines += [f"{name} = read_stamp({name})", f"if {name} is None: raise Refused"]
    elif shape.sort == "choice":
        names[f"members_{name}"] = {member.value: member for member in shape.of}
        lines += [
            f"if {name}.__class__ is not str: raise Refused",
            f"{name} = members_{name}.get({name})",
            f"if {name} is None: raise Refused",
        ]
    elif shape.sort == "noun":
        names[f"decode_{name}"] = decoder(shape.of, lenient)
        lines.append(f"{name} = decode_{name}({name})")
    else:
        lines.append(f"if {name}.__class__ is not list: raise Refused")
        if shape.sort == "texts":
            lines += [f"for item in {name}:", " if item.__class__ is not str: raise Refused"]
            lines.append(f"{name} = tuple({name})")
        else:
            names[f"decode_{name}"] = decoder(shape.of, lenient)
            lines.append(f"{name} = tuple([decode_{name}(item) for item in {name}])")
    if shape.rule:
        names[f"check_{name}"] = shape.rule.check
        quick = shape.rule.quick.format(v=name)
        names.update(shape.rule.names)
        lines.append(f"if {quick} and check_{name}({name}) is not None: raise Refused")
    return lines


class _Encoders(dict[type[Value], Callable[[Any], dict[str, Any]]]):
    """The encoder of each noun, made when it is first asked for."""

    def __missing__(self, cls: type[Value]) -> Callable[[Any], dict[str, Any]]:
        made = self[cls] = _encoder(cls)
        return made


_ENCODERS = _Encoders()


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


def _draft(cls: type[Value]) -> type:
    """The mutable twin of a noun: the same base and slots, so its instance may become the noun itself."""
    return type("Draft", (Value,), {"__slots__": cls.__slots__})


def _compiled(lines: list[str], names: dict[str, Any], cls: type[Value], function: str) -> Callable[..., Any]:
    # The source is made of our own field names alone; nothing of a peer's goes into it.
    exec(compile("\n".join(lines), f"<{function} {cls.__name__}>", "exec"), names)
    return cast(Callable[..., Any], names[function])


def _is_noun(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Value)


def _structure_hook(cls: type[Value]) -> Callable[[Any, Any], Value]:
    return lambda value, _: decode(cls, value)


#: The cattrs converter of every noun, for those who embed them in structures of their own.
converter = Converter()
converter.register_structure_hook_factory(_is_noun, _structure_hook)
converter.register_unstructure_hook_factory(_is_noun, lambda cls: _ENCODERS[cls])
converter.register_structure_hook(Part, lambda value, _: decode_part(value))
