"""The whole loop, without await: a story asks, a performer answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

from asap_proto.errors import AsapError
from asap_proto.roles import AnyCommand, Steps, Together

__all__ = ["Perform", "drive", "drive_together"]

R = TypeVar("R")

Perform = Callable[[AnyCommand], Any]


#: Whose turn it is, where a role has state.
Turn = AbstractContextManager[Any]

_NOBODY_ELSE: Turn = nullcontext()


def drive(steps: Steps[R], perform: Perform, turn: Turn = _NOBODY_ELSE) -> R:
    """Tells the story to its end. What befalls the performer befalls the story there.

    Stories of one role that threads share take their steps in `turn`, one at a time.
    """
    answer: Any = None
    tell = steps.send
    while True:
        try:
            with turn:
                command = tell(answer)
        except StopIteration as finish:
            return finish.value  # type: ignore[no-any-return]
        try:
            answer, tell = perform(command), steps.send
        except BaseException as error:  # noqa: BLE001  (the story ends with it)
            answer, tell = error, steps.throw


def drive_together(command: Together, perform: Perform, turn: Turn = _NOBODY_ELSE) -> tuple[Any, ...]:
    """Several stories side by side, each with its result or its `AsapError`."""

    def tell(steps: Steps[Any]) -> Any:
        try:
            return drive(steps, perform, turn)
        except AsapError as error:
            return error

    most = min(command.most, len(command.stories))
    with ThreadPoolExecutor(max_workers=most, thread_name_prefix="asap-together") as threads:
        return tuple(threads.map(tell, command.stories))
