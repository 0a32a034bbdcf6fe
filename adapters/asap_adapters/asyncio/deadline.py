"""How long a handler may run, without paying for a timer that is never needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

from asap_proto.roles import Returned, TimedOut

from .._awaiting.begun import Begun
from .._shared.performing import Wait

__all__ = ["outcome_of", "within"]

R = TypeVar("R")


async def outcome_of(future: Future[R]) -> R:
    """What a store that works in threads of its own has answered.

    Whoever is cut off meanwhile hears of it then: a call that is under way is not given up.
    """
    waited, cut = asyncio.wrap_future(future), None
    while not waited.done():
        try:
            await asyncio.wait((waited,))
        except asyncio.CancelledError as error:
            cut = error
    if cut is not None:
        with suppress(Exception):  # nobody is left to be told what came of it
            waited.result()
        raise cut
    return waited.result()


def within(
    seconds: float, running: Coroutine[Any, Any, Any], as_run: Callable[[], Wait]
) -> Returned | Coroutine[Any, Any, Returned | TimedOut]:
    """What a coroutine gives: at once where it never waits, else to be awaited.

    That is for at most so many seconds, or until `as_run`, asked for only then, is cut off.
    Until the first wait nothing could be cut off:
    most handlers that only compute never wait, and are spared the 5 of 6 microseconds that a timer costs.
    """
    try:
        first = running.send(None)
    except StopIteration as finish:
        return Returned(finish.value)
    except asyncio.CancelledError as cut:
        _refuse_other(cut)
        raise
    return _waiting(seconds, Begun(running, first), as_run())


async def _waiting(seconds: float, begun: Begun, run: Wait) -> Returned | TimedOut:
    limit = asyncio.timeout(seconds)
    run.cut = partial(limit.reschedule, 0.0)
    if run.waits is not None:
        run.waits(run)
    try:
        async with limit:
            if run.interrupted:
                limit.reschedule(0.0)
            return Returned(await begun)
    except TimeoutError:
        # A handler may raise the same of its own.
        if limit.expired():
            return TimedOut()
        raise
    except asyncio.CancelledError as cut:
        _refuse_other(cut)
        raise


def _refuse_other(cut: asyncio.CancelledError) -> None:
    """A handler may await what somebody else cancelled: then it has failed, but nobody cancelled us."""
    task = asyncio.current_task()
    if task is not None and not task.cancelling():
        raise RuntimeError("the handler awaited what was cancelled") from cut
