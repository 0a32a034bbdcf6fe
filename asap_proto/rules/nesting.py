"""How deep a subtask may go. Depth travels in the envelope's extensions, which every peer passes over."""

from __future__ import annotations

from ..errors import NestedTooDeep
from ..limits import TASK_DEPTH
from ..model._value import JsonObject

__all__ = ["DEPTH_EXTENSION", "check_depth", "child_depth", "depth_of"]

#: Where a request says how many tasks are above it.
DEPTH_EXTENSION = "task_depth"


def depth_of(extensions: JsonObject | None, *, most: int = TASK_DEPTH) -> int:
    """How deep a request says it is; without a word, 0. Raises `NestedTooDeep`."""
    depth = extensions.get(DEPTH_EXTENSION, 0) if extensions else 0
    if depth.__class__ is not int or depth < 0:
        raise NestedTooDeep("the depth of a task is a whole number from 0", path=f"$.extensions.{DEPTH_EXTENSION}")
    return check_depth(depth, most=most)


def check_depth(depth: int, *, most: int = TASK_DEPTH) -> int:
    """`depth`, if a task may be this deep; raises `NestedTooDeep`."""
    if depth > most:
        raise NestedTooDeep(
            f"a task at depth {depth}; at most {most} is allowed",
            path=f"$.extensions.{DEPTH_EXTENSION}",
            facts={"depth": depth, "most": most},
        )
    return depth


def child_depth(depth: int, *, most: int = TASK_DEPTH) -> int:
    """The depth of a subtask of a task at `depth`; raises `NestedTooDeep`."""
    return check_depth(depth + 1, most=most)
