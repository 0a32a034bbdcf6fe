"""JSON that nearly is a noun: a few random faults in an object."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

from ._values import Strategy, json_values, texts


@st.composite
def disturbed(draw: st.DrawFn, plain: Strategy[dict[str, Any]]) -> Any:
    """JSON objects from `plain` with a few fields dropped, renamed, retyped, added or copied elsewhere."""
    value = copy.deepcopy(draw(plain))
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.sampled_from(list(_objects_in(value))))
        _disturb(draw, place)
    return value


def _objects_in(value: Any) -> list[dict[str, Any]]:
    found = [value] if isinstance(value, dict) else []
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        found += _objects_in(item)
    return found


def _disturb(draw: st.DrawFn, place: dict[str, Any]) -> None:
    how = draw(st.sampled_from(("drop", "rename", "retype", "add", "copy", "null", "stretch")))
    if not place or how == "add":
        place[draw(texts(most=8))] = draw(json_values())
        return
    key = draw(st.sampled_from(list(place)))
    if how == "drop":
        del place[key]
    elif how == "rename":
        place[key + draw(st.sampled_from(("", "x", "\n", " ")))] = place.pop(key)
    elif how == "retype":
        place[key] = draw(json_values())
    elif how == "copy":
        place[key] = copy.deepcopy(place[draw(st.sampled_from(list(place)))])
    elif how == "null":
        place[key] = None
    else:
        place[key] = f"{place[key]}\n" if isinstance(place[key], str) else [place[key]]
