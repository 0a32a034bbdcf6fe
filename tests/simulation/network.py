"""What lies between agents: requests and answers are lost, late, in another order, or come twice."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import orjson
from attrs import define, frozen

from asap_proto.http import HttpRequest, HttpResponse, RequestHead, TransportFailure
from asap_proto.model import Envelope
from asap_proto.roles import Admitted, Deliver, OpenStream, ReadStream, Together, Transmit

from .scheduler import WAITS, Cut, Process, Story

if TYPE_CHECKING:
    from .agents import Worker
    from .world import World

__all__ = ["Network", "Stream", "Towards", "Weather", "towards"]

_TIMED_OUT = TransportFailure("timed_out", "no answer")
_REFUSED = TransportFailure("refused", "connection refused")
_BROKEN = TransportFailure("broken", "connection reset")


@frozen
class Towards:
    """What a client's story asks of the network, and of whom: the story itself does not know its peer.

    Nothing, where it will read no more of a stream.
    """

    peer: str
    command: Any


def towards(peer: str, steps: Story, heard: list[Envelope] | None = None) -> Story:
    """A client's story, told to its peer; what it delivers is put into `heard`."""
    answer: Any = None
    while True:
        try:
            command = steps.send(answer)
        except StopIteration as end:
            return end.value
        if isinstance(command, Deliver):
            assert heard is not None, "only a stream delivers"
            heard.append(command.envelope)
            answer = None
        elif isinstance(command, Transmit | OpenStream | ReadStream):
            answer = yield Towards(peer, command)
        elif isinstance(command, Together):
            answer = yield Together(tuple(towards(peer, each) for each in command.stories), command.most)
        else:
            answer = yield command


@frozen
class Weather:
    """How likely each mishap is for one message; `delay` is the mean of its time on the way, in seconds."""

    refused: float
    lost: float
    broken: float
    twice: float
    delay: float


FAIR = Weather(0.0, 0.0, 0.0, 0.0, 0.01)


@define(eq=False)
class Stream:
    """An answer in parts: what was emitted, until it is read."""

    world: World
    opener: Process
    ticket: int
    parts: deque[bytes | TransportFailure | None]
    exchange: Process | None = None
    opened: bool = False
    closed: bool = False

    def emit(self, part: HttpResponse | bytes) -> None:
        if self.closed:
            return
        if isinstance(part, HttpResponse):
            self.opened = True
            self.world.scheduler.wake(self.opener, self.ticket, part)
        else:
            self._put(part)
            if self.world.chances(self.world.weather.broken):
                self._put(_BROKEN)
                self.close()

    def end(self, whole: HttpResponse | None, error: BaseException | None) -> None:
        """The server has said all; `whole` where it has answered without a stream."""
        if whole is not None:
            self.world.scheduler.wake(self.opener, self.ticket, whole)
        elif error is not None:
            self.fail()
        else:
            self._put(None)

    def fail(self) -> None:
        """The server is gone."""
        if not self.opened:
            self.world.scheduler.wake(self.opener, self.ticket, _BROKEN)
        else:
            self._put(_BROKEN)

    def close(self) -> None:
        """The reader is gone; the server learns of it where it waits."""
        self.closed = True
        if self.exchange is not None:
            self.world.scheduler.cut(self.exchange)

    def read(self, timeout: float) -> Any:
        if self.parts:
            return self.parts.popleft()
        self.ticket = self.opener.ticket
        self.world.scheduler.wake_later(timeout, self.opener, self.ticket, _TIMED_OUT)
        return WAITS

    def _put(self, part: bytes | TransportFailure | None) -> None:
        if self.opened and self.opener.waits and self.opener.ticket == self.ticket:
            self.world.scheduler.wake(self.opener, self.ticket, part)
        else:
            self.parts.append(part)


class Network:
    """Brings requests to some worker of an agent, and its answers back, as the weather is."""

    def __init__(self, world: World) -> None:
        self._world = world
        #: The streams by who reads them, and by who emits them.
        self._streams: dict[Process, Stream] = {}
        self._emitting: dict[Process, Stream] = {}
        self._count = 0

    def perform(self, process: Process, asked: Towards) -> Any:
        command = asked.command
        if command is None:
            return self.hang_up(process)
        if isinstance(command, ReadStream):
            return self._streams[process].read(command.timeout)
        world, weather = self._world, self._world.weather
        ticket = process.ticket
        world.scheduler.wake_later(command.timeout, process, ticket, _TIMED_OUT)
        if world.chances(weather.refused):
            world.scheduler.wake_later(world.delay(), process, ticket, _REFUSED)
        elif world.chances(weather.lost):
            world.counts["request lost"] += 1
        elif isinstance(command, OpenStream):
            self.hang_up(process)
            stream = self._streams[process] = Stream(world, process, ticket, deque())
            world.scheduler.call_later(world.delay(), lambda: self._open(asked.peer, command.request, stream))
        else:
            times = 1 + world.chances(weather.twice)
            if times == 2:
                world.hear_twice(orjson.loads(command.request.body))
            for _ in range(times):
                delay = world.delay()
                world.scheduler.call_later(delay, lambda: self._hand_over(asked.peer, command.request, process, ticket))
        return WAITS

    def emit(self, process: Process, part: HttpResponse | bytes) -> None:
        self._emitting[process].emit(part)

    def hang_up(self, process: Process) -> None:
        """Closes the stream that a client reads, if it does."""
        if (stream := self._streams.pop(process, None)) is not None:
            stream.close()

    def _hand_over(self, peer: str, request: HttpRequest, process: Process, ticket: int) -> None:
        world = self._world
        worker = world.agents[peer].some_worker()
        if worker is None:
            world.scheduler.wake(process, ticket, _REFUSED)
            return

        def back(response: HttpResponse | None, error: BaseException | None) -> None:
            answer: HttpResponse | TransportFailure = _BROKEN
            if error is None:
                assert isinstance(response, HttpResponse), f"{worker.name} answered a request with {response!r}"
                world.ledger.told(peer, asked, response)
                answer = response
            elif not isinstance(error, Cut):
                raise error
            if world.chances(world.weather.lost):
                world.counts["reply lost"] += 1
                return
            if world.chances(world.weather.broken):
                answer = _BROKEN
            world.scheduler.wake_later(world.delay(), process, ticket, answer)

        asked = orjson.loads(request.body)
        self._count += 1
        worker.start(f"request {self._count}", exchange(worker, request), back, lambda: self._lost(process, ticket))

    def _lost(self, process: Process, ticket: int) -> None:
        """The worker crashed: the connection breaks, or its end is never heard of."""
        if self._world.chances(0.7):
            self._world.scheduler.wake_later(self._world.delay(), process, ticket, _BROKEN)

    def _open(self, peer: str, request: HttpRequest, stream: Stream) -> None:
        worker = self._world.agents[peer].some_worker()
        if worker is None:
            self._world.scheduler.wake(stream.opener, stream.ticket, _REFUSED)
        elif not stream.closed:
            self._count += 1
            name = f"stream {self._count}"
            stream.exchange = worker.start(name, exchange(worker, request), stream.end, stream.fail)
            self._emitting[stream.exchange] = stream


def exchange(worker: Worker, request: HttpRequest) -> Story:
    """One request as a server's front has it told."""
    admitted = yield from worker.role.admit(RequestHead(request.method, request.target, request.headers, "192.0.2.1"))
    if not isinstance(admitted, Admitted):
        return admitted
    if admitted.streams:
        return (yield from worker.role.stream(admitted, request.body))
    return (yield from worker.role.receive(admitted, request.body))
