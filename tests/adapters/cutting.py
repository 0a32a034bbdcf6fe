"""Cancelling at the n-th await, for every n: what is left behind afterwards?"""

from collections.abc import Awaitable, Callable, Generator
from typing import Any

import anyio
import anyio.lowlevel


class _Counted:
    """Awaits, and tells each time the event loop is given the turn."""

    def __init__(self, awaited: Awaitable[Any], each: Callable[[], None]) -> None:
        self._inner = awaited.__await__()
        self._each = each

    def __await__(self) -> Generator[Any, Any, Any]:
        step, value = self._inner.send, None
        while True:
            try:
                trap = step(value)
            except StopIteration as end:
                return end.value
            self._each()
            try:
                step, value = self._inner.send, (yield trap)
            except BaseException as error:
                step, value = self._inner.throw, error


async def cut_everywhere(make: Callable[[], Awaitable[Any]], after: Callable[[], Awaitable[None]]) -> int:
    """Runs `make()` cut at its 1st, 2nd, … await until it ends by itself; `after` looks round each time."""
    at = 0
    while True:
        at += 1
        awaits = 0
        with anyio.CancelScope() as scope:

            def each() -> None:
                nonlocal awaits
                awaits += 1
                if awaits == at:  # noqa: B023  (called within this turn)
                    scope.cancel()

            with anyio.fail_after(20):
                await _Counted(make(), each)
        await after()
        if awaits < at:
            return at - 1
        assert at < 500, "it never ends"


async def cut_any_time(make: Callable[[], Awaitable[Any]], after: Callable[[], Awaitable[None]]) -> int:
    """As `cut_everywhere`, for work done by tasks of its own: cut after 1, 2, … turns of the event loop."""
    at = 0
    while True:
        at += 1
        done = False

        async def act() -> None:
            nonlocal done
            await make()
            done = True

        async with anyio.create_task_group() as group:
            group.start_soon(act)
            for _ in range(at):
                await anyio.lowlevel.checkpoint()
            if done:
                return at
            group.cancel_scope.cancel()
        await after()
