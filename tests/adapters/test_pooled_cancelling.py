"""An exchange that is cut off, at each await: its connection is closed, its place goes to whoever waits."""

import asyncio
import contextlib
import ssl

import anyio
import pytest

from asap_proto import Limits, Misuse
from asap_proto.http import HttpRequest
from scenarios.ears import certified
from scenarios.test_pooled import kept
from scenarios.wires import Scripted, listening, read_request

from .cutting import cut_everywhere

ASK = HttpRequest("POST", "/asap", {}, b"{}")
FOREVER = [kept()] * 1000
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ONE = Limits(pool_maxsize=1)


@pytest.fixture
def peer():
    """A peer that answers whatever it is asked."""
    with listening(Scripted(FOREVER)) as url:
        yield url


@contextlib.asynccontextmanager
async def transport_to(runtime, url, **options):
    transport = runtime.front.PooledTransport(url, ONE, **options)
    try:
        yield transport
    finally:
        await transport.aclose()


def looks_sound(transport):
    """Nothing is busy, nobody waits, and what has a place is idle."""

    async def look():
        pool = transport._pool
        assert (pool.waiting, pool.places) == (0, pool.idle)
        assert (await transport.send(ASK, 10)).body == b"good"

    return look


def test_a_first_exchange(runtime, peer):
    """Connecting is cut off too."""

    async def main():
        async with transport_to(runtime, peer) as transport:

            async def fresh():
                async with transport_to(runtime, peer) as another:
                    assert (await another.send(ASK, 10)).body == b"good"

            assert await cut_everywhere(fresh, looks_sound(transport)) > 1

    runtime.run(main)


def test_an_exchange_over_a_kept_connection(runtime, peer):
    """What was asked may still be answered: nobody may be given that."""

    async def main():
        async with transport_to(runtime, peer) as transport:
            assert await cut_everywhere(lambda: transport.send(ASK, 10), looks_sound(transport)) >= 1

    runtime.run(main)


def test_a_place_that_was_connected_to(runtime, peer):
    """With one place, each cut would lose the last one."""

    async def main():
        async with transport_to(runtime, peer) as transport:

            async def reconnect():
                connection = transport._idle(0.0)
                if connection is not None:
                    transport._lose(connection)
                await transport.send(ASK, 10)

            assert await cut_everywhere(reconnect, looks_sound(transport)) > 1

    runtime.run(main)


def test_one_that_waits_for_a_connection(runtime, peer):
    """Whoever was handed a connection, and is cut off just then, hands it on."""

    async def main():
        async with transport_to(runtime, peer) as transport:

            async def crowd():
                async with anyio.create_task_group() as group:
                    for _ in range(3):
                        group.start_soon(transport.send, ASK, 10)
                    await transport.send(ASK, 10)

            await cut_everywhere(crowd, looks_sound(transport))

    runtime.run(main)


def test_tls_is_cut_off_too(runtime, tmp_path):
    """In the middle of its handshake, and after it."""
    context, issuer = certified(tmp_path, "127.0.0.1")

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
        async with transport_to(runtime, url, tls=tls) as transport:

            async def reconnect():
                connection = transport._idle(0.0)
                if connection is not None:
                    transport._lose(connection)
                await transport.send(ASK, 10)

            assert await cut_everywhere(reconnect, looks_sound(transport)) > 1

    with listening(Encrypted(FOREVER)) as url:
        runtime.run(main, url.replace("http:", "https:"))


def test_a_stream_that_is_left(runtime):
    """Before its end, or after: what is left of it is nobody's."""
    stream = STREAM + b"3\r\nabc\r\n"
    peer = Scripted([stream, kept(b"evil")], [kept(), stream + b"0\r\n\r\n", kept(b"good")])

    async def main(url):
        async with transport_to(runtime, url) as transport:
            async with transport.stream(ASK, 10) as opened:
                assert await anext(opened.pieces) == b"abc"
            assert (await transport.send(ASK, 10)).body == b"good"
            async with transport.stream(ASK, 10) as opened:
                assert [piece async for piece in opened.pieces] == [b"abc"]
            assert (await transport.send(ASK, 10)).body == b"good"

    with listening(peer) as url:
        runtime.run(main, url)
    assert [len(heard) for heard in peer.heard] == [1, 3]


def test_a_stream_that_is_cut_at_each_piece(runtime):
    """Its place is free again."""

    class Streams(Scripted):
        def serve(self, connection):
            with connection:
                while request := read_request(connection):
                    is_followed = request.startswith(b"POST /stream ")
                    connection.sendall(STREAM + b"3\r\nabc\r\n0\r\n\r\n" if is_followed else kept())

    async def main(url):
        async with transport_to(runtime, url) as transport:

            async def follow():
                async with transport.stream(HttpRequest("POST", "/stream"), 10) as opened:
                    assert [piece async for piece in opened.pieces] == [b"abc"]

            assert await cut_everywhere(follow, looks_sound(transport)) >= 1

    with listening(Streams([])) as url:
        runtime.run(main, url)


def test_a_thousand_at_once(runtime, peer):
    """They have one connection between them, one after the other."""
    answers = []

    async def ask(transport):
        answers.append((await transport.send(ASK, 60)).body)

    async def main():
        transport = runtime.front.PooledTransport(peer, Limits(pool_maxsize=2, pool_timeout=60))
        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(ask, transport)
        assert transport._pool.places <= 2
        await transport.aclose()

    runtime.run(main)
    assert answers == [b"good"] * 1000


def test_a_client_that_outlives_its_event_loop(peer):
    """Its connections can't: the next loop has new ones."""
    from asap_adapters.asyncio import PooledTransport

    transport = PooledTransport(peer, ONE)

    async def ask():
        assert (await transport.send(ASK, 10)).body == b"good"
        connection = transport._idle(0.0)
        transport._lose(connection)

    for _ in range(2):
        anyio.run(ask, backend="asyncio")
    anyio.run(transport.aclose, backend="asyncio")


def test_a_client_that_goes_from_one_event_loop_to_another(peer):
    """Its connections don't: those of a loop that may run again are closed."""
    from asap_adapters.asyncio import PooledTransport

    transport = PooledTransport(peer, ONE)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        for runner in (first, second, first):
            assert runner.run(transport.send(ASK, 10)).body == b"good"
        first.run(transport.aclose())


def test_a_client_is_not_for_two_event_loops_at_once(peer):
    """They would hand each other connections that neither can use; the first one goes on."""
    from asap_adapters.asyncio import PooledTransport

    async def main():
        transport = PooledTransport(peer, ONE)
        assert (await transport.send(ASK, 10)).body == b"good"
        with pytest.raises(Misuse, match="in use on another event loop"):
            await asyncio.to_thread(asyncio.run, transport.send(ASK, 10))
        assert (await transport.send(ASK, 10)).body == b"good"
        await transport.aclose()

    asyncio.run(main())
