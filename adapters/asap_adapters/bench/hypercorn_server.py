"""A bare app under hypercorn's trio worker, as a process: it says its URL, and serves until it is killed."""

from __future__ import annotations

from functools import partial
from typing import Any

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from .agents import answer_bare
from .lines import say

__all__: list[str] = []


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await answer_bare(receive, send)
        return
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def _main() -> None:
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    config.keep_alive_max_requests = 2**62  # else it ends a connection at the thousandth
    async with trio.open_nursery() as nursery:
        [url] = await nursery.start(partial(serve, _app, config))
        say({"url": url})


if __name__ == "__main__":
    trio.run(_main)
