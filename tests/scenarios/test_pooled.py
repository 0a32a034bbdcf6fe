"""Connections that are kept, lost, waited for and closed: the same on every front, over real sockets."""

import math
import os
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from asap_proto import Limits, Misuse
from asap_proto.errors import BodyTooLarge, PeerRefused, PeerUnreachable
from asap_proto.http import HttpRequest, HttpResponse, TransportFailure
from asap_proto.rules.retry import RetryRule
from asap_proto.rules.targets import parse_targets

from .ears import Ear, certified
from .fronts import holds
from .wires import Scripted, listening, read_request

ASK = HttpRequest("POST", "/asap", {"content-type": "application/json"}, b"{}")


def kept(body=b"good", extra=b""):
    """An answer after which the connection stays open."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s" % (len(body), extra, body)


def hang_up(connection):
    """No answer at all."""


class Held:
    """An answer that comes once it is let go."""

    def __init__(self, answer=None):
        self._answer, self._free = answer or kept(), threading.Event()
        self.arrived = threading.Semaphore(0)

    def __call__(self, connection):
        self.arrived.release()
        assert self._free.wait(20)
        connection.sendall(self._answer)

    def let_go(self):
        self._free.set()


def test_a_connection_is_kept(front, stack):
    """For one exchange after the other."""
    peer = Scripted([kept(b"1"), kept(b"2"), kept(b"3")])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    assert [transport.send(ASK, 5).body for _ in range(3)] == [b"1", b"2", b"3"]
    assert [len(heard) for heard in peer.heard] == [3]


@pytest.mark.parametrize("extra", [b"Connection: close\r\n", b"Connection: Close, x\r\n"])
def test_a_connection_that_is_not_to_be_kept(front, stack, extra):
    """The next request has its own."""
    peer = Scripted([kept(extra=extra), kept(b"evil")])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    assert [transport.send(ASK, 5).body for _ in range(2)] == [b"good", b"good"]
    assert [len(heard) for heard in peer.heard] == [1, 1]


def test_a_connection_that_a_request_was_to_be_the_last_of(front, stack):
    """It is left whatever the answer says: that may be another's, with the right one behind it."""
    peer = Scripted([kept(b"late"), kept(b"evil")], [kept(b"good"), kept(b"evil")])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    last = HttpRequest(ASK.method, ASK.target, {**ASK.headers, "connection": "close"}, ASK.body)
    assert [transport.send(each, 5).body for each in (last, ASK)] == [b"late", b"good"]
    assert [len(heard) for heard in peer.heard] == [1, 1]


def test_a_request_is_sent_again_where_a_kept_connection_was_closed(front, stack):
    """No byte of an answer came: the peer closed it for being idle just then, most likely."""
    peer = Scripted([kept(), hang_up], [kept(b"again")])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    assert [transport.send(ASK, 5).body for _ in range(2)] == [b"good", b"again"]
    assert [len(heard) for heard in peer.heard] == [2, 1]
    assert peer.heard[0][1] == peer.heard[1][0]


@pytest.mark.parametrize(
    ("scripts", "heard"),
    [
        ([[hang_up], [kept()]], [1]),  # a new connection was not idle
        ([[kept(), hang_up], [hang_up], [kept()]], [2, 1]),  # once is enough
        ([[kept(), b"H"], [kept()]], [2]),  # it has begun to answer
    ],
)
def test_a_request_is_not_sent_again_otherwise(front, stack, scripts, heard):
    """The peer may have done what it was asked: whoever knows how to ask again is above this."""
    peer = Scripted(*scripts)
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    answers = [transport.send(ASK, 5) for _ in range(len(scripts[0]))]
    assert answers[-1].kind == "broken"
    assert [len(each) for each in peer.heard] == heard


