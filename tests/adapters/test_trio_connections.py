"""HTTP on hypercorn and trio: what becomes of a connection is its own affair."""

import functools
import socket
import threading

import pytest

from asap_proto.limits import Limits
from hostile.sockets import Line

trio = pytest.importorskip("trio")
config = pytest.importorskip("hypercorn.config")


class Breaking(config.Config):
    """Fails where a request is refused: in the task that reads a connection, where nothing of ours catches it."""

    is_broken = False

    def response_headers(self, protocol):
        if self.is_broken:
            raise RuntimeError("nobody foresaw this")
        return super().response_headers(protocol)


async def app(scope, receive, send):
    """Answers everybody."""
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def test_a_connection_that_breaks_ends_alone(caplog):
    """An error that nobody foresaw costs its own connection, is written down, and the server goes on."""
    from asap_adapters.trio.protocol import serve

    settings, ready = Breaking(), threading.Event()
    settings.graceful_timeout, over = 1, None

    async def main(listener):
        nonlocal over
        token, told = trio.lowlevel.current_trio_token(), trio.Event()
        over = functools.partial(token.run_sync_soon, told.set)
        async with trio.open_nursery() as nursery:
            await nursery.start(functools.partial(serve, app, settings, listener, limits=Limits(), stop=told.wait))
            ready.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        running = threading.Thread(target=trio.run, args=(main, listener))
        running.start()
        assert ready.wait(10)
        address = listener.getsockname()
        settings.is_broken = True
        with Line(address) as line:
            assert line.exchange((b"no HTTP at all\r\n\r\n",), to_close=True).closed
        settings.is_broken = False
        with Line(address) as line:
            assert line.exchange((b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",)).status == 200
        over()
        running.join(10)
        assert not running.is_alive()
    assert [each.getMessage() for each in caplog.records] == ["a connection was lost"]
