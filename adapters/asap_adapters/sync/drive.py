"""The whole loop, without await: a story asks, a performer answers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from asap_proto.errors import AsapError
from asap_proto.roles import AnyCommand, Steps, Together

__all__ = ["Perform", "drive", "drive_together", "side_by_side"]

R = TypeVar("R")

Perform = Callable[[AnyCommand], Any]


#: Whose turn it is, where a role has state.
Turn = AbstractContextManager[Any]


def drive(steps: Steps[R], perform: Perform, turn: Turn | None = None) -> R:
    """Tells the story to its end. What befalls the performer befalls the story there.

    Stories of one role that threads share take their steps in `turn`, one at a time.
    """
    answer: Any = None
    tell = steps.send
    while True:
        try:
            if turn is None:
                command = tell(answer)
            else:
                with turn:
                    command = tell(answer)
        except StopIteration as finish:
            return finish.value  # type: ignore[no-any-return]
        try:
            answer, tell = perform(command), steps.send
        except BaseException as error:  # noqa: BLE001  (the story ends with it)
            answer, tell = error, steps.throw


def drive_together(command: Together, perform: Perform, turn: Turn) -> tuple[Any, ...]:
    """Several stories side by side, each with its result or its `AsapError`."""

    def tell(steps: Steps[Any]) -> Any:
        try:
            return drive(steps, perform, turn)
        except AsapError as error:
            return error

    most = min(command.most, len(command.stories))
    with ThreadPoolExecutor(max_workers=most, thread_name_prefix="asap-together") as threads:
        return tuple(threads.map(tell, command.stories))


def side_by_side(
    begin: Callable[[int], R], count: int, most: int, submit: Callable[[Callable[[], None]], object]
) -> list[R]:
    """What `begin` gives for each number below `count`, in this thread and in others; at most so many at once.

    Another thread is called for where one begins, and none is on its way: where nothing waits, it comes when all is
    done. Whatever is raised is raised here, once nothing runs any more.
    """
    results: list[Any] = [None] * count
    left = iter(range(count))
    turn = threading.Condition()
    called, helping, raised = 0, 0, []
    is_coming = False

    def work() -> None:
        nonlocal called, is_coming
        for index in left:
            with turn:
                calls = not is_coming and called < most - 1 and index + 1 < count
                if calls:
                    called, is_coming = called + 1, True
            if calls:
                submit(help_out)
            try:
                results[index] = begin(index)
            except BaseException as error:  # noqa: BLE001  (it is raised below)
                raised.append((index, error))
                for _ in left:
                    pass  # nothing more is begun

    def help_out() -> None:
        nonlocal helping, is_coming
        with turn:
            helping, is_coming = helping + 1, False
        work()
        with turn:
            helping -= 1
            turn.notify()

    work()
    with turn:
        # Whoever comes later finds nothing left.
        turn.wait_for(lambda: not helping)
    if raised:
        raise min(raised)[1]
    return results