@pytest.mark.parametrize("evil", [kept(b"evil"), b"x", b"\r\n"])
def test_what_follows_an_answer_is_never_read(front, stack, evil):
    """It would be the answer to whatever is asked next."""
    peer = Scripted([kept() + evil, kept(b"evil")], [kept(b"good")])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    assert [transport.send(ASK, 5).body for _ in range(2)] == [b"good", b"good"]
    assert [len(heard) for heard in peer.heard] == [1, 1]


def test_what_comes_unasked_is_never_read(front, stack):
    """Nor is a connection on which something came used again."""
    answered, said = threading.Event(), threading.Event()

    def speak_later(connection):
        connection.sendall(kept())
        assert answered.wait(10)
        connection.sendall(kept(b"evil"))
        said.set()

    peer = Scripted([speak_later, kept(b"evil")], [kept(b"good")])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    assert transport.send(ASK, 5).body == b"good"
    answered.set()
    assert said.wait(10)
    assert transport.send(ASK, 5).body == b"good"
    assert [len(heard) for heard in peer.heard] == [1, 1]


@pytest.mark.parametrize("size", [64 * 1024, 256 * 1024])
def test_what_follows_an_answer_is_never_read_by_whoever_waits(front, stack, size):
    """An answer that ends where a read does leaves what follows it unread when the connection is handed on."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
    body = bytes(size - len(head % size))
    assert len(head % len(body) + body) == size
    held = Held(head % len(body) + body + kept(b"evil"))
    peer = Scripted([held, kept(b"evil")], [kept()])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer)), Limits(pool_maxsize=1)))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(transport.send, ASK, 10)
        assert held.arrived.acquire(timeout=10)
        second = threads.submit(transport.send, ASK, 10)
        holds(lambda: transport._pool.waiting)
        held.let_go()
        assert len(first.result(10).body) == len(body)
        assert second.result(10).body == b"good"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
    ],
)
def test_an_answer_that_is_none(front, stack, answer):
    """The peer has broken off; the next request has another connection, and nothing of that one."""
    peer = Scripted([answer], [kept()])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    failure = transport.send(ASK, 5)
    assert isinstance(failure, TransportFailure)
    assert failure.kind == "broken"
    assert transport.send(ASK, 5).body == b"good"


def test_a_reply_that_is_too_large(front, stack):
    """It is refused as soon as that is known, and the connection is closed."""
    peer = Scripted([kept(bytes(200))], [kept()])
    limits = Limits(reply_bytes=100)
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer)), limits))
    with pytest.raises(BodyTooLarge):
        transport.send(ASK, 5)
    assert transport.send(ASK, 5).body == b"good"


def test_an_answer_that_comes_before_all_was_sent(front, stack):
    """It is read, and the rest is not sent: a server that refuses a large body does not read it."""

    def refuse(connection):
        refused = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(refused)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    class Impatient(Scripted):
        def serve(self, connection):
            with connection:
                connection.recv(1000)
                refuse(connection)

    peer = Impatient([])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    body = bytes(20_000_000)
    assert transport.send(HttpRequest("POST", "/asap", {}, body), 20).status == 413


def test_a_large_body_arrives_whole(front, stack):
    """It goes as fast as the peer reads it."""
    body = bytes(range(256)) * 10_000
    peer = Scripted([kept(), kept()])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    for _ in range(2):
        assert transport.send(HttpRequest("POST", "/asap", {}, body), 20).body == b"good"
    assert [request.endswith(body) for request in peer.heard[0]] == [True, True]


def test_no_more_connections_than_may_be(front, stack):
    """Whoever finds none waits, and has the next that is free."""
    held = Held()
    peer = Scripted([held] * 4)
    limits = Limits(pool_maxsize=2)
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer)), limits))
    with ThreadPoolExecutor(6) as threads:
        asked = [threads.submit(transport.send, ASK, 10) for _ in range(6)]
        for _ in range(2):
            assert held.arrived.acquire(timeout=10)
        assert not held.arrived.acquire(blocking=False)
        held.let_go()
        assert [each.result(10).body for each in asked] == [b"good"] * 6
    assert len(peer.heard) <= 3  # a third, should the first have had its four


def test_who_waits_for_too_long(front, stack):
    """It is told so; the peer was not asked."""
    held = Held()
    peer = Scripted([held, kept()])
    limits = Limits(pool_maxsize=1, pool_timeout=0.05)
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer)), limits))
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(transport.send, ASK, 10)
        assert held.arrived.acquire(timeout=10)
        for seconds in (10, 0.02):  # the exchange may have less time than that
            failure = transport.send(ASK, seconds)
            assert failure.kind == "timed_out"
        held.let_go()
        assert first.result(10).body == b"good"
    assert transport.send(ASK, 5).body == b"good"
    assert [len(heard) for heard in peer.heard] == [2]


def test_a_place_is_handed_on(front, stack):
    """Whoever waits opens a connection in the place of one that failed."""
    held = Held(b"no HTTP at all\r\n")
    peer = Scripted([held], [kept()])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer)), Limits(pool_maxsize=1)))
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(transport.send, ASK, 10)
        assert held.arrived.acquire(timeout=10)
        second = threads.submit(transport.send, ASK, 10)
        held.let_go()
        assert first.result(10).kind == "broken"
        assert second.result(10).body == b"good"


def test_closing_tells_everybody(front, stack):
    """Who waits for an answer, who waits for a connection, and who comes later."""
    held = Held()
    transport = stack.enter_context(
        front.transport(stack.enter_context(listening(Scripted([held]))), Limits(pool_maxsize=1))
    )
    stack.callback(held.let_go)
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(transport.send, ASK, 10)]
        assert held.arrived.acquire(timeout=10)
        asked.append(threads.submit(transport.send, ASK, 10))
        holds(lambda: transport._pool.waiting)
        transport.close()
        for each in asked:
            with pytest.raises(Misuse, match="this client is closed"):
                each.result(10)
        held.let_go()
    with pytest.raises(Misuse, match="this client is closed"):
        transport.send(ASK, 5)


def test_closing_sends_nothing_again(front, stack):
    """A kept connection that ends because this client is closed is not one that the peer has left."""
    held = Held()
    peer = Scripted([kept(), held], [kept()])
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer))))
    stack.callback(held.let_go)
    assert transport.send(ASK, 5).body == b"good"
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(transport.send, ASK, 10)
        assert held.arrived.acquire(timeout=10)
        transport.close()
        with pytest.raises(Misuse, match="this client is closed"):
            asked.result(10)
    held.let_go()
    assert [len(heard) for heard in peer.heard] == [2]


def test_closing_while_a_connection_is_opened(front, stack):
    """Nothing is sent over it."""
    peer = Scripted([kept()])
    port = int(stack.enter_context(listening(peer)).rpartition(":")[2])
    asked, free = threading.Event(), threading.Event()
    stack.callback(free.set)

    def leads_here(host, port):
        asked.set()
        assert free.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def leads_here_later(host, port):
        return await anyio.to_thread.run_sync(leads_here, host, port)

    resolve = leads_here if front.name == "sync" else leads_here_later
    transport = stack.enter_context(front.transport(f"http://agents.example:{port}", resolve=resolve))
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(transport.send, ASK, 10)
        assert asked.wait(10)
        transport.close()
        free.set()
        with pytest.raises(Misuse, match="this client is closed"):
            sent.result(10)
    assert not any(peer.heard)


def test_closing_in_the_middle_of_a_request(front, stack):
    """Whoever sends a large one to a peer that does not read it is told so too."""
    begun = threading.Event()

    class Deaf(Scripted):
        def serve(self, connection):
            with connection:
                connection.recv(1)
                begun.set()
                self.over.wait(10)

    transport = stack.enter_context(front.transport(stack.enter_context(listening(Deaf([])))))
    with ThreadPoolExecutor(1) as threads:
        sent = threads.submit(transport.send, HttpRequest("POST", "/asap", {}, bytes(20_000_000)), 10)
        assert begun.wait(10)
        transport.close()
        with pytest.raises(Misuse, match="this client is closed"):
            sent.result(10)


def test_the_time_is_that_of_the_whole_exchange(front, stack):
    """A peer that says nothing is left when it is over, and another is asked over a connection of its own."""
    held = Held()
    transport = stack.enter_context(front.transport(stack.enter_context(listening(Scripted([held], [kept()])))))
    failure = transport.send(ASK, 0.1)
    assert (failure.kind, "did not answer in time" in failure.detail) == ("timed_out", True)
    held.let_go()
    assert transport.send(ASK, 5).body == b"good"


def test_time_without_end(front, stack):
    """Whoever asks for it waits for as long as it takes, for a connection as for an answer."""
    held = Held()
    peer = Scripted([held, kept()])
    limits = Limits(pool_maxsize=1, pool_timeout=math.inf)
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer)), limits))
    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(transport.send, ASK, math.inf)]
        assert held.arrived.acquire(timeout=10)
        asked.append(threads.submit(transport.send, ASK, math.inf))
        holds(lambda: transport._pool.waiting)
        held.let_go()
        assert [each.result(10).body for each in asked] == [b"good"] * 2


def test_a_name_without_addresses(front, stack):
    """It is a peer that takes no connection."""

    def nowhere(host, port):
        return []

    async def nowhere_later(host, port):
        return []

    resolve = nowhere if front.name == "sync" else nowhere_later
    transport = stack.enter_context(front.transport("http://agents.example", resolve=resolve))
    assert transport.send(ASK, 5).kind == "refused"


def test_a_peer_that_is_not_there(front, stack):
    """It takes no connection, and no place is lost by that."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    transport = stack.enter_context(front.transport(f"http://127.0.0.1:{port}", Limits(pool_maxsize=1)))
    for _ in range(3):
        failure = transport.send(ASK, 5)
        assert failure == TransportFailure("refused", f"http://127.0.0.1:{port} takes no connection")


