"""The same functions for cattrs: for those who embed our nouns in structures of their own.

``converter.structure(obj, TaskRequest)`` and ``converter.unstructure(request)`` work for every noun.
Apart from `nouns`, so that only who needs cattrs waits for its import.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cattrs import Converter
from orjson import loads

from ..model import Part
from ..model._value import Value
from .json import dump
from .nouns import decode, decode_envelope, decode_part, encode

__all__ = ["converter", "decode", "decode_envelope", "decode_part", "encode"]


def _is_noun(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, Value)


def _structure_hook(cls: type[Value]) -> Callable[[Any, Any], Value]:
    return lambda value, _: decode(cls, value)


#: The cattrs converter of every noun.
converter = Converter()
converter.register_structure_hook_factory(_is_noun, _structure_hook)
# Through the text: times and enums become what JSON has for them.
converter.register_unstructure_hook_factory(_is_noun, lambda _: lambda value: loads(dump(encode(value))))
converter.register_structure_hook(Part, lambda value, _: decode_part(value))
