"""How long a handler may run, and how a store that works in threads is waited for."""

from __future__ import annotations

from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

import trio

from asap_proto.roles import Returned, TimedOut

from .._shared.performing import Wait

__all__ = ["outcome_of", "within"]

R = TypeVar("R")


async def outcome_of(future: Future[R]) -> R:
    """What a store that works in threads of its own has answered."""
    token, done = trio.lowlevel.current_trio_token(), trio.Event()

    def tell(_: Future[R]) -> None:
        try:
            token.run_sync_soon(done.set)
        except trio.RunFinishedError:
            return  # nobody waits any more

    future.add_done_callback(tell)
    await done.wait()
    return future.result()


async def within(seconds: float, running: Coroutine[Any, Any, Any], run: Wait) -> Returned | TimedOut:
    """Awaits for at most so many seconds, or until the run is cut off."""
    with trio.move_on_after(seconds) as scope:
        run.cut = scope.cancel
        if run.waits is not None:
            run.waits(run)
        return Returned(await running)
    return TimedOut()
