"""The manifests that clients have found: bounded in memory, and as bytes for what survives."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

from attrs import evolve

from ..errors import MalformedJson, MalformedReply
from ..limits import MANIFEST_BYTES, MANIFEST_STALE, MANIFEST_TTL, MANIFESTS
from ..model import Manifest
from ..plain import plain
from ..rules.caching import Lifetime, Standing, tag_of
from ..wire.json import dump, load

__all__ = [
    "KeptManifest",
    "ManifestCounts",
    "ManifestStore",
    "MemoryManifests",
    "dump_manifest_record",
    "load_manifest_record",
]

#: Bytes that an entry takes beside its document.
_ENTRY_BYTES: Final = 2048

#: What the first line of a record says that it is.
_VERSION: Final = 1

#: Levels of a record's first line.
_DEPTH: Final = 3


@plain
class KeptManifest:
    """A manifest that was believed, and the document that it was read from.

    `since` is when it came, by the monotonic clock; until `rests_until` nobody asks about it again.
    """

    manifest: Manifest
    body: bytes
    tag: str | None
    lifetime: Lifetime
    since: float
    rests_until: float = float("-inf")

    def standing(self, now: float) -> Standing:
        """What it is good for now."""
        return self.lifetime.standing(now - self.since)


@plain
class ManifestCounts:
    """What look-ups came to, and what is held.

    A look-up is a `hit` if a fresh manifest was there, `stale` if one that was not fresh had to do, else a `miss`; of
    those that miss together one alone fetches. Of the `fetches` some were answered that nothing has changed
    (`revalidated`). Entries were `restored` from a store, `evicted` for want of room, `dropped` as not to be believed.
    """

    hits: int = 0
    misses: int = 0
    stale: int = 0
    fetches: int = 0
    revalidated: int = 0
    restored: int = 0
    evicted: int = 0
    dropped: int = 0
    entries: int = 0
    bytes: int = 0


class ManifestStore(Protocol):
    """Where records of manifests survive. Both may wait, and raise whatever they like: without it there is a fetch."""

    def load(self, name: str) -> bytes | None:
        """The record of this name, if there is one."""

    def save(self, name: str, record: bytes | None) -> None:
        """Replaces the record of this name; with None it goes."""


class MemoryManifests:
    """Manifests by key; whichever was not looked up for longest makes room.

    `lock` is held around each step, where threads share it: by none of them for longer than a few dictionary look-ups.
    """

    def __init__(
        self,
        *,
        most: int = MANIFESTS,
        most_bytes: int = MANIFEST_BYTES,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._lock = nullcontext() if lock is None else lock
        self._entries: OrderedDict[Hashable, KeptManifest] = OrderedDict()
        self._bytes = 0
        self._hits = self._misses = self._stale = 0
        self._fetches = self._revalidated = self._restored = 0
        self._evicted = self._dropped = 0

    def look(self, keys: Sequence[Hashable], now: float, *, stale: bool = True) -> Manifest | None:
        """What may be believed without asking anybody: counted, and the last to make room from now on.

        `stale` is whether one will do that is not fresh, and whose peer could not be asked a moment ago.
        """
        with self._lock:
            for key in keys:
                entry = self._entries.get(key)
                if entry is None:
                    continue
                standing = entry.standing(now)
                if standing == "fresh":
                    self._hits += 1
                elif stale and standing == "stale" and now < entry.rests_until:
                    self._stale += 1
                else:
                    continue
                self._entries.move_to_end(key)
                return entry.manifest
            self._misses += 1
            return None

    def find(self, keys: Sequence[Hashable]) -> KeptManifest | None:
        """What is held, however old it is."""
        with self._lock:
            return next((self._entries[key] for key in keys if key in self._entries), None)

    def keep(self, key: Hashable, entry: KeptManifest, *, instead_of: Sequence[Hashable]) -> None:
        """Holds this one, if there can be room for it, and nothing else under these keys."""
        size = _size(entry)
        with self._lock:
            for other in instead_of:
                self._remove(other)
            if not entry.lifetime.is_kept or size > self._most_bytes or not self._most:
                return
            self._entries[key] = entry
            self._bytes += size
            while len(self._entries) > self._most or self._bytes > self._most_bytes:
                self._remove(next(iter(self._entries)))
                self._evicted += 1

    def rest(self, keys: Sequence[Hashable], entry: KeptManifest, until: float) -> None:
        """Has a stale one do until then, for its peer can't be asked; counted as a look-up that it served."""
        with self._lock:
            self._stale += 1
            for key in keys:
                if self._entries.get(key) is entry:
                    self._entries[key] = evolve(entry, rests_until=until)

    def drop(self, keys: Sequence[Hashable]) -> bool:
        """Forgets what is held under these keys; answers whether anything was."""
        with self._lock:
            dropped = sum(map(self._remove, keys))
            self._dropped += dropped
            return dropped > 0

    def fetching(self) -> None:
        """Counts a question."""
        with self._lock:
            self._fetches += 1

    def revalidated(self) -> None:
        """Counts an answer that nothing has changed."""
        with self._lock:
            self._revalidated += 1

    def restored(self) -> None:
        """Counts an entry that survived in a store."""
        with self._lock:
            self._restored += 1

    def counts(self) -> ManifestCounts:
        """The counters, as of now."""
        with self._lock:
            return ManifestCounts(
                self._hits,
                self._misses,
                self._stale,
                self._fetches,
                self._revalidated,
                self._restored,
                self._evicted,
                self._dropped,
                len(self._entries),
                self._bytes,
            )

    def _remove(self, key: Hashable) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._bytes -= _size(entry)
        return True


def dump_manifest_record(name: str, entry: KeptManifest, *, at: float) -> bytes:
    """An entry that is fresh since `at` (Unix seconds), for a store: a line that tells of it, then its document."""
    lifetime = entry.lifetime
    head = {
        "asap_manifest": _VERSION,
        "name": name,
        "at": at,
        "fresh": lifetime.fresh,
        "stale": lifetime.stale,
        "public": lifetime.is_public,
        "tag": entry.tag,
    }
    return dump(head) + b"\n" + entry.body


def load_manifest_record(
    record: bytes, name: str, read: Callable[[bytes], Manifest], *, at: float, now: float
) -> KeptManifest:
    """The other way round, at the Unix time `at` that is `now` by the monotonic clock.

    Its document is believed no more than one that was fetched: `read` raises for one that is not to be. Raises
    `MalformedReply` for what is no record of this name: somebody else may have written it.
    """
    line, _, body = record.partition(b"\n")
    try:
        head = load(line, depth=_DEPTH)
    except MalformedJson:
        head = None
    if head.__class__ is not dict or (head.get("asap_manifest"), head.get("name")) != (_VERSION, name):
        raise MalformedReply("no record of this manifest")
    age = at - _number(head.get("at"))
    if not age >= 0:
        raise MalformedReply("a record of a manifest that is yet to come")
    lifetime = Lifetime(
        min(_number(head.get("fresh")), MANIFEST_TTL),
        min(_number(head.get("stale")), MANIFEST_STALE),
        is_public=head.get("public") is True,
    )
    tag = head.get("tag")
    tag = tag_of({"etag": tag}) if tag.__class__ is str else None
    return KeptManifest(read(body), body, tag, lifetime, now - age)


def _number(value: Any) -> float:
    if value.__class__ not in (int, float) or value < 0:
        raise MalformedReply("a record of a manifest says no time")
    return float(value)


def _size(entry: KeptManifest) -> int:
    return _ENTRY_BYTES + len(entry.body)