def test_an_idle_connection_has_its_time(front, stack):
    """Then the next request has a new one, before the peer would close it."""
    peer = Scripted([kept(), kept(b"evil")], [kept()])
    limits = Limits(pool_idle_seconds=0.0)
    transport = stack.enter_context(front.transport(stack.enter_context(listening(peer)), limits))
    first = transport.send(ASK, 5)
    assert (first.body, transport.send(ASK, 5).body) == (b"good", b"good")
    assert [len(heard) for heard in peer.heard] == [1, 1]


@pytest.mark.parametrize("name", ["agents.example", "127.0.0.1"])
def test_tls_with_a_context_of_ones_own(front, stack, tmp_path, name):
    """The certificate has to be that of the name, or of the address; nobody else is asked anything."""
    context, issuer = certified(tmp_path, name)
    ear = stack.enter_context(Ear("127.0.0.1", status=200, body=b"good", tls=context).open())
    tls = ssl.create_default_context(cadata=issuer)

    def leads_here(host, port):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    async def leads_here_later(host, port):
        return leads_here(host, port)

    def asked(host, **options):
        options["resolve"] = leads_here if front.name == "sync" else leads_here_later
        return stack.enter_context(front.transport(f"https://{host}:{ear.port}", **options)).send(ASK, 10)

    answer = asked(name, tls=tls)
    assert isinstance(answer, HttpResponse), answer
    assert answer.body == b"good"
    for failure in (asked(name), asked("other.example", tls=tls)):
        assert failure.kind == "refused"
        assert "its certificate is not believed" in failure.detail
    assert len(ear.heard) == 1
    assert ear.names[0] == (None if name == "127.0.0.1" else name)


