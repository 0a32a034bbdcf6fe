"""The whole loop, without await: a story asks, a performer answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

from asap_proto.errors import AsapError
from asap_proto.roles import AnyCommand, Steps, Together

__all__ = ["Perform", "drive", "drive_together"]

R = TypeVar("R")

Perform = Callable[[AnyCommand], Any]


def drive(steps: Steps[R], perform: Perform) -> R:
    """Tells the story to its end. Interrupted, it closes the story first."""
    answer: Any = None
    with closing(steps):
        while True:
            try:
                command = steps.send(answer)
            except StopIteration as finish:
                return finish.value  # type: ignore[no-any-return]
            answer = perform(command)


def drive_together(command: Together, perform: Perform) -> tuple[Any, ...]:
    """Several stories side by side, each with its result or its `AsapError`."""

    def tell(steps: Steps[Any]) -> Any:
        try:
            return drive(steps, perform)
        except AsapError as error:
            return error

    most = min(command.most, len(command.stories))
    with ThreadPoolExecutor(max_workers=most, thread_name_prefix="asap-together") as threads:
        return tuple(threads.map(tell, command.stories))
