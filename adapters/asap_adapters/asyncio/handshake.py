"""TLS before HTTP in uvicorn: a caller counts as one from its first byte on, not once its handshake is done."""

from __future__ import annotations

import asyncio
import ssl
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import closing
from typing import Any, Final

from asap_proto.limits import Limits

from .connections import Connections

__all__ = ["Handshake"]

#: How long the other end is given to say that it has heard the end of TLS.
_SHUTDOWN_SECONDS: Final = 1.0

#: Bytes of an answer that wait here to be encrypted, before whoever makes them waits too: as many as without TLS.
_WRITE_BYTES: Final = 64 * 1024


class Handshake(asyncio.Protocol):
    """One connection until its handshake is done, within `Limits.header_seconds`; then the protocol of HTTP has it.

    An event loop that is told to do TLS by itself says nothing of who still shakes hands, for a minute and as many as
    there are files: here they are among the connections, and hung up on like whoever else has asked nothing.
    """

    def __init__(
        self,
        limits: Limits,
        context: ssl.SSLContext,
        make: Callable[[], Any],
        connections: set[Any],
        fellows: Connections,
    ) -> None:
        self._limits = limits
        self._context = context
        self._make = make
        # Those that uvicorn knows of, and ours.
        self._connections = connections
        self._fellows = fellows
        self._early = b""
        self._is_lost = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._connections.add(self)
        self._fellows.come(self)
        if transport.is_closing():  # everybody else waits for an answer
            return
        loop = asyncio.get_running_loop()
        steps = loop.start_tls(
            transport,
            self,
            self._context,
            server_side=True,
            ssl_handshake_timeout=self._limits.header_seconds,
            ssl_shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        # Its first step is taken here and not by a task, a moment later: uvloop would read what comes until then, even
        # if it is told to pause, and TLS would never see that.
        waited_for = steps.send(None)
        self._task = loop.create_task(self._shake(_rest_of(steps, waited_for)))

    async def _shake(self, handshake: Any) -> None:
        try:
            secured = await handshake
        except OSError:  # no TLS, or too late; the event loop has hung up
            return
        finally:
            self._go()
        if secured is None or self._is_lost or self.transport.is_closing():
            return
        protocol = self._make()
        secured.set_write_buffer_limits(high=_WRITE_BYTES)
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        if self._early:
            protocol.data_received(self._early)

    def data_received(self, data: bytes) -> None:
        """What came in one packet with the end of the handshake."""
        self._early += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._go()

    def _go(self) -> None:
        self._connections.discard(self)
        self._fellows.crowd.go(self)

    def expire(self) -> None:
        """It takes too long."""
        self.transport.abort()

    def shutdown(self) -> None:
        """The server stops."""
        self.transport.abort()


@types.coroutine
def _rest_of(steps: Coroutine[Any, Any, Any], waited_for: Any) -> Generator[Any, Any, Any]:
    """What is still to come of a coroutine that waits for something after its first step."""
    with closing(steps):
        yield waited_for
        return (yield from steps)
