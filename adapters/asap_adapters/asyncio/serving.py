"""A server in this event loop, for tests, demos and notebooks: uvicorn on a socket of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

from asap_proto.limits import Limits

from .._awaiting.app import App, patience_with
from .._shared.sockets import listen, url_of

__all__ = ["serving"]


@asynccontextmanager
async def serving(app: Any, *, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """Serves an ASGI app while the block runs; gives its base URL."""
    import uvicorn  # of the extra `server`, without which the front stands too

    from .protocol import bounded

    class Server(uvicorn.Server):
        # Signals are the business of whoever owns the process.
        def capture_signals(self) -> Any:
            return nullcontext()

    limits = app.limits if isinstance(app, App) else Limits()
    listener = listen(host, port)
    config = uvicorn.Config(
        app,
        http=bounded(limits),
        ws="none",
        proxy_headers=False,  # the agent knows itself whom to believe
        log_config=None,
        access_log=False,
        lifespan="on",
        timeout_graceful_shutdown=patience_with(app),  # type: ignore[arg-type]  # a fraction of a second is as good
    )
    server = Server(config)
    # No task group: it would wrap what the block raises.
    running = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        # The socket listens already: whoever connects before uvicorn is up waits in its queue.
        yield url_of(listener)
    finally:
        if isinstance(app, App):
            app.close()  # uvicorn says so to the app only once no stream is open any more
        server.should_exit = True
        try:
            await running
        finally:
            listener.close()
