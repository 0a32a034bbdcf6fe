"""What a client believes of what its peer publishes: looked up, asked for, asked about again, and forgotten."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, Protocol, TypeVar

from attrs import evolve

from ..errors import AsapError, MalformedJson, MalformedReply, OtherAgent, UnverifiedManifest
from ..http import Headers, HttpRequest, HttpResponse
from ..limits import MANIFEST_REST, SIGNED_BYTES
from ..model import Manifest
from ..rules.caching import lifetime_of, tag_of
from ..rules.retry import RetryRule
from ..sources import Clock
from ..stores import KeptManifest, MemoryManifests
from ..stores.manifests import dump_manifest_record, load_manifest_record
from ..wire.json import refuse_any_duplicate
from ..wire.manifests import MANIFEST_PATH, Published, open_manifest, read_manifest
from .commands import RecallManifest, SaveManifest, Shared
from .responses import ResponseReader
from .steps import Steps, ask

__all__ = ["CheckManifest", "Discovery"]

R = TypeVar("R")

#: Raises `UnverifiedManifest` for a manifest that is not signed as it has to be.
CheckManifest = Callable[[Published], None]

#: Who has a stale manifest at hand does not wait for a second try.
_ONCE = RetryRule(attempts=1)


class Attempts(Protocol):
    """How a client sends a request until its answer can be read."""

    def __call__(
        self,
        make: Callable[[], HttpRequest],
        read: Callable[[HttpResponse], R],
        retry: RetryRule | None = None,
        *,
        vouches: bool,
        conditional: bool,
    ) -> Steps[R]: ...


class Discovery:
    """One client's view of one peer's manifest, in a cache that it may share with other clients.

    An entry counts for whoever asks at the same place, expects the same agent, and verifies by the same key. What the
    peer calls public counts for all of these; anything else for those alone who show no credentials, or, where it was
    shown some (`is_known`), for this client.
    """

    def __init__(
        self,
        manifests: MemoryManifests,
        clock: Clock,
        reader: ResponseReader,
        headers: Headers,
        attempts: Attempts,
        *,
        place: Hashable,
        saved_as: str | None,
        agent: str | None,
        check: CheckManifest | None,
        is_known: bool,
        patience: Hashable,
    ) -> None:
        self._manifests = manifests
        self._clock = clock
        self._reader = reader
        self._headers = headers
        self._attempts = attempts
        self._saved_as = saved_as
        #: Whether a record may be there: one of before a restart, for all we know.
        self._may_be_saved = saved_as is not None
        self._agent = agent
        self._check = check
        self._is_known = is_known
        self._patience = patience
        self._public = (place, agent, _told_apart(check), True)
        self._own = (place, agent, _told_apart(check), object() if is_known else False)
        self._keys = (self._public, self._own)

    def manifest(self, *, is_vetted: bool) -> Steps[Manifest]:
        """The manifest, without asking anybody while a fresh one is there.

        While the peer is not vetted none but a fresh one counts, and it is shown no credentials.
        """
        found = self._manifests.look(self._keys, self._clock.elapsed(), stale=is_vetted)
        if found is not None:
            return found
        # Only those wait for each other who would ask alike, and wait as long.
        told = yield from ask(Shared((self._own, is_vetted, self._patience), self._asked(is_vetted)))
        if isinstance(told, AsapError):
            # Others are told the same one, and each raises it where it stands.
            raise copy.copy(told)
        return told

    def forget(self) -> Steps[None]:
        """Has the peer asked anew: it is no longer what its manifest said."""
        if self._manifests.drop(self._keys) or self._may_be_saved:
            yield from self._save(None)

    def _asked(self, is_vetted: bool) -> Steps[Manifest]:
        """Asks, or asks about what is held. What can't be believed is forgotten; while nobody answers it serves."""
        held = self._manifests.find(self._keys)
        if held is None and self._saved_as is not None:
            held = yield from self._restored(self._saved_as)
        standing = None if held is None else held.standing(self._clock.elapsed())
        if held is not None and standing == "fresh":
            return held.manifest
        serves = is_vetted and standing == "stale"
        request = self._question(None if held is None else held.tag, is_vetted)
        self._manifests.fetching()
        try:
            found = yield from self._attempts(
                lambda: request,
                partial(self._answered, held),
                _ONCE if serves else None,
                vouches=is_vetted,
                conditional="if-none-match" in request.headers,
            )
        except AsapError as error:
            if held is None:
                raise
            if not error.retryable:
                self._manifests.drop(self._keys)
                yield from self._save(None)
                raise
            now = self._clock.elapsed()
            if not serves or held.standing(now) != "stale":
                raise
            self._manifests.rest(self._keys, held, now + MANIFEST_REST)
            return held.manifest
        lifetime = found.lifetime
        self._manifests.keep(self._public if lifetime.is_public else self._own, found, instead_of=self._keys)
        yield from self._save(found if lifetime.is_kept and (lifetime.is_public or not self._is_known) else None)
        return found.manifest

    def _question(self, tag: str | None, is_vetted: bool) -> HttpRequest:
        headers = self._headers
        if not is_vetted:
            # Who is not verified yet is not shown who we are.
            headers = {name: value for name, value in headers.items() if name != "authorization"}
        if tag is not None:
            headers = {**headers, "if-none-match": tag}
        return HttpRequest("GET", MANIFEST_PATH, headers)

    def _answered(self, held: KeptManifest | None, response: HttpResponse) -> KeptManifest:
        """What the peer publishes now; raises why that is not to be believed."""
        now = self._clock.elapsed()
        if held is not None and response.status == 304:
            # Whatever tag comes with it: there was one alone that it can speak of.
            self._manifests.revalidated()
            # What it does not say anew is as it was (RFC 9111 section 4.3.4).
            lifetime = held.lifetime
            if "cache-control" in response.headers:
                said = lifetime_of(response.headers)
                lifetime = evolve(said, is_public=said.is_public and lifetime.is_public)
            return evolve(held, lifetime=lifetime, since=now, rests_until=now)
        manifest = self._believed(response.body)
        return KeptManifest(manifest, response.body, tag_of(response.headers), lifetime_of(response.headers), now)

    def _believed(self, body: bytes) -> Manifest:
        """The manifest, if it is what was asked for."""
        published = open_manifest(self._reader.document(body))
        if self._check is not None:
            if len(body) > SIGNED_BYTES:
                raise UnverifiedManifest(f"a manifest of more than {SIGNED_BYTES} bytes is not verified")
            try:
                refuse_any_duplicate(body)
            except MalformedJson as error:
                raise MalformedReply(f"in the manifest {error.message}") from None
            self._check(published)
        manifest = read_manifest(published.document)
        if self._agent is not None and manifest.id != self._agent:
            raise OtherAgent(f"the manifest is that of {manifest.id}, not of {self._agent}", path="$.id")
        return manifest

    def _restored(self, name: str) -> Steps[KeptManifest | None]:
        """What has survived, if it may be believed as if it had been fetched then."""
        record = yield from ask(RecallManifest(name))
        if record is None:
            return None
        clock = self._clock
        try:
            found = load_manifest_record(record, name, self._believed, at=clock.now().timestamp(), now=clock.elapsed())
        except AsapError:
            return None
        if self._is_known and not found.lifetime.is_public:
            return None
        self._manifests.restored()
        self._manifests.keep(self._public if found.lifetime.is_public else self._own, found, instead_of=self._keys)
        return found

    def _save(self, entry: KeptManifest | None) -> Steps[None]:
        if self._saved_as is None:
            return
        self._may_be_saved = entry is not None
        now = self._clock.now().timestamp()
        record = None if entry is None else dump_manifest_record(self._saved_as, entry, at=now)
        yield from ask(SaveManifest(self._saved_as, record))


def _told_apart(check: Any) -> Hashable:
    """What tells one check from another: the check itself, as equal keys verify alike.

    One that can't be hashed is told by its method, which is no other's.
    """
    try:
        hash(check)
    except TypeError:
        return check.__call__  # type: ignore[no-any-return]
    return check  # type: ignore[no-any-return]
