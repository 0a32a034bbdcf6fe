"""The caller of a measured server: a process with many connections, one request at a time on each.

It says on stdin and stdout (see `lines`) what it did. An answer counts if it is a result of status 200 that belongs to
its request; all else is told under `failures`, and makes the measurement void. Under pressure a server may turn some
requests away, with status 503: that is told under `refused`, and is no failure there.
"""

from __future__ import annotations

import asyncio
import gc
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from functools import partial
from time import perf_counter
from typing import Any, Final

from .letters import Letters
from .lines import asked, say
from .messages import end_of

__all__: list[str] = []


_REFUSED: Final = "HTTP 503"
#: How long a connection waits that was turned away: about what it is told to (`Retry-After: 1`).
_RETRY_SECONDS: Final = 1.0
#: First requests that are sent together: an agent may have fewer places for requests than for connections.
_FIRST_AT_ONCE = 100


class _Tally:
    """What came of it all."""

    def __init__(self, *, may_refuse: bool = False) -> None:
        self.took = array("d")
        self.failures: Counter[str] = Counter()
        self.may_refuse = may_refuse
        self.refused = 0

    def told(self, **more: float) -> dict[str, Any]:
        ranked = sorted(self.took)
        middle, late, latest = (
            1000 * ranked[min(len(ranked) - 1, int(len(ranked) * part))] if ranked else 0.0
            for part in (0.5, 0.95, 0.99)
        )
        if not ranked and not self.failures and not self.refused:
            self.failures["no answer at all"] = 1
        return {
            "answers": len(ranked),
            "p50": middle,
            "p95": late,
            "p99": latest,
            "refused": self.refused,
            "failures": self.failures,
            **more,
        }


class _Connection(asyncio.Protocol):
    """One request at a time: the next one goes out when the caller says so."""

    def __init__(self, letters: Iterator[tuple[bytes, bytes]], head: bytes, *, repeats_mark: bool) -> None:
        self._letters = letters
        self._head = head
        self._repeats_mark = repeats_mark
        self._held = b""
        self._mark = b""
        self._since = 0.0
        self.is_waiting = False
        self.tally = _Tally()
        self.answered: Any = None
        self.due: deque[float] = deque()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def connection_lost(self, error: Exception | None) -> None:
        if self.is_waiting:
            self._end("connection lost")

    def send(self, since: float | None = None) -> None:
        """The next request; its answer is late from now on, or from when it was due."""
        self._mark, body = next(self._letters)
        self.is_waiting = True
        self._since = perf_counter() if since is None else since
        if self.transport.is_closing():
            self._end("connection lost")
        else:
            self.transport.write(self._head + body)

    def data_received(self, data: bytes) -> None:
        data = self._held + data if self._held else data
        begin, end = end_of(data)
        if not begin or len(data) < end:
            self._held = data
            return
        self._held = b""
        if not data.startswith(b"HTTP/1.1 200"):
            failure = f"HTTP {data[9:12].decode(errors='replace')}"
        elif b'"result"' not in data or b'"error":{' in data:
            failure = "an error with HTTP 200"
        elif self._repeats_mark and self._mark not in data:
            failure = "the answer to another request"
        else:
            failure = ""
        self._end(failure)

    def _end(self, failure: str) -> None:
        if failure == _REFUSED and self.tally.may_refuse:
            self.tally.refused += 1
        elif failure:
            self.tally.failures[failure] += 1
        else:
            self.tally.took.append(perf_counter() - self._since)
        self.is_waiting = False
        self.answered(self, failure)


class _Load:
    """All connections to one server."""

    def __init__(self) -> None:
        self._open: list[_Connection] = []

    async def open(
        self,
        *,
        port: int,
        connections: int,
        head: str,
        letter: dict[str, Any],
        repeats_mark: bool,
    ) -> Any:
        """Connects, and asks once on each connection, so that the server has met them all."""
        letters = iter(Letters(**letter))
        made = partial(_Connection, letters, head.encode(), repeats_mark=repeats_mark)
        loop = asyncio.get_running_loop()
        while (room := connections - len(self._open)) > 0:
            some = [
                (await loop.create_connection(made, "127.0.0.1", port))[1] for _ in range(min(room, _FIRST_AT_ONCE))
            ]
            self._open += some
            told = await self._ask(some, 0.0)
            if told["failures"]:
                return told
        return {}

    async def run(self, *, seconds: float, may_refuse: bool = False) -> Any:
        """Asks again and again on each connection, and lets the last ones be answered; who is refused waits a while."""
        return await self._ask(self._open, seconds, may_refuse=may_refuse)

    async def _ask(self, connections: list[_Connection], seconds: float, *, may_refuse: bool = False) -> dict[str, Any]:
        tally, left, over = _begin(connections, may_refuse=may_refuse)
        in_time = 0
        until = perf_counter() + seconds
        loop = asyncio.get_running_loop()

        def answered(connection: _Connection, failure: str) -> None:
            nonlocal left, in_time
            if perf_counter() < until and not failure:
                in_time += 1
                connection.send()
                return
            if perf_counter() + _RETRY_SECONDS < until and failure == _REFUSED and may_refuse:
                loop.call_later(_RETRY_SECONDS, connection.send)
                return
            left -= 1
            if not left:
                over.set()

        for connection in connections:
            connection.answered = answered
            connection.send()
        await over.wait()
        return tally.told(rate=in_time / seconds if seconds else 0.0)

    async def pace(self, *, rate: float, seconds: float, presses: bool = False) -> Any:
        """Asks at a steady rate, whatever the answers take: how late each is counts from when its request was due.

        Who `presses` asks for more than can be done: it may be turned away, and when its time is over it goes, whatever
        is due and was not sent.
        """
        tally, _, over = _begin(self._open, may_refuse=presses)
        left = count = int(rate * seconds)
        in_time = 0

        def answered(connection: _Connection, failure: str) -> None:
            nonlocal left, in_time
            left -= 1
            in_time += not failure and perf_counter() < until
            if not left:
                over.set()
            elif connection.due:
                connection.send(connection.due.popleft())

        for connection in self._open:
            connection.answered = answered
        begin = perf_counter()
        until = begin + seconds
        for number in range(count):
            due = begin + number / rate
            if (wait := due - perf_counter()) > 0:
                await asyncio.sleep(wait)
            connection = self._open[number % len(self._open)]
            if connection.is_waiting:
                connection.due.append(due)
            else:
                connection.send(due)
        unsent = 0
        if presses:
            await asyncio.sleep(until - perf_counter())
            for connection in self._open:
                unsent += len(connection.due)
                connection.due.clear()
            left -= unsent
            if not left:
                over.set()
        await over.wait()
        return tally.told(rate=in_time / seconds, unsent=unsent)

    async def close(self) -> Any:
        for connection in self._open:
            connection.transport.abort()
        self._open.clear()
        await asyncio.sleep(0)
        return {}


def _begin(connections: list[_Connection], *, may_refuse: bool = False) -> tuple[_Tally, int, asyncio.Event]:
    """A tally for these connections, how many they are, and what is set when all is over."""
    tally = _Tally(may_refuse=may_refuse)
    for connection in connections:
        connection.tally = tally
        connection.due.clear()
    gc.collect()
    return tally, len(connections), asyncio.Event()


def _main() -> None:
    from .files import open_many

    open_many()
    gc.disable()  # it would be counted as the server's being late
    load = _Load()
    with asyncio.Runner(loop_factory=_loop) as runner:
        for what in asked():
            say(runner.run(getattr(load, what.pop("do"))(**what)))


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ModuleNotFoundError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


if __name__ == "__main__":
    _main()
