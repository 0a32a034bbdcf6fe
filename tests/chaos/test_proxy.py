"""The proxy really does what its faults say: seen from a plain socket at either end."""

import errno
import socket
import struct
import threading
from contextlib import contextmanager

import pytest

from chaos.proxy import FAULTS, Fault, Kind, Proxy, by_chance, end_of, in_turn

REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nWhat"
BODY = b"x" * 3_000
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY
HEAD = len(REPLY) - len(BODY)
SECONDS = 30.0  # only a test that fails waits so long


class Origin:
    """A server that keeps what it is told, and answers each connection once a whole request is there."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.heard = []
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        try:
            while True:
                caller, _ = self.listener.accept()
                threading.Thread(target=self._answer, args=(caller,), daemon=True).start()
        except OSError:
            return

    def _answer(self, caller):
        heard = bytearray()
        self.heard.append(heard)
        with caller:
            try:
                while data := caller.recv(65536):
                    before = heard.count(REQUEST)
                    heard += data
                    caller.sendall(REPLY * (heard.count(REQUEST) - before))
            except ConnectionError:
                pass
        self.ended.release()


@contextmanager
def asked(*faults, request=REQUEST):
    """A caller that has asked through the proxy, with the origin and the proxy."""
    origin = Origin()
    with origin.listener, Proxy(in_turn(*faults), origin.listener.getsockname()) as proxy:
        with socket.create_connection(proxy.address, timeout=SECONDS) as caller:
            caller.sendall(request)
            yield caller, origin, proxy
        origin.listener.shutdown(socket.SHUT_RDWR)


def read(caller, length):
    """So many bytes, or those that come before the end."""
    got = bytearray()
    while len(got) < length and (data := caller.recv(min(65536, length - len(got)))):
        got += data
    return bytes(got)


def is_reset(caller, got=None):
    """Whether it is broken off, after whatever could be read, which is added to `got`."""
    got = bytearray() if got is None else got
    try:
        while data := caller.recv(65536):
            got += data
    except ConnectionResetError:
        return True
    return False


def test_nothing_is_done_where_nothing_is_scripted():
    """The connection after the last of the script is led through as it is, both ways."""
    with asked() as (caller, origin, proxy):
        assert read(caller, len(REPLY)) == REPLY
        caller.sendall(REQUEST)
        assert read(caller, len(REPLY)) == REPLY
    assert origin.heard == [REQUEST * 2]
    assert proxy.fired == {}


def test_whom_nobody_hears_is_reset():
    """A target that is not there, or none at all, looks as a port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    for target in (address, None):
        with Proxy(target=target) as proxy, socket.socket() as caller:
            caller.settimeout(SECONDS)
            # That may be noticed as the connection is made, or after.
            assert caller.connect_ex(proxy.address) == errno.ECONNRESET or is_reset(caller)


@pytest.mark.parametrize(("part", "offset", "passed"), [("head", 0, 0), ("head", 5, 5), ("body", 7, HEAD + 7)])
def test_resets_before_and_in_the_reply(part, offset, passed):
    """So many bytes of the reply have come at most, and then a reset; the origin has heard all."""
    with asked(Fault(Kind.RESET, part=part, offset=offset)) as (caller, origin, proxy):
        got = bytearray()
        assert is_reset(caller, got)
        assert origin.ended.acquire(timeout=SECONDS)
    assert REPLY[:passed].startswith(got)
    assert origin.heard == [REQUEST]
    assert [*proxy.fired] == [0]


def test_resets_after_the_reply():
    """The whole reply has passed, which a caller has that reads what has come before it looks for more."""
    with asked(Fault(Kind.RESET, part="end")) as (caller, origin, _):
        assert origin.ended.acquire(timeout=SECONDS)
        assert is_reset(caller)
    assert origin.heard == [REQUEST]


def test_resets_in_the_request():
    """The origin hears so much of it and no more."""
    with asked(Fault(Kind.RESET, "request", "body", 2)) as (caller, origin, _):
        assert is_reset(caller)
        assert origin.ended.acquire(timeout=SECONDS)
    assert len(origin.heard) == 1
    assert REQUEST[:-2].startswith(origin.heard[0])


