"""Connections on uvloop, whose transports are not those of asyncio."""

import asyncio
import contextlib
import socket
import ssl
import threading

import anyio
import pytest

from asap_adapters.asyncio import PooledTransport
from asap_proto import Limits, Misuse
from asap_proto.http import HttpRequest
from scenarios.ears import certified
from scenarios.test_pooled import Held, hang_up, kept
from scenarios.wires import Scripted, listening, read_request

from .cutting import cut_everywhere

uvloop = pytest.importorskip("uvloop")

ASK = HttpRequest("POST", "/asap", {}, b"{}")


@contextlib.asynccontextmanager
async def transport_to(url, **options):
    transport = PooledTransport(url, Limits(pool_maxsize=1), **options)
    try:
        yield transport
    finally:
        await transport.aclose()


def test_exchanges():
    """One after the other, again where a connection was closed, and over none on which more came."""
    peer = Scripted([kept(b"1"), hang_up], [kept(b"2") + b"evil"], [kept(b"3")])

    async def main(url):
        async with transport_to(url) as transport:
            return [(await transport.send(ASK, 10)).body for _ in range(3)]

    with listening(peer) as url:
        assert uvloop.run(main(url)) == [b"1", b"2", b"3"]
    assert [len(heard) for heard in peer.heard] == [2, 1, 1]


def test_what_comes_unasked_is_never_read():
    """It may have come, and not have been told yet."""
    answered, said = threading.Event(), threading.Event()

    def speak_later(connection):
        connection.sendall(kept())
        assert answered.wait(10)
        connection.sendall(kept(b"evil"))
        said.set()

    peer = Scripted([speak_later, kept(b"evil")], [kept()])

    async def main(url):
        async with transport_to(url) as transport:
            await transport.send(ASK, 10)
            answered.set()
            assert said.wait(10)
            return (await transport.send(ASK, 10)).body

    with listening(peer) as url:
        assert uvloop.run(main(url)) == b"good"


def test_tls(tmp_path):
    """Over uvloop's own, both ways, and for the right name alone."""
    context, issuer = certified(tmp_path, "127.0.0.1")
    body = bytes(range(256)) * 2000

    class Encrypted(Scripted):
        def serve(self, connection):
            with (
                connection,
                contextlib.suppress(ssl.SSLError),
                context.wrap_socket(connection, server_side=True) as encrypted,
            ):
                super().serve(encrypted)

    async def main(url):
        tls = ssl.create_default_context(cadata=issuer)
        async with transport_to(url, tls=tls) as transport:
            for _ in range(2):
                assert (await transport.send(HttpRequest("POST", "/", {}, body), 20)).body == body
        async with transport_to(url) as transport:
            return await transport.send(ASK, 10)

    with listening(Encrypted([kept(body)] * 2)) as url:
        failure = uvloop.run(main(url.replace("http:", "https:")))
    assert (failure.kind, "its certificate is not believed" in failure.detail) == ("refused", True)


def test_a_unix_socket(tmp_path):
    """It is connected to by uvloop's other door."""
    path = tmp_path / "agent.sock"

    def serve():
        connection, _ = listener.accept()
        with connection:
            read_request(connection)
            connection.sendall(kept())

    async def main():
        async with transport_to("http://localhost", uds=str(path)) as transport:
            return (await transport.send(ASK, 10)).body

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        assert uvloop.run(main()) == b"good"
        thread.join()


def test_closing_tells_everybody():
    """Who waits for an answer, and who waits for a connection."""
    held = Held()

    async def main(url):
        async with transport_to(url) as transport:
            asked = [asyncio.create_task(transport.send(ASK, 10)) for _ in range(2)]
            await asyncio.to_thread(held.arrived.acquire)
            await transport.aclose()
            return await asyncio.gather(*asked, return_exceptions=True)

    with listening(Scripted([held])) as url:
        told = uvloop.run(main(url))
        held.let_go()
    assert [type(each) for each in told] == [Misuse, Misuse]


def test_an_exchange_that_is_cut_off():
    """At each await, connecting among them."""

    async def main(url):
        async with transport_to(url) as transport:

            async def reconnect():
                if (connection := transport._idle(0.0)) is not None:
                    transport._lose(connection)
                await transport.send(ASK, 10)

            async def look():
                assert transport._pool.places == transport._pool.idle
                assert (await transport.send(ASK, 10)).body == b"good"

            return await cut_everywhere(reconnect, look)

    with listening(Scripted([kept()] * 1000)) as url:
        cuts = anyio.run(main, url, backend="asyncio", backend_options={"use_uvloop": True})
    assert cuts > 1
