"""A server in a thread of this process, for tests, demos and notebooks: waitress on a socket of its own."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from .._shared.sockets import listen, url_of
from .app import App

__all__ = ["serving"]


@contextmanager
def serving(app: Any, *, host: str = "127.0.0.1", port: int = 0, threads: int = 8) -> Iterator[str]:
    """Serves a WSGI app while the block runs; gives its base URL."""
    from waitress.server import create_server  # of the extra `server`, without which the front stands too

    listener = listen(host, port)
    bounds: dict[str, Any] = {"max_request_body_size": _room(app)} if isinstance(app, App) else {}
    # The agent knows itself whom to believe.
    server: Any = create_server(app, sockets=[listener], threads=threads, clear_untrusted_proxy_headers=False, **bounds)
    running = threading.Thread(target=server.run, name="asap-serving")
    running.start()
    try:
        yield url_of(listener)
    finally:
        if isinstance(app, App):
            app.close()
        server.task_dispatcher.shutdown(timeout=math.inf)  # a thread can't be cut off
        pulled = threading.Event()
        server.trigger.pull_trigger(partial(_hang_up, server, pulled))
        pulled.set()
        running.join()


def _room(app: App) -> int:
    """Bytes of a body that waitress takes before the app is asked; unbidden it takes 1 GiB.

    More than the app does, so that the app's own words refuse what is a little too much, and that a chunked
    body fits, whose frames waitress counts too.
    """
    return 2 * app.served.limits.request_bytes + 64 * 1024


def _hang_up(server: Any, pulled: threading.Event) -> None:
    """Runs in the server's loop, which ends when nothing is open any more: once each answer is sent."""
    pulled.wait()  # the trigger is closed below, and may be heard before it is wholly pulled
    for channel in server.active_channels.values():
        channel.close_when_flushed = True
    server.close()
