"""TLS on uvicorn is held to the bounds of HTTP: who shakes hands is a caller like any other."""

import asyncio
import json
import socket
import ssl
import struct
import threading
import time
from contextlib import ExitStack, contextmanager, suppress

import pytest

from asap_proto.limits import Limits
from asap_testkit.certificates import make_certificate

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("cyclopts")

GET = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = Limits(header_seconds=0.4, idle_seconds=0.4, send_seconds=0.4)


#: A request under /slow is being answered, and may be.
begun, go_on = threading.Event(), threading.Event()


async def app(scope, receive, send):
    """Tells by which scheme it was asked; under /large at length, under /slow once it is told to."""
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        begun.set()
        await asyncio.to_thread(go_on.wait, 10)
    large = scope["path"] == "/large"
    body = bytes(32 << 20) if large else json.dumps([scope["scheme"], scope["client"][0]]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def trusting(certificate):
    """What a client needs to know."""
    return ssl.create_default_context(cafile=certificate.chain)


@contextmanager
def serving(certificate, limits, loop="auto"):
    """A server of that app; its address, and its connections."""
    from asap_adapters.asyncio.protocol import bounded
    from asap_adapters.cli.listening import Certificate, tls_context

    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app,
            http=bounded(limits, tls=tls_context(Certificate(str(certificate.chain), str(certificate.key)))),
            loop=loop,
            ws="none",
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=10,
        )
        server = uvicorn.Server(config)
        running = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        running.start()
        try:
            yield listener.getsockname(), server.server_state.connections
        finally:
            server.should_exit = True
            running.join(5)
            assert not running.is_alive()
    assert not server.server_state.connections


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def address(request, certificate):
    """A server with low limits."""
    pytest.importorskip(request.param)
    with serving(certificate, LIMITS, request.param) as (bound, _):
        yield bound


def call(address, trusting):
    connection = socket.create_connection(address, timeout=5)
    return trusting.wrap_socket(connection, server_hostname="localhost")


def heard(connection):
    """What comes until the other end has closed, or broken off."""
    said = b""
    with suppress(ConnectionError, ssl.SSLError):
        while chunk := connection.recv(1 << 20):
            said += chunk
    return said


def is_served(connection, path=b"/"):
    connection.sendall(GET % path)
    said = connection.recv(1 << 16)
    while not said.endswith(b"]"):
        said += connection.recv(1 << 16)
    return said.startswith(b"HTTP/1.1 200 OK") and json.loads(said.rpartition(b"\r\n")[2]) == ["https", "127.0.0.1"]


def test_a_good_request(address, trusting):
    """It is answered, and so is the next on the same connection; then it may be idle for a while, and no longer."""
    with call(address, trusting) as connection:
        assert connection.selected_alpn_protocol() is None
        assert is_served(connection)
        assert is_served(connection)
        assert heard(connection) == b""


def test_a_request_that_comes_with_the_end_of_the_handshake(address, trusting):
    """It is not lost, though HTTP has the connection a moment later."""
    arrived, leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
    talk = trusting.wrap_bio(arrived, leaving, server_hostname="localhost")
    with socket.create_connection(address, timeout=5) as connection:
        while True:
            try:
                talk.do_handshake()
                break
            except ssl.SSLWantReadError:
                connection.sendall(leaving.read())
                arrived.write(connection.recv(1 << 16))
        talk.write(GET % b"/")
        connection.sendall(leaving.read())
        while True:
            arrived.write(connection.recv(1 << 16))
            with suppress(ssl.SSLWantReadError):
                assert talk.read(12) == b"HTTP/1.1 200"
                return


@pytest.mark.parametrize("said", [b"", b"\x16\x03\x01\x02\x00\x01", GET % b"/", b"\x80" * 100])
def test_no_handshake(address, trusting, said):
    """Who begins none, or does not end it in time, is hung up on."""
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(said)
        assert b"HTTP" not in heard(connection)
    with call(address, trusting) as connection:
        assert is_served(connection)


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1])
def test_old_versions(address, trusting, most):
    """TLS 1.2 is the least."""
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        old.maximum_version = most
    with pytest.raises((ssl.SSLError, ConnectionError)):
        call(address, old)


@pytest.mark.parametrize("size", [0, 1, 100, 1 << 16])
def test_callers_who_break_off(address, trusting, size):
    """Wherever in its handshake one is, the server goes on, and nothing of it is left."""
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        trusting.wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost").do_handshake()
    said = hello.read()[:size]
    for _ in range(5):
        with socket.create_connection(address, timeout=5) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(said)
    with call(address, trusting) as connection:
        assert is_served(connection)


def test_a_reader_that_does_not_read(certificate, trusting):
    """It is hung up on: of a connection that has ended nothing is left."""
    with serving(certificate, LIMITS) as (address, connections), call(address, trusting) as silent:
        silent.sendall(GET % b"/large")
        assert silent.recv(12) == b"HTTP/1.1 200"
        until = time.monotonic() + 10
        while connections:
            assert time.monotonic() < until
            time.sleep(0.02)
        assert len(heard(silent)) < 32 << 20


def test_callers_who_shake_hands_make_room(certificate, trusting):
    """They count among the connections, and whoever has waited longest goes first."""
    with serving(certificate, Limits(connections=3)) as (address, _), ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection(address, timeout=5)) for _ in range(6)]
        assert [heard(each) for each in silent[:3]] == [b""] * 3
        with call(address, trusting) as first, call(address, trusting) as second:
            assert is_served(first)
            assert is_served(second)
            assert heard(silent[3]) == b""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_everybody_waits_for_an_answer(certificate, trusting, loop):
    """Then it is who comes last that goes, before it has shaken hands."""
    pytest.importorskip(loop)
    begun.clear()
    go_on.clear()
    with serving(certificate, Limits(connections=1), loop) as (address, connections), call(address, trusting) as busy:
        busy.sendall(GET % b"/slow")
        assert begun.wait(10)
        with socket.create_connection(address, timeout=5) as late:
            assert heard(late) == b""
        assert len(connections) == 1
        go_on.set()
        assert busy.recv(12) == b"HTTP/1.1 200"


def test_a_server_that_stops_waits_for_no_handshake(certificate):
    """Those that go on then are broken off."""
    with serving(certificate, Limits(header_seconds=60)) as (address, _):
        connection = socket.create_connection(address, timeout=5)
        connection.sendall(b"\x16")
    with connection:
        assert heard(connection) == b""
