"""The whole loop: a story asks, a performer answers."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, TypeVar

import anyio

from asap_proto.errors import AsapError
from asap_proto.roles import AnyCommand, Steps, Together

__all__ = ["Perform", "drive", "drive_together"]

R = TypeVar("R")

#: Gives a command's answer, or a coroutine of it: what need not wait is spared the coroutine.
Perform = Callable[[AnyCommand], Any]


async def drive(steps: Steps[R], perform: Perform) -> R:
    """Tells the story to its end. What befalls the performer, cancellation too, befalls the story there."""
    answer: Any = None
    tell = steps.send
    while True:
        try:
            command = tell(answer)
        except StopIteration as finish:
            return finish.value  # type: ignore[no-any-return]
        try:
            answer = perform(command)
            if answer.__class__ is CoroutineType:
                answer = await answer
            tell = steps.send
        except BaseException as error:  # noqa: BLE001  (the story ends with it)
            answer, tell = error, steps.throw


async def drive_together(command: Together, perform: Perform) -> tuple[Any, ...]:
    """Several stories side by side, each with its result or its `AsapError`."""
    results: list[Any] = [None] * len(command.stories)
    turn = anyio.CapacityLimiter(command.most)

    async def tell(index: int, steps: Steps[Any]) -> None:
        async with turn:
            try:
                results[index] = await drive(steps, perform)
            except AsapError as error:
                results[index] = error

    async with anyio.create_task_group() as group:
        for index, steps in enumerate(command.stories):
            group.start_soon(tell, index, steps)
    return tuple(results)
