"""The whole loop: a story asks, a performer answers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from asap_proto.errors import AsapError
from asap_proto.roles import AnyCommand, Steps, Together

__all__ = ["Perform", "drive", "drive_together", "side_by_side"]

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

    async def tell(index: int) -> Any:
        try:
            return await drive(command.stories[index], perform)
        except AsapError as error:
            return error

    return tuple(await side_by_side(tell, len(command.stories), command.most))


async def side_by_side(begin: Callable[[int], Any], count: int, most: int) -> list[Any]:
    """What `begin` gives for each number below `count`, or the coroutine that it gives; at most so many at once.

    Another task is started only where one waits: what is there at once needs none. So one task has many in turn, and
    gives each a context of its own, as a task would: nothing that one sets is there in another.
    """
    results: list[Any] = [None] * count
    left, tasks = iter(range(count)), 1

    async def work() -> None:
        nonlocal tasks
        for index in left:
            context = copy_context()
            answer = context.run(begin, index)
            if answer.__class__ is CoroutineType:
                if tasks < most and index + 1 < count:
                    tasks += 1
                    group.start_soon(work)
                answer = await _Apart(answer, context)
            elif index % most == most - 1:
                await anyio.lowlevel.checkpoint()  # others have their turn
            results[index] = answer

    async with anyio.create_task_group() as group:
        await work()
    return results


class _Apart:
    """A coroutine that goes on in a context of its own, to be awaited."""

    def __init__(self, running: Coroutine[Any, Any, Any], context: Context) -> None:
        self._running = running
        self._context = context

    def __await__(self) -> Generator[Any, Any, Any]:
        run, step, answer = self._context.run, self._running.send, None
        while True:
            try:
                waits_for = run(step, answer)
            except StopIteration as finish:
                return finish.value
            try:
                answer, step = (yield waits_for), self._running.send
            except BaseException as error:  # noqa: BLE001  (cancellation too goes where it belongs)
                answer, step = error, self._running.throw
