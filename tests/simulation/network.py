"""What lies between agents: requests and answers are lost, late, in another order, twice, or cut off for a while."""

from __future__ import annotations

from collections import Counter, deque
from functools import partial
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
    """What a client's story asks of the network, and who asks whom: the story itself does not know its peer.

    Nothing, where it will read no more of a stream.
    """

    me: str
    peer: str
    command: Any


def towards(me: str, peer: str, steps: Story, heard: list[Envelope] | None = None) -> Story:
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
            answer = yield Towards(me, peer, command)
        elif isinstance(command, Together):
            answer = yield Together(tuple(towards(me, peer, each) for each in command.stories), command.most)
        else:
            answer = yield command


@frozen
class Weather:
    """How likely each mishap is for one message; `delay` is the mean of its time on the way, in seconds.

    `unheard` is how likely it is that one end of a connection does not hear that the other is gone.
    """

    refused: float
    lost: float
    broken: float
    twice: float
    unheard: float
    delay: float


FAIR = Weather(0.0, 0.0, 0.0, 0.0, 0.0, 0.01)


@define(eq=False)
class Stream:
    """An answer in parts: what was emitted, until it is read."""

    world: World
    asked: Towards
    opener: Process
    ticket: int
    parts: deque[bytes | TransportFailure | None]
    exchange: Process | None = None
    opened: bool = False
    closed: bool = False
    #: The reader hears no more of it, and believes that it is open.
    mute: bool = False

    def emit(self, part: HttpResponse | bytes) -> None:
        if self.closed or self._is_mute():
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
        if self._is_mute():
            return
        if whole is not None:
            self.world.scheduler.wake(self.opener, self.ticket, whole)
        elif error is not None:
            self.fail()
        else:
            self._put(None)

    def fail(self) -> None:
        """The server is gone."""
        if self._is_mute(self.world.weather.unheard):
            return
        if not self.opened:
            self.world.scheduler.wake(self.opener, self.ticket, _BROKEN)
        else:
            self._put(_BROKEN)

    def close(self) -> None:
        """The reader is gone; the server learns of it where it waits, or goes on to tell nobody."""
        self.closed = True
        if self.exchange is None or self.exchange.done:
            return
        if self.world.network.is_cut(self.asked.me, self.asked.peer) or self.world.chances(self.world.weather.unheard):
            self.world.counts["half open, the server goes on"] += 1
        else:
            self.world.scheduler.cut(self.exchange)

    def read(self, timeout: float) -> Any:
        if self.parts:
            return self.parts.popleft()
        self.ticket = self.opener.ticket
        self.world.scheduler.wake_later(timeout, self.opener, self.ticket, _TIMED_OUT)
        return WAITS

    def _is_mute(self, likely: float = 0.0) -> bool:
        """Whether nothing of this connection reaches the reader any more: what follows what was lost never comes."""
        if not self.mute and (self.world.network.is_cut(self.asked.peer, self.asked.me) or self.world.chances(likely)):
            self.mute = True
            self.world.counts["half open, the reader waits"] += 1
        return self.mute

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
        #: From where to where nothing goes, and how often that was cut.
        self._cuts: Counter[tuple[str, str]] = Counter()
        #: How many requests went each way, and which was the last to arrive.
        self._sent: Counter[tuple[str, str]] = Counter()
        self._arrived: Counter[tuple[str, str]] = Counter()

    def is_cut(self, sender: str, recipient: str) -> bool:
        return self._cuts[sender, recipient] > 0

    def cut(self, ways: list[tuple[str, str]], seconds: float) -> None:
        """Lets nothing through on these ways for a while."""
        self._cuts.update(ways)
        self._world.scheduler.call_later(seconds, lambda: self._cuts.subtract(ways))

    def perform(self, process: Process, asked: Towards) -> Any:
        command = asked.command
        if command is None:
            return self.hang_up(process)
        if isinstance(command, ReadStream):
            return self._streams[process].read(command.timeout)
        world, weather = self._world, self._world.weather
        ticket, way = process.ticket, (asked.me, asked.peer)
        world.scheduler.wake_later(command.timeout, process, ticket, _TIMED_OUT)
        if world.chances(weather.refused):
            world.scheduler.wake_later(world.delay(), process, ticket, _REFUSED)
        elif self.is_cut(*way):
            world.counts["request cut off"] += 1
        elif world.chances(weather.lost):
            world.counts["request lost"] += 1
        elif isinstance(command, OpenStream):
            self.hang_up(process)
            stream = self._streams[process] = Stream(world, asked, process, ticket, deque())
            world.scheduler.call_later(world.delay(), lambda: self._open(asked.peer, command.request, stream))
        else:
            times = 1 + world.chances(weather.twice)
            if times == 2:
                world.hear_twice(orjson.loads(command.request.body))
            self._sent[way] += 1
            arrive = partial(self._hand_over, asked, process, ticket, self._sent[way])
            world.scheduler.call_later(world.delay(), arrive)
            if times == 2:
                world.scheduler.call_later(world.delay() + world.held_back(), arrive)
        return WAITS

    def emit(self, process: Process, part: HttpResponse | bytes) -> None:
        self._emitting[process].emit(part)

    def hang_up(self, process: Process) -> None:
        """Closes the stream that a client reads, if it does."""
        if (stream := self._streams.pop(process, None)) is not None:
            stream.close()

    def _hand_over(self, letter: Towards, process: Process, ticket: int, number: int) -> None:
        world, me, peer, request = self._world, letter.me, letter.peer, letter.command.request
        if number < self._arrived[me, peer]:
            world.counts["overtaken"] += 1
        self._arrived[me, peer] = max(number, self._arrived[me, peer])
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
            if self.is_cut(peer, me):
                world.counts["reply cut off"] += 1
                return
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
        if not self._world.chances(self._world.weather.unheard):
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
