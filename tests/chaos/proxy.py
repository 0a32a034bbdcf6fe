"""A TCP proxy that does to its connections what networks do, each by a script: to connection number n this fault."""

import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Literal, Self

from attrs import define, field, frozen

_CHUNK = 65536
#: Closes a socket by a reset: whoever reads at its other end hears nothing that is still on its way.
_AT_ONCE = struct.pack("ii", 1, 0)


class Kind(StrEnum):
    """What is done."""

    RESET = "reset"
    TRUNCATE = "truncate"  # the connection is closed as if all had been said
    STALL = "stall"  # nothing passes any more, and nothing is closed
    DUPLICATE = "duplicate"  # the first message comes once more, right behind itself
    REPLAY = "replay"  # the first request comes once more, by a connection of its own
    CORRUPT = "corrupt"  # bits of one byte are turned
    SLOW = "slow"  # all that passes comes in crumbs


@frozen
class Fault:
    """What is done to one connection, and where in its first message: so far into the head or body, or at the end."""

    kind: Kind
    side: Literal["request", "reply"] = "reply"
    part: Literal["head", "body", "end"] = "head"
    offset: int = 0
    #: The bits that are turned, or how large a crumb is.
    bits: int = 1

    def __str__(self) -> str:
        return f"{self.kind} {self.side} {self.part}+{self.offset}"

    def place(self, said: bytes) -> int | None:
        """Where it is, in all that was said on its side; None while that can't be known."""
        if self.part == "head":
            return self.offset
        head = said.find(b"\r\n\r\n") + 4
        if head < 4:
            return None
        return head + self.offset if self.part == "body" else end_of(said, head)


def end_of(said: bytes, head: int) -> int | None:
    """Where the first message ends, whose head is so long; None while that is not there yet."""
    fields = said[:head].lower()
    if b"\r\ntransfer-encoding: chunked" in fields:
        end = said.find(b"\r\n0\r\n\r\n", head - 2)
        return None if end < 0 else end + 7
    _, found, rest = fields.partition(b"\r\ncontent-length:")
    end = head + (int(rest.split(b"\r\n", 1)[0]) if found else 0)
    return end if len(said) >= end else None


#: One of each, so that a script of these is all that the proxy can do.
FAULTS = (
    Fault(Kind.RESET, "request", offset=10),
    Fault(Kind.RESET, "request", "body", offset=40),
    Fault(Kind.RESET, "request", "end"),
    Fault(Kind.RESET),
    Fault(Kind.RESET, part="body", offset=20),
    Fault(Kind.RESET, part="end"),
    Fault(Kind.TRUNCATE, offset=9),
    Fault(Kind.TRUNCATE, part="body", offset=30),
    Fault(Kind.STALL, "request", "body", offset=5),
    Fault(Kind.STALL, part="body", offset=1),
    Fault(Kind.DUPLICATE, part="end"),
    Fault(Kind.DUPLICATE, "request", "end"),
    Fault(Kind.REPLAY, "request", "end"),
    Fault(Kind.CORRUPT, offset=10),
    Fault(Kind.CORRUPT, offset=30, bits=0x80),
    Fault(Kind.CORRUPT, part="body", offset=1),
    Fault(Kind.CORRUPT, part="body", offset=60, bits=0x80),
    Fault(Kind.SLOW, bits=7),
    Fault(Kind.SLOW, "request", bits=50),
)

Script = Callable[[int], Fault | None]


def in_turn(*faults: Fault | None) -> Script:
    """The first connection has the first fault, and so on; those beyond have none."""
    return lambda number: faults[number] if number < len(faults) else None


#: No connection has a fault.
FAIR = in_turn()


def by_chance(seed: int, share: float) -> Script:
    """This share of connections has a fault, somewhere; the same for the same seed."""

    def fault(number: int) -> Fault | None:
        chance = random.Random(f"{seed}-{number}")
        if chance.random() >= share:
            return None
        given = chance.choice(FAULTS)
        if given.part == "end" or given.kind is Kind.SLOW:
            return given
        return Fault(given.kind, given.side, given.part, chance.randrange(200), given.bits)

    return fault


