"""A server in this trio run, for tests, demos and notebooks: hypercorn on a socket of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from .._awaiting.app import App
from .._shared.sockets import listen, url_of

__all__ = ["serving"]


@asynccontextmanager
async def serving(app: Any, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves an ASGI app while the block runs; gives its base URL."""
    from hypercorn.config import Config  # of the extra `server`, without which the front stands too
    from hypercorn.trio import serve

    listener = listen(host, port)
    url = url_of(listener)
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = config.errorlog = None
    config.graceful_timeout = 5
    stop = trio.Event()
    failed: Exception | None = None
    async with trio.open_nursery() as nursery:

        async def run(task_status: trio.TaskStatus[Any] = trio.TASK_STATUS_IGNORED) -> None:
            await serve(app, config, shutdown_trigger=stop.wait, task_status=task_status)

        await nursery.start(run)
        try:
            yield url
        except Exception as error:  # noqa: BLE001  (it goes on below: the nursery would wrap it)
            failed = error
        finally:
            if isinstance(app, App):
                app.close()  # hypercorn says so to the app only once no stream is open any more
            stop.set()
    if failed is not None:
        raise failed
