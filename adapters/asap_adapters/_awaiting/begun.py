"""A coroutine that was begun before anybody knew whether it waits."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any

__all__ = ["Begun"]


class Begun:
    """A coroutine that has run to its first wait, to be awaited from there, before anything else is."""

    def __init__(self, running: Coroutine[Any, Any, Any], first: Any) -> None:
        self._running = running
        self._pending = first

    def __await__(self) -> Generator[Any, Any, Any]:
        while True:
            try:
                try:
                    answer = yield self._pending
                except BaseException as error:  # noqa: BLE001  (cancellation too goes where it belongs)
                    self._pending = self._running.throw(error)
                else:
                    self._pending = self._running.send(answer)
            except StopIteration as finish:
                return finish.value