def test_truncates():
    """The reply ends in its midst, as if that were all: by an end and no reset."""
    with asked(Fault(Kind.TRUNCATE, part="body", offset=5)) as (caller, _, _):
        assert read(caller, len(REPLY)) == REPLY[: HEAD + 5]
        assert caller.recv(1) == b""


def test_stalls():
    """Nothing comes after the byte where it stalls, and nothing is closed, until the caller goes."""
    with asked(Fault(Kind.STALL, part="body", offset=5)) as (caller, origin, _):
        assert read(caller, HEAD + 5) == REPLY[: HEAD + 5]
        caller.settimeout(0.05)
        with pytest.raises(TimeoutError):
            caller.recv(1)
        assert not origin.ended.acquire(blocking=False)
        caller.shutdown(socket.SHUT_WR)
        assert origin.ended.acquire(timeout=SECONDS)


def test_says_a_reply_twice():
    """The whole of it, once more behind itself."""
    with asked(Fault(Kind.DUPLICATE, part="end")) as (caller, origin, _):
        assert read(caller, 2 * len(REPLY)) == REPLY * 2
    assert origin.heard == [REQUEST]


def test_delivers_a_request_twice():
    """On the same connection; both are answered."""
    with asked(Fault(Kind.DUPLICATE, "request", "end")) as (caller, origin, _):
        assert read(caller, 2 * len(REPLY)) == REPLY * 2
    assert origin.heard == [REQUEST * 2]


def test_replays_a_request():
    """On a connection of its own, whose answer nobody hears."""
    with asked(Fault(Kind.REPLAY, "request", "end")) as (caller, origin, _):
        assert read(caller, len(REPLY)) == REPLY
        assert origin.ended.acquire(timeout=SECONDS)
        caller.settimeout(0.05)
        with pytest.raises(TimeoutError):
            caller.recv(1)
    assert origin.heard == [REQUEST, REQUEST]


@pytest.mark.parametrize(("part", "place"), [("head", 9), ("body", HEAD + 9)])
def test_corrupts(part, place):
    """One byte is another, and all others are as they were."""
    with asked(Fault(Kind.CORRUPT, part=part, offset=9, bits=0x81)) as (caller, _, _):
        got = read(caller, len(REPLY))
    assert [n for n, pair in enumerate(zip(got, REPLY, strict=True)) if pair[0] != pair[1]] == [place]
    assert got[place] == REPLY[place] ^ 0x81


def test_says_it_in_crumbs():
    """All of it comes, in as many pieces as there are crumbs."""
    with asked(Fault(Kind.SLOW, bits=100)) as (caller, _, _):
        assert read(caller, len(REPLY)) == REPLY
        # Linux: `tcpi_data_segs_in`, the pieces that have come.
        (pieces,) = struct.unpack_from("I", caller.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)
    assert pieces >= len(REPLY) // 100


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_each_fault_comes_to_pass(fault):
    """One request and its reply are enough for each of the list to be done."""
    request = b"POST / HTTP/1.1\r\nContent-Length: 80\r\n\r\n" + b"." * (80 - len(REQUEST)) + REQUEST
    with asked(fault, request=request) as (caller, _, proxy):
        try:
            caller.settimeout(0.2 if fault.kind is Kind.STALL else SECONDS)
            read(caller, len(REPLY))
        except (ConnectionResetError, TimeoutError):
            pass
    assert proxy.fired == {0: fault}


def test_chance_can_be_had_again():
    """The same seed gives the same faults, another others; about as many as the share says."""
    drawn = [[by_chance(seed, 0.5)(number) for number in range(200)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 50 < drawn[0].count(None) < 150


@pytest.mark.parametrize(
    ("said", "end"),
    [
        (REPLY + b"more", len(REPLY)),
        (REPLY[:-1], None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 27),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n", None),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n0\r\n0\r\n\r\nmore", 58),
    ],
)
def test_where_a_message_ends(said, end):
    """By its length or its last chunk; nowhere yet while some of it is missing."""
    assert end_of(said, said.find(b"\r\n\r\n") + 4) == end
