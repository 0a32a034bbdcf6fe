"""One story told for all who ask for it at the same time."""

from __future__ import annotations

import threading
from typing import Any

from asap_proto.errors import AsapError
from asap_proto.roles import Shared

from .._shared.manifests import ManifestCache
from .drive import Perform, Turn, drive

__all__ = ["tell_once"]


class _Flight:
    """A story that is being told: its outcome, once it has one."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.outcome: Any = None


def tell_once(manifests: ManifestCache, command: Shared, perform: Perform, turn: Turn) -> Any:
    """The outcome of the story, or of the one with its key that another thread tells."""
    key, mine = (None, command.key), _Flight()
    try:
        while True:
            with manifests.flights_lock:
                flight = manifests.flights.setdefault(key, mine)
            if flight is mine:
                break
            flight.over.wait()
            if flight.outcome is not None:
                return flight.outcome
            # Whoever told it was cut off: the first of those who waited goes on, with its own.
        mine.outcome = drive(command.story, perform, turn)
    except AsapError as error:
        mine.outcome = error
    finally:
        with manifests.flights_lock:
            if manifests.flights.get(key) is mine:
                del manifests.flights[key]
        mine.over.set()
    return mine.outcome
