"""A server in this trio run, for tests, demos and notebooks, on a socket of its own."""

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
    from .server import serve  # it parses with what the extra `server` brings, without which the front stands too

    limits = app.limits if isinstance(app, App) else Limits()
    listener = listen(host, port)
    stop = trio.Event()
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:
        run = partial(serve, app, listener, limits=limits, stop=stop.wait, grace_seconds=patience_with(app))
        await nursery.start(run)
        try:
            yield url_of(listener)
        except Exception as error:  # noqa: BLE001  (it goes on below: the nursery would wrap it)
            failed = error
        finally:
            if isinstance(app, App):
                app.close()  # else it would hear of it only once no stream is open any more
            stop.set()
    if failed is not None:
        raise failed
