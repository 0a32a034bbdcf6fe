"""What a skill's signature says of its input: a JSON Schema for the manifest, and a check on the way in."""

from __future__ import annotations

import enum
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any

import attrs
from cattrs import BaseValidationError, Converter, ForbiddenExtraKeysError, IterableValidationError
from cattrs.errors import IterableValidationNote
from cattrs.gen import make_dict_structure_fn

from asap_proto.errors import Fault, InvalidInput, Misuse
from asap_proto.model import Payload
from asap_proto.wire.faults import FAULTS_MOST, step
from asap_proto.wire.stamps import read_stamp

__all__ = ["Signature", "read_signature"]

_TYPES: Mapping[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    datetime: {"type": "string", "format": "date-time"},
    Any: {},
}


#: What no result can be: it is an object on the wire.
_UNSENDABLE = frozenset({str, int, float, bool, bytes, list, tuple, set, frozenset})


@attrs.frozen
class Signature:
    """How a handler is called: with its task, and where `input_class` is given, with the checked input."""

    input_class: type | None
    output_class: type | None

    @property
    def input_schema(self) -> dict[str, Any] | None:
        return _schema(self.input_class) if self.input_class else None

    @property
    def output_schema(self) -> dict[str, Any] | None:
        return _schema(self.output_class) if self.output_class else None

    def read(self, value: Any) -> Any:
        """The input as an instance of its class; raises `InvalidInput` with every fault."""
        assert self.input_class is not None
        try:
            return _CONVERTER.structure(value, self.input_class)
        except BaseValidationError as error:
            found = list(islice(_faults(error, "$.payload.input"), FAULTS_MOST))
            words = f"{found[0].path} {found[0].problem}"
            raise InvalidInput(f"the input does not fit: {words}", faults=found) from None

    def write(self, value: Any) -> Any:
        """What the handler returned, as plain JSON values where it is an attrs instance, but no payload."""
        if value.__class__ is dict or not attrs.has(type(value)) or isinstance(value, Payload):
            return value
        return _CONVERTER.unstructure(value)


