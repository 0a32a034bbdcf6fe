"""Who goes next: one of all the stories that can go on, chosen by a seed's chance. Time moves when none can."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Any, Protocol

from attrs import frozen

from asap_proto.model import make_ulid
from asap_proto.roles import InputNeeded, TaskCancelled
from asap_proto.sources import Sources
from asap_testkit import NOW

__all__ = ["WAITS", "Clock", "Cut", "Ended", "Late", "Place", "Process", "Scheduler", "Story"]

#: Yields what it asks, is sent the answers.
Story = Generator[Any, Any, Any]
#: Told what a story has returned, or raised.
Ended = Callable[[Any, BaseException | None], None]

#: What is answered to a command whose answer comes later.
WAITS: Any = object()

#: Lines of a run that are kept for whoever reads of its failure.
_TAIL = 80


class Cut(BaseException):
    """Ends a story where it waits, as a front does that shuts down, or whose caller has hung up."""


@frozen
class Late:
    """What a store has answered, or raised, and that is heard only so many seconds later."""

    value: Any
    seconds: float
    error: BaseException | None = None


class Place(Protocol):
    """Where stories run that go on, stand still and end together."""

    name: str
    frozen: bool
    parked: list[Process]

    def start(self, name: str, story: Story, ended: Ended) -> Process: ...


class Process:
    """A story that is told one command at a time; one that is killed ends without a word."""

    __slots__ = (
        "_answer",
        "_error",
        "children",
        "cut_off",
        "done",
        "ended",
        "name",
        "place",
        "story",
        "ticket",
        "waits",
    )

    def __init__(self, name: str, story: Story, place: Place | None, ended: Ended) -> None:
        self.name = name
        self.story = story
        self.place = place
        self.ended = ended
        self.done = False
        self.waits = False
        #: What it waits for has a number, so that an answer that comes too late is known for one.
        self.ticket = 0
        #: Whether it is to be cut off where it waits next.
        self.cut_off = False
        #: Stories that it waits for.
        self.children: tuple[Process, ...] = ()
        self._answer: Any = None
        self._error: BaseException | None = None

    def tell(self, answer: Any, error: BaseException | None = None) -> None:
        """What its story hears when it goes on."""
        self._answer, self._error = answer, error
        self.ticket += 1
        self.waits = False

    def go(self) -> Any:
        """What the story asks next; raises as it does."""
        answer, error = self._answer, self._error
        self._answer = self._error = None
        return self.story.send(answer) if error is None else self.story.throw(error)


class Time:
    """The true time, which stands until it is moved, and tokens made of chance."""

    def __init__(self, chance: random.Random) -> None:
        self.passed = 0.0
        self._chance = chance

    def new_id(self, at: datetime) -> str:
        return make_ulid(at, self._chance.getrandbits(80))

    def nonce(self) -> str:
        return f"nonce-{self._chance.getrandbits(64):016x}"

    def jitter(self) -> float:
        return self._chance.random()


class Clock:
    """What one machine believes the time to be. Its wall clock is wrong by `offset` seconds, and may jump."""

    def __init__(self, time: Time, offset: float) -> None:
        self._time = time
        self.offset = offset

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self._time.passed + self.offset)

    def elapsed(self) -> float:
        return 1000.0 + self._time.passed


class Scheduler:
    """The processes, and their time. All that happens is a line of the trace; `digest` is that of all lines.

    `perform` answers a command, or `WAITS` and sees to an answer later.
    """

    def __init__(self, seed: int, perform: Callable[[Process, Any], Any]) -> None:
        self.chance = random.Random(seed)
        self.time = Time(self.chance)
        self.steps = 0
        self.tail: deque[str] = deque(maxlen=_TAIL)
        self._perform = perform
        self._hash = blake2b(digest_size=16)
        self._ready: list[Process] = []
        self._timers: list[tuple[float, int, Process | None, int, Any]] = []
        self._timed = 0

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()

    @property
    def now(self) -> float:
        """The true time, in Unix seconds."""
        return NOW.timestamp() + self.time.passed

    def sources(self, clock: Clock) -> Sources:
        return Sources(clock, self.time)

    def note(self, line: str) -> None:
        """Adds a line to the trace."""
        text = f"{self.steps:6} {self.time.passed:9.4f} {line}"
        self.tail.append(text)
        self._hash.update(text.encode())

    def start(self, name: str, story: Story, ended: Ended, place: Place | None = None) -> Process:
        process = Process(name, story, place, ended)
        self._ready.append(process)
        return process

    def wake(self, process: Process, ticket: int, answer: Any, error: BaseException | None = None) -> None:
        """Answers what the process waits for by this ticket, if it still does."""
        if not process.done and process.waits and process.ticket == ticket:
            process.tell(answer, error)
            self._ready.append(process)

    def wake_later(self, seconds: float, process: Process, ticket: int, answer: Any) -> None:
        self._timed += 1
        heappush(self._timers, (self.time.passed + seconds, self._timed, process, ticket, answer))

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timed += 1
        heappush(self._timers, (self.time.passed + seconds, self._timed, None, 0, call))

    def cut(self, process: Process) -> None:
        """Cuts a process off where it waits; a store that it has asked it hears first."""
        if any(not child.done for child in process.children):
            for child in process.children:
                self.cut(child)
        elif process.waits:
            self.wake(process, process.ticket, None, Cut())
        elif not process.done:
            process.cut_off = True

    def kill(self, process: Process) -> None:
        """Ends a process here and now."""
        if not process.done:
            process.done = True
            process.story.close()

    def thaw(self, place: Place) -> None:
        """What stood still goes on."""
        self._ready += place.parked
        place.parked.clear()

    def step(self) -> bool:
        """One process goes on by one command, once time has moved to where one can; answers whether one could."""
        while (process := self._picked()) is None:
            if not self._timers:
                return False
            self._pass_time()
        self.steps += 1
        try:
            command = process.go()
        except StopIteration as end:
            self._over(process, end.value, None)
        except (Exception, Cut, InputNeeded, TaskCancelled) as error:
            self._over(process, None, error)
        else:
            self._ask(process, command)
        return True

    def _picked(self) -> Process | None:
        ready = self._ready
        while ready:
            index = int(self.chance.random() * len(ready))
            process, ready[index] = ready[index], ready[-1]
            ready.pop()
            if process.done:
                continue
            if process.place is not None and process.place.frozen:
                process.place.parked.append(process)
                continue
            return process
        return None

    def _pass_time(self) -> None:
        at, _, process, ticket, answer = heappop(self._timers)
        if process is None:
            self.time.passed = at
            answer()
        elif not process.done and process.waits and process.ticket == ticket:
            self.time.passed = at
            self.wake(process, ticket, answer)

    def _ask(self, process: Process, command: Any) -> None:
        answer = self._perform(process, command)
        if isinstance(answer, Late):
            process.tell(answer.value, answer.error)
            self.call_later(answer.seconds, lambda: self._ready.append(process))
        elif answer is not WAITS:
            process.tell(answer)
            self._ready.append(process)
        else:
            process.waits = True
            if process.cut_off:
                process.cut_off = False
                self.cut(process)

    def _over(self, process: Process, value: Any, error: BaseException | None) -> None:
        process.done = True
        self.note(f"{process.name} ends" + (f" with {error!r}" if error is not None else ""))
        process.ended(value, error)