def test_a_client_has_a_context_of_its_own(front, stack, tmp_path):
    """It is handed on to its connections."""
    context, issuer = certified(tmp_path, "127.0.0.1")
    ear = stack.enter_context(Ear("127.0.0.1", tls=context).open())
    url = f"https://127.0.0.1:{ear.port}"
    once = RetryRule(attempts=1)
    for options, error in (({"tls": ssl.create_default_context(cadata=issuer)}, PeerRefused), ({}, PeerUnreachable)):
        with front.client(url, retry=once, **options) as client, pytest.raises(error):
            client.manifest()
    assert len(ear.heard) == 1


def test_tls_that_is_broken_is_not_asked_again(front, stack, tmp_path):
    """Something came, and somebody has changed it: that is no connection which was closed for being idle."""
    context, issuer = certified(tmp_path, "127.0.0.1")

    def garble(connection):
        os.write(connection.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))

    class Encrypted(Scripted):
        def serve(self, connection):
            with connection, context.wrap_socket(connection, server_side=True) as encrypted:
                super().serve(encrypted)

    peer = Encrypted([kept(), garble], [kept()])
    url = stack.enter_context(listening(peer)).replace("http:", "https:")
    transport = stack.enter_context(front.transport(url, tls=ssl.create_default_context(cadata=issuer)))
    assert transport.send(ASK, 10).body == b"good"
    assert transport.send(ASK, 10).kind == "broken"
    assert [len(heard) for heard in peer.heard] == [2]


