"""Threads for what an event loop waits for."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from typing import Any

__all__ = ["Call", "CutOff", "Threads"]


class CutOff(Exception):
    """What a thread does is not waited for any longer."""


class Call:
    """Something that a thread is to do: what comes of it, and how far it is."""

    __slots__ = ("alarms", "context", "function", "future", "given", "is_left", "is_over")

    def __init__(self, function: Callable[..., Any], given: tuple[Any, ...], future: asyncio.Future[Any]) -> None:
        self.function = function
        self.given = given
        self.context: Context = copy_context()
        self.future = future
        #: Which threads it was begun by.
        self.alarms: SimpleQueue[bool] | None = None
        self.is_over = False
        #: Whether nobody waits for it any more, though its thread goes on.
        self.is_left = False

    @property
    def begun(self) -> bool:
        """Whether it has found a thread."""
        return self.alarms is not None

    def cut_off(self) -> None:
        """Raises `CutOff` where it is waited for. To be called in the event loop."""
        if not self.future.done():
            self.future.set_exception(CutOff())


class Threads:
    """At most so many threads, for one event loop; what finds none waits for its turn.

    One is called only where there is work and none is on its way: where what they do waits for nothing, few of them
    do it all, as only one at a time can run. What has come of it by the time the loop looks is handed over at once.
    A thread can't be cut off: one that is waited for no longer goes on, beside these, or as one of them where it
    `keeps_place`.
    """

    def __init__(self, most: int, name: str, *, keeps_place: bool = False) -> None:
        self._most = most
        self._name = name
        self._keeps_place = keeps_place
        self._lock = threading.Lock()
        self._waiting: deque[Call] = deque()
        self._count = 0
        self._asleep = 0
        self._is_coming = False
        #: Wakes a thread, or with false ends it; another one once these threads are to end.
        self._alarms: SimpleQueue[bool] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._is_told = False

    def begin(self, function: Callable[..., Any], *given: Any) -> Call:
        """Has it called by a thread, for `outcome` to wait for. To be called in the event loop."""
        call = Call(function, given, asyncio.get_running_loop().create_future())
        with self._lock:
            self._waiting.append(call)
            needs_new = self._call_one()
        if needs_new and not self._start():
            with self._lock:
                if not call.begun:
                    self._waiting.remove(call)
                    raise RuntimeError("no thread can be started")
        return call

    async def outcome(self, call: Call) -> Any:
        """What it returned or raised. Whoever is cut off while it waits leaves the thread alone."""
        try:
            return await call.future
        finally:
            if not call.is_over:
                self._leave(call)

    async def run(self, function: Callable[..., Any], *given: Any) -> Any:
        """The same in one step."""
        return await self.outcome(self.begin(function, *given))

    def end(self) -> None:
        """Ends the threads, those that are at work once nothing is left for them."""
        with self._lock:
            for _ in range(self._asleep):
                self._alarms.put(False)
            self._alarms = SimpleQueue()
            self._count = self._asleep = 0
            self._is_coming = False

    def _call_one(self) -> bool:
        """Has a thread come, where one is needed; answers whether it has to be started. To be called with the lock."""
        if not self._waiting or self._is_coming or not (self._asleep or self._count < self._most):
            return False
        self._is_coming = True
        if self._asleep:
            self._asleep -= 1
            self._alarms.put(True)
            return False
        self._count += 1
        return True

    def _start(self) -> bool:
        """Starts a thread; where the system has no more of them, those that are there do it, if there are any."""
        alarms = self._alarms
        try:
            threading.Thread(target=self._serve, args=(alarms,), name=self._name).start()
        except RuntimeError:
            with self._lock:
                if alarms is self._alarms:
                    self._count -= 1
                    self._is_coming = False
                return self._count > 0
        return True

    def _leave(self, call: Call) -> None:
        """Waits for it no longer."""
        needs_new = False
        with self._lock:
            if call.is_over:
                return
            call.is_left = True
            if not call.begun:
                self._waiting.remove(call)
            elif not self._keeps_place and call.alarms is self._alarms:
                self._count -= 1
                needs_new = self._call_one()
        if needs_new:
            self._start()

    def _serve(self, alarms: SimpleQueue[bool]) -> None:
        """What each thread does."""
        was_called = True
        while True:
            needs_new = False
            with self._lock:
                if was_called and alarms is self._alarms:
                    self._is_coming = False
                call = self._waiting.popleft() if self._waiting else None
                if call is not None:
                    call.alarms = alarms
                    needs_new = self._call_one()
                elif alarms is not self._alarms:
                    return
                else:
                    self._asleep += 1
            was_called = call is None
            if call is None:
                if not alarms.get():
                    return
                continue
            if needs_new:
                self._start()
            self._perform(call)
            if call.is_left and not self._keeps_place:
                return
            del call  # a thread that sleeps holds nothing of it

    def _perform(self, call: Call) -> None:
        result, error = None, None
        try:
            result = call.context.run(call.function, *call.given)
        except BaseException as raised:  # noqa: BLE001  (it is raised where it is waited for)
            error = raised
        self._done.append((call.future, result, error))
        with self._lock:
            call.is_over = True
            tells, self._is_told = not self._is_told, True
        if tells:
            try:
                call.future.get_loop().call_soon_threadsafe(self._hand_over)
            except RuntimeError:  # the loop is no more
                self._is_told = False

    def _hand_over(self) -> None:
        """Ends the waiting for all that is done by now; what is done after this has looked is told anew."""
        self._is_told = False
        while self._done:
            future, result, error = self._done.popleft()
            if future.done():
                continue
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)
