"""Compressing on the async fronts: at once what is small, in a thread what would hold up all else."""

from __future__ import annotations

import anyio
import anyio.to_thread

from asap_proto.limits import Limits
from asap_proto.roles import Compress

from .._shared.deflate import deflate

__all__ = ["Compressor"]


class Compressor:
    """Performs `Compress`, for one server or client."""

    def __init__(self, limits: Limits) -> None:
        self._most = limits.compress_threads
        self._threads: anyio.CapacityLimiter | None = None

    async def compress(self, command: Compress) -> bytes:
        """The body in its coding. Whoever is cut off waits for the thread: it is done in milliseconds."""
        if not command.apart:
            return deflate(command.body, command.coding)
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(max(1, self._most))
        return await anyio.to_thread.run_sync(deflate, command.body, command.coding, limiter=self._threads)
