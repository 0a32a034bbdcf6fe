"""What the pooled transports of all fronts do alike: all that does not wait."""

from __future__ import annotations

import ssl
from abc import abstractmethod
from typing import Generic, Protocol, TypeVar

from asap_proto.errors import Misuse
from asap_proto.http import TransportFailure
from asap_proto.limits import Limits
from asap_proto.rules.targets import Targets

from ..tls import shared_tls
from .place import Place
from .pool import Pool

__all__ = ["BasePooled"]

W = TypeVar("W")


class _Connection(Protocol):
    """What all of them can do with one."""

    def is_quiet(self) -> bool:
        """Whether nothing came that nobody has asked for, and the peer is still there."""

    def close(self) -> None:
        """Ends it at once."""


C = TypeVar("C", bound=_Connection)


class BasePooled(Generic[C, W]):
    """Connections to one peer, kept open from one exchange to the next."""

    def __init__(
        self, base_url: str, limits: Limits, targets: Targets | None, tls: ssl.SSLContext | None, uds: str | None
    ) -> None:
        self._place = Place(base_url)
        self._limits = limits
        self._targets = targets
        self._own_tls = tls
        self._uds = uds
        self._pool: Pool[C, W] = Pool(limits)

    @abstractmethod
    def _hand(self, waiter: W, connection: C | None) -> None:
        """Gives whoever waits a connection, or a place for one; or, once all is closed, the news of that."""

    def _tls(self) -> ssl.SSLContext | None:
        if not self._place.is_encrypted:
            return None
        return self._own_tls or shared_tls()

    def _failure(self, error: Exception) -> TransportFailure:
        self._check_open()
        return self._place.failure(error)

    def _check_open(self) -> None:
        if self._pool.is_closed:
            raise Misuse("this client is closed") from None

    def _idle(self, now: float) -> C | None:
        """An idle connection, if there is one on which all is quiet; raises `Misuse` when all are closed."""
        self._check_open()
        pool = self._pool
        while (connection := pool.take(now)) is not None and not connection.is_quiet():
            connection.close()
            pool.lose(connection)  # for nobody: who waits has found none idle
        if pool.dropped:
            self._close_dropped()
        return connection

    def _handed(self, connection: C | None) -> C | None:
        """What whoever waited was handed: of a connection on which more came than was asked for, the place alone."""
        if connection is None or connection.is_quiet():
            return connection
        connection.close()
        self._pool.replace(connection)
        return None

    def _give(self, connection: C, now: float) -> None:
        """The connection is of use to others."""
        waiter = self._pool.give(connection, now)
        if waiter is not None:
            self._hand(waiter, connection)
        elif self._pool.dropped:
            self._close_dropped()

    def _lose(self, connection: C) -> None:
        """The connection is of no more use."""
        connection.close()
        waiter = self._pool.lose(connection)
        if waiter is not None:
            self._hand(waiter, None)

    def _vacate(self) -> None:
        """A place was not used."""
        waiter = self._pool.vacate()
        if waiter is not None:
            self._hand(waiter, None)

    def _close_dropped(self) -> None:
        while self._pool.dropped:
            self._pool.dropped.pop().close()
