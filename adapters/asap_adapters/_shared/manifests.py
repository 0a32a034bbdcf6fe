"""The manifests that clients of any runtime share, and how they survive."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Any

from asap_proto.limits import MANIFEST_BYTES, MANIFESTS
from asap_proto.stores import ManifestStore, MemoryManifests

from .logs import safe_logger

__all__ = ["ManifestCache"]

log = safe_logger("asap_adapters.client")


class ManifestCache(MemoryManifests):
    """What peers publish, for every client that it is handed to: of any front, in any thread.

    It holds at most so many manifests, of so many bytes. In a `store`, such as a `ManifestDirectory`, they survive a
    restart. `counts` says how often what was asked for was there.
    """

    def __init__(
        self, store: ManifestStore | None = None, *, most: int = MANIFESTS, most_bytes: int = MANIFEST_BYTES
    ) -> None:
        super().__init__(most=most, most_bytes=most_bytes, lock=threading.Lock())
        self.survives = store is not None
        self._store = store
        #: The fetches that others wait for, by whatever a front tells them apart.
        self.flights: dict[Hashable, Any] = {}
        self.flights_lock = threading.Lock()

    def recall(self, name: str) -> bytes | None:
        """The record that was saved under this name; nothing where the store fails. It may wait."""
        if self._store is None:
            return None
        try:
            return self._store.load(name)
        except Exception as error:  # noqa: BLE001  (whatever it is, a fetch does as well)
            log.warning("a saved manifest can't be read: %s: %s", type(error).__name__, error)
            return None

    def save(self, name: str, record: bytes | None) -> None:
        """Saves a record, or lets it go, where the store can. It may wait."""
        if self._store is None:
            return
        try:
            self._store.save(name, record)
        except Exception as error:  # noqa: BLE001  (a restart then finds it gone, or old)
            log.warning("a manifest can't be saved: %s: %s", type(error).__name__, error)
