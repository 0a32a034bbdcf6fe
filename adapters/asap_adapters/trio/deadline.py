"""How long a handler may run, and how a store that works in threads is waited for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any, TypeVar

import trio

from asap_proto.roles import Returned, TimedOut

from .._awaiting.begun import Begun
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


def within(
    seconds: float, running: Coroutine[Any, Any, Any], as_run: Callable[[], Wait]
) -> Returned | Coroutine[Any, Any, Returned | TimedOut]:
    """What a coroutine gives: at once where it never waits, else to be awaited, before anything else is.

    That is for at most so many seconds, or until `as_run`, asked for only then, is cut off.
    Until the first wait nothing could be cut off,
    so there is no deadline before; but a coroutine may enter scopes of its own, which have to stand in that of the run.
    """
    scope = trio.CancelScope()
    scope.__enter__()
    try:
        first = running.send(None)
    except StopIteration as finish:
        scope.__exit__(None, None, None)
        return Returned(finish.value)
    except BaseException as error:
        scope.__exit__(type(error), error, error.__traceback__)
        raise
    run = as_run()
    run.cut = scope.cancel
    return _waiting(seconds, Begun(running, first), run, scope)


async def _waiting(seconds: float, begun: Begun, run: Wait, scope: trio.CancelScope) -> Returned | TimedOut:
    """The rest of it, in the scope that was entered before."""
    with ExitStack() as entered:
        entered.push(scope)
        scope.deadline = trio.current_time() + seconds
        if run.waits is not None:
            run.waits(run)
        if run.interrupted:  # as it waited for something else
            scope.cancel()
        return Returned(await begun)
    return TimedOut()