def read_signature(handler: Callable[..., Any], *, name: str) -> Signature:
    """Raises `Misuse` for a handler that can't be called as one, or could never answer."""
    if inspect.isclass(handler):
        raise Misuse(
            f"the handler of {name!r} is the class {handler.__name__}; register an instance that can be called"
        )
    if isinstance(handler, functools.partial):
        raise Misuse(f"the handler of {name!r} is a functools.partial, whose types can't be read; wrap it in a def")
    try:
        given_parameters = tuple(inspect.signature(handler).parameters.values())
    except (TypeError, ValueError):
        raise Misuse(f"the handler of {name!r} has no signature that can be read; wrap it in a def") from None
    parameters = [
        p for p in given_parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if len(parameters) not in (1, 2) or any(p.kind is p.KEYWORD_ONLY for p in parameters):
        raise Misuse(f"the handler of {name!r} takes a task, or a task and its input; it was given {parameters}")
    called = handler if inspect.isroutine(handler) else type(handler).__call__
    if inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        raise Misuse(
            f"the handler of {name!r} yields; it has to return its result: see task.progress for what comes before"
        )
    hints = _hints(called, f"the handler of {name!r}")
    for spare in given_parameters:
        if spare not in parameters and attrs.has(hints.get(spare.name, type(None))):
            raise Misuse(
                f"the input of {name!r} has a default, and would never be read; take {spare.name!r} without one"
            )
    taken = hints.get(parameters[1].name) if len(parameters) == 2 else None
    if len(parameters) == 2 and not (isinstance(taken, type) and attrs.has(taken)):
        raise Misuse(f"the input of {name!r} needs an attrs class as its annotation")
    given = hints.get("return")
    if given in _UNSENDABLE or typing.get_origin(given) in _UNSENDABLE:
        raise Misuse(f"the handler of {name!r} says that it returns {given}; a result is an object, such as a dict")
    return Signature(taken, given if isinstance(given, type) and attrs.has(given) else None)


def _hints(of: Any, words: str) -> dict[str, Any]:
    """Annotations, as the types they name; raises `Misuse`."""
    try:
        return typing.get_type_hints(of)
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise Misuse(
            f"the annotations of {words} can't be read ({error}); define what they name at the top of their module"
        ) from None


def _schema(cls: type) -> dict[str, Any]:
    defs: dict[str, Any] = {}
    schema = _class_schema(cls, defs)
    return schema | ({"$defs": defs} if defs else {})


def _class_schema(cls: Any, defs: dict[str, Any]) -> dict[str, Any]:
    hints = _hints(cls, cls.__name__)
    fields = attrs.fields(cls)
    return {
        "type": "object",
        "title": cls.__name__,
        "properties": {field.name: _hint_schema(hints[field.name], defs) for field in fields},
        "required": [field.name for field in fields if field.default is attrs.NOTHING],
        "additionalProperties": False,
    }


def _hint_schema(hint: Any, defs: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in _TYPES:
        return dict(_TYPES[hint])
    if hint is types.NoneType:
        return {"type": "null"}
    if _is_union(hint):
        return {"anyOf": [_hint_schema(option, defs) for option in arguments]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if _is_fixed(hint):
        items = [_hint_schema(argument, defs) for argument in arguments]
        return {"type": "array", "items": False, **({"prefixItems": items, "minItems": len(items)} if items else {})}
    if origin in (list, tuple):
        return {"type": "array", "items": _hint_schema(arguments[0], defs)}
    if origin is dict and arguments[0] is str:
        return {"type": "object", "additionalProperties": _hint_schema(arguments[1], defs)}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [member.value for member in hint]}
    if attrs.has(hint):
        if hint.__name__ not in defs:
            defs[hint.__name__] = {}
            defs[hint.__name__] = _class_schema(hint, defs)
        return {"$ref": f"#/$defs/{hint.__name__}"}
    raise Misuse(f"a skill's input can't have a field of type {hint!r}; use JSON types, enums or attrs classes")


def _exact(*expected: type, words: str) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if value.__class__ in expected:
            return value
        raise ValueError(f"expected {words}")

    return check


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _is_array(hint: Any) -> bool:
    return typing.get_origin(hint) in (list, tuple)


def _is_fixed(hint: Any) -> bool:
    return typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] != (...,)


def _item_types(hint: Any, count: int) -> tuple[Any, ...]:
    """The type of each item of an array that has so many; raises `ValueError` where it may not."""
    arguments = typing.get_args(hint)
    if not _is_fixed(hint):
        return arguments[:1] * count
    if count != len(arguments):
        raise ValueError(f"expected {len(arguments)} items")
    return arguments


def _stamp(value: Any, _: Any) -> datetime:
    if (stamp := read_stamp(value)) is None:
        raise ValueError("expected a time, such as 2026-01-02T03:04:05Z")
    return stamp


def _strict() -> Converter:
    """cattrs, without its habit of turning 5 into "5" and false into True."""
    converter = Converter(forbid_extra_keys=True)
    converter.register_structure_hook(str, _exact(str, words="a string"))
    converter.register_structure_hook(int, _exact(int, words="an integer"))
    converter.register_structure_hook(bool, _exact(bool, words="true or false"))
    converter.register_structure_hook(float, _exact(float, int, words="a number"))
    converter.register_structure_hook(datetime, _stamp)

    def structure_object(cls: Any) -> Callable[[Any, Any], Any]:
        inner = make_dict_structure_fn(cls, converter, _cattrs_forbid_extra_keys=True)

        def structure(value: Any, hint: Any) -> Any:
            if value.__class__ is not dict:
                raise ValueError("expected an object")
            return inner(value, hint)

        return structure

    def structure_array(hint: Any) -> Callable[[Any, Any], Any]:
        make = typing.get_origin(hint)

        def structure(value: Any, _: Any) -> Any:
            if value.__class__ is not list:
                raise ValueError("expected an array")
            made, errors = [], []
            for index, (inner, item) in enumerate(zip(value, _item_types(hint, len(value)), strict=True)):
                try:
                    made.append(converter.structure(inner, item))
                except (ValueError, BaseValidationError) as error:
                    error.__notes__ = [IterableValidationNote("", index, item)]
                    errors.append(error)
            if errors:
                raise IterableValidationError("", errors, hint)
            return make(made)

        return structure

    def structure_union(hint: Any) -> Callable[[Any, Any], Any]:
        options = [option for option in typing.get_args(hint) if option is not types.NoneType]
        optional = len(options) < len(typing.get_args(hint))

        def structure(value: Any, _: Any) -> Any:
            if value is None and optional:
                return None
            if len(options) == 1:
                return converter.structure(value, options[0])
            for option in options:
                with suppress(ValueError, BaseValidationError):
                    return converter.structure(value, option)
            raise ValueError("fits none of its types")

        return structure

    converter.register_structure_hook_factory(_is_union, structure_union)
    converter.register_structure_hook_factory(attrs.has, structure_object)
    converter.register_structure_hook_factory(_is_array, structure_array)
    return converter


_CONVERTER = _strict()


def _faults(error: BaseException, path: str) -> Iterator[Fault]:
    if not isinstance(error, BaseValidationError):
        yield Fault(path, "input", _words(error))
        return
    noted, bare = error.group_exceptions()  # type: ignore[attr-defined]
    for inner, note in noted:
        yield from _faults(inner, step(path, note.index if isinstance(note, IterableValidationNote) else note.name))
    for inner in bare:
        yield from _faults(inner, path)


def _words(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return "is required"
    if isinstance(error, ForbiddenExtraKeysError):
        names = sorted(field[:64] for field in error.extra_fields)[:FAULTS_MOST]
        return f"has unknown fields: {', '.join(names)}"
    return str(error)[:200] if isinstance(error, ValueError) else "does not fit"