@define(eq=False)
class Proxy:
    """Listens on a free port of this machine, and leads to `target`, which may change or be nobody."""

    script: Script = FAIR
    target: tuple[str, int] | None = None
    #: Connections that were made so far.
    count: int = 0
    #: Faults that came to pass, by the number of their connection.
    fired: dict[int, Fault] = field(factory=dict)
    _listener: socket.socket = field(factory=lambda: socket.create_server(("127.0.0.1", 0), backlog=1000))
    _links: "set[_Link]" = field(factory=set)
    _closed: bool = False

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        # Else the thread that waits for connections would hold the port.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in [*self._links]:
            link.end()

    def _accept(self) -> None:
        with suppress(OSError):
            while not self._closed:
                client, _ = self._listener.accept()
                link = _Link(self, self.count, client)
                self.count += 1
                self._links.add(link)
                threading.Thread(target=link.run, daemon=True).start()


@define(eq=False)
class _Link:
    """One connection. One thread has both its sockets: a reset is none while another still reads."""

    proxy: Proxy
    number: int
    client: socket.socket
    _server: socket.socket = field(factory=socket.socket)
    _fault: Fault | None = None
    _said: dict[str, bytearray] = field(factory=lambda: {"request": bytearray(), "reply": bytearray()})
    _over: bool = False

    def end(self) -> None:
        """Wakes the thread, which closes both."""
        for each in (self.client, self._server):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def run(self) -> None:
        # A socket that was closed meanwhile is no file any more, which `select` calls a wrong value.
        with suppress(OSError, ValueError), self.client, self._server:
            target = self.proxy.target
            self._fault = self.proxy.script(self.number)
            try:
                self._server.connect(target or ("127.0.0.1", 0))
            except OSError:
                self._reset()  # as from a machine on which nobody listens
                return
            for each in (self.client, self._server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self._over:
                readable, _, _ = select.select([self.client, self._server], [], [])
                if self._server in readable:
                    self._forward("reply", self._server, self.client)
                if self.client in readable and not self._over:
                    self._forward("request", self.client, self._server)
        self.proxy._links.discard(self)

    def _forward(self, side: Literal["request", "reply"], source: socket.socket, sink: socket.socket) -> None:
        """Hands on what has come; a source that breaks off or ends ends the other in the same way."""
        try:
            data = source.recv(_CHUNK)
        except ConnectionError:
            self._reset()
            return
        if not data:
            sink.shutdown(socket.SHUT_WR)
            self._over = True
            return
        fault = self._fault
        if fault is None or fault.side != side:
            sink.sendall(data)
            return
        said = self._said[side]
        had = len(said)
        said += data
        if fault.kind is Kind.SLOW:
            self._fired(fault)
            for at in range(0, len(data), fault.bits):
                sink.sendall(data[at : at + fault.bits])
                time.sleep(0.0005)
            return
        place = fault.place(bytes(said))
        if place is None or place >= len(said) + (fault.part == "end"):
            sink.sendall(data)
            return
        self._fault = None
        self._fired(fault)
        # What the head of one piece tells of the body may come after some of that has passed.
        place = max(place, had)
        sink.sendall(said[had:place])
        self._do(fault, bytes(said), place, sink)

    def _fired(self, fault: Fault) -> None:
        self.proxy.fired[self.number] = fault

    def _do(self, fault: Fault, said: bytes, place: int, sink: socket.socket) -> None:
        match fault.kind:
            case Kind.RESET:
                self._reset()
            case Kind.TRUNCATE:
                self.client.shutdown(socket.SHUT_WR)
                self._server.close()
                self._wait_for_end(self.client)
            case Kind.STALL:
                self._wait_for_end(self.client)
            case Kind.DUPLICATE:
                sink.sendall(said[:place] + said[place:])
            case Kind.REPLAY:
                sink.sendall(said[place:])
                self._replay(said[:place])
            case Kind.CORRUPT:
                sink.sendall(bytes([said[place] ^ fault.bits]) + said[place + 1 :])
            case Kind.SLOW:
                raise AssertionError(fault)

    def _replay(self, request: bytes) -> None:
        other = socket.create_connection(self._server.getpeername())

        def tell() -> None:
            with suppress(OSError), other:
                other.sendall(request)
                other.recv(_CHUNK)

        threading.Thread(target=tell, daemon=True).start()

    def _wait_for_end(self, peer: socket.socket) -> None:
        """Reads, and hands on nothing, until the peer has enough."""
        with suppress(ConnectionError):
            while peer.recv(_CHUNK):
                pass
        self._over = True

    def _reset(self) -> None:
        self._over = True
        for each in (self.client, self._server):
            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            each.close()