def test_tls_in_large(front, stack, tmp_path):
    """Many records each way, over one connection."""
    context, issuer = certified(tmp_path, "127.0.0.1")
    body = bytes(range(256)) * 4000

    def echo(connection):
        connection.sendall(kept(body))

    class Encrypted(Scripted):
        def serve(self, connection):
            with connection, context.wrap_socket(connection, server_side=True) as encrypted:
                super().serve(encrypted)

    peer = Encrypted([echo, echo])
    url = stack.enter_context(listening(peer)).replace("http:", "https:")
    transport = stack.enter_context(front.transport(url, tls=ssl.create_default_context(cadata=issuer)))
    for _ in range(2):
        assert transport.send(HttpRequest("POST", "/asap", {}, body), 20).body == body
    assert [request.endswith(body) for request in peer.heard[0]] == [True, True]


def test_a_peer_that_speaks_no_tls(front, stack):
    """It takes no connection of this kind."""
    url = stack.enter_context(listening(Scripted([kept()]))).replace("http:", "https:")
    failure = stack.enter_context(front.transport(url)).send(ASK, 5)
    assert failure.kind in ("refused", "timed_out")


def test_a_unix_socket(front, stack, tmp_path):
    """Whatever the URL leads to: it says what is asked for, and by which name."""
    path = tmp_path / "agent.sock"

    def serve():
        connection, _ = listener.accept()
        with connection:
            heard.append(read_request(connection))
            connection.sendall(kept())

    heard = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        with front.transport("http://agents.example", uds=str(path)) as transport:
            assert transport.send(ASK, 5).body == b"good"
        thread.join()
    assert b"host: agents.example" in heard[0]
    with front.transport("http://agents.example", uds=str(tmp_path / "none")) as transport:
        assert transport.send(ASK, 5).kind == "refused"


def test_options_of_the_pool(front, stack):
    """They are the client's; a transport that is handed in has its own."""
    client = stack.enter_context(front.client("http://127.0.0.1:1", pool_maxsize=1, pool_timeout=0.5))
    assert (client._limits.pool_maxsize, client._limits.pool_timeout) == (1, 0.5)
    transport = stack.enter_context(front.transport("http://127.0.0.1:1"))
    for options in ({"pool_maxsize": 1}, {"tls": ssl.create_default_context()}, {"targets": parse_targets("any")}):
        with (
            pytest.raises(Misuse, match="of its own"),
            front.client("http://127.0.0.1:1", transport=transport, **options),
        ):
            pass
