"""Changes an input where it is JSON by its values: a change of bytes mostly makes it none."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from asap_proto.errors import CATALOGUE
from asap_proto.model import SPELLINGS, TaskStatus
from asap_proto.wire.schema import EXTENSIONS, SCHEMAS
from asap_proto.wire.shapes import known_names
from fuzz.seeds import FIRST_TASK
from fuzz.server import BETWEEN, LATER, REST, SKILLS

#: How often bytes are changed, as libFuzzer does it; what is no JSON is always changed so.
_PLAINLY = 0.3

_NAMES = sorted({name for noun in SCHEMAS.values() for name in known_names(noun)} | EXTENSIONS.keys())
_WORDS = sorted({*SPELLINGS, *SKILLS, *CATALOGUE, *TaskStatus, FIRST_TASK, "asap.send", "respond-async", "2.0"})
_ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 1.0, -0.0, 1e308, 5e-324, 2**31, 2**53, 2**63, 2**64 - 1, -(2**63)),
    *("", " ", "\0", "\ufeff", "\u2028", "é", "\U0001f600", "x" * 257, "y" * 4097, "../..", "file:///x", "$", "1e5"),
    *("2026-01-02T03:04:05Z", "0001-01-01T00:00:00+14:00", "urn:asap:agent:x", "data:text/plain;base64,AA=="),
    *([], {}, [[]], [{}], {"": {}}, [None] * 51, {"question": "?"}, {"percent": 101}, {"timeout": 0}),
)


def mutated(data: bytes, most: int, seed: int, plainly: Callable[[bytes, int], bytes]) -> bytes:
    """The input changed in one place or a few, no longer than `most`; the same for the same `seed`."""
    chance = random.Random(seed)
    if len(data) < 3 or chance.random() < _PLAINLY:
        return plainly(data, most)
    first, parts = bytearray(data[:2]), data[2:].split(BETWEEN)
    if chance.random() < 0.1:
        first[chance.randrange(2)] ^= 1 << chance.randrange(8)
    number = chance.randrange(len(parts))
    part = parts[number].lstrip(LATER + REST)
    lead = parts[number][: len(parts[number]) - len(part)]
    try:
        value = orjson.loads(part)
    except orjson.JSONDecodeError:
        return plainly(data, most)
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        value = changed(value, chance)
    parts[number] = lead + orjson.dumps(value)
    if chance.random() < 0.15:
        parts.insert(chance.randrange(len(parts) + 1), chance.choice((b"", LATER, REST)) + chance.choice(parts))
    made = bytes(first) + BETWEEN.join(parts)
    return made if len(made) <= most else plainly(data, most)


def changed(value: Any, chance: random.Random) -> Any:
    """The value with one of all its values replaced, left out, moved, wrapped, or put beside another."""
    whole = [value]
    places = list(_places(whole))
    holder, key = chance.choice(places)
    match chance.randrange(8):
        case 0 | 1:
            holder[key] = _copy(chance.choice(_ODD))
        case 2:
            holder[key] = chance.choice(_WORDS)
        case 3 if holder is not whole:
            del holder[key]
        case 4:
            other, name = chance.choice(places)
            holder[key] = _copy(other[name])
        case 5 if isinstance(holder, dict):
            holder[chance.choice(_NAMES)] = _copy(chance.choice(_ODD))
        case 6 if isinstance(holder, dict):
            holder[chance.choice(_NAMES)] = holder.pop(key)
        case 7 if holder is whole:
            whole[0] = [value, _copy(value)]
        case 7 if isinstance(holder, list):
            holder.append(_copy(holder[key]))
        case _:
            holder[key] = chance.choice(([holder[key]], {chance.choice(_NAMES): holder[key]}))
    return whole[0]


def _copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    """Where each value stands that is in this list or object, or in one that is in it."""
    for key in holder if isinstance(holder, dict) else range(len(holder)):
        yield holder, key
        if isinstance(holder[key], dict | list):
            yield from _places(holder[key])
