"""A server in this trio run, for tests, demos and notebooks: hypercorn on a socket of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import trio

from asap_proto.limits import Limits

from .._awaiting.app import App, patience_with
from .._shared.sockets import listen, url_of

__all__ = ["serving"]


@asynccontextmanager
async def serving(app: Any, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves an ASGI app while the block runs; gives its base URL."""
    from hypercorn.config import Config  # of the extra `server`, without which the front stands too

    from .protocol import serve

    limits = app.limits if isinstance(app, App) else Limits()
    listener = listen(host, port)
    config = Config()
    config.accesslog = config.errorlog = None
    config.graceful_timeout = patience_with(app)
    config.shutdown_timeout = config.graceful_timeout + 5.0
    stop = trio.Event()
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, app, config, listener, limits=limits, stop=stop.wait))
        try:
            yield url_of(listener)
        except Exception as error:  # noqa: BLE001  (it goes on below: the nursery would wrap it)
            failed = error
        finally:
            if isinstance(app, App):
                app.close()  # hypercorn says so to the app only once no stream is open any more
            stop.set()
    if failed is not None:
        raise failed
