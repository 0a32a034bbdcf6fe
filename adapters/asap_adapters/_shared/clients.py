"""A client without a colour: whom it speaks to, and the role that tells its stories."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypedDict

from attrs import evolve

from asap_proto.errors import Misuse
from asap_proto.http import Headers, HttpRequest
from asap_proto.limits import Limits
from asap_proto.roles import ClientRole
from asap_proto.rules.breaker import Breaker
from asap_proto.rules.compression import IDENTITY, Agreement
from asap_proto.rules.retry import RetryRule
from asap_proto.rules.targets import Targets, parse_targets
from asap_proto.sources import Sources
from asap_proto.wire.manifests import Published

from .bearer import BearerToken
from .deflate import CODINGS
from .manifests import ManifestCache
from .schemes import Credentials
from .sources import SYSTEM
from .urls import check_base_url, is_here, targets_for, without_user

if TYPE_CHECKING:
    import ssl

__all__ = ["ONCE", "BaseClient", "ClientOptions"]

#: For what is not worth a wait: a task's progress is told again soon enough.
ONCE = RetryRule(attempts=1)

_POOL: Final = ("pool_connections", "pool_maxsize", "pool_timeout")


class ClientOptions(TypedDict, total=False):
    """What a client may be told, besides its peer's URL and its own URN."""

    #: The peer's URN; without it the peer's manifest is asked, once. A manifest that names another agent is refused.
    peer: str
    #: What the peer's manifest has to be signed with, such as a `PinnedKey` of `asap_adapters.auth.manifests`; with it
    #: nothing is sent before the manifest was verified, once.
    pinned: Callable[[Published], None] | None
    #: Where it keeps what peers publish, shared with other clients; without one it keeps its own peer's manifest alone.
    manifests: ManifestCache
    #: Where the URL may lead: ``public`` for addresses that are for everybody, networks such as ``10.0.0.0/8``, or
    #: ``any``. Without it a URL that names this machine stays on it, and every other is to lead to what is public.
    targets: str | Iterable[str] | Targets | None
    #: Sent as a bearer token.
    token: str | None
    #: What it shows of itself with each try, of `asap_adapters.auth`, such as a `Signer`; `token` is short for a
    #: `BearerToken`.
    auth: Credentials | None
    #: Seconds for each try; 60 if not given.
    timeout: float
    #: How many tries, and how long between them.
    retry: RetryRule
    #: When to stop trying a peer that keeps failing; never, if not given.
    breaker: Breaker
    #: The largest reply, and the deepest.
    limits: Limits
    #: Send a fresh nonce with each try; true if not given.
    nonces: bool
    #: As in `Limits`, for this client alone: connections that are kept open while nobody uses them, and that are open
    #: at once; how long a request waits for one.
    pool_connections: int
    pool_maxsize: int
    pool_timeout: float
    #: For TLS, another context than that of the machine's certificates.
    tls: ssl.SSLContext | None
    #: Reach the peer in clear text beyond this machine.
    allow_http: bool
    #: Compress large requests, as soon as the peer has said that it takes that. Without it, where its URL names this
    #: machine, they are sent as they are; true compresses them there too, false nothing, answers neither. A coding by
    #: its name is for a peer that takes it and does not say so, as the reference since 1.0 does with ``gzip``.
    compress: bool | Literal["gzip", "br", "zstd"] | None
    #: The clock and the tokens, for tests.
    sources: Sources


class BaseClient:
    """Talks to one peer, as the agent `me`.

    The peer's base URL is https, or http on this machine (elsewhere only with `allow_http`).
    The options are those of `ClientOptions`, each by name; `transport` is how to reach the peer, instead of
    connections of its own.

    Every call raises `AsapError`: `RemoteFault` for what the peer did or reports, `Misuse` for our own.
    """

    def __init__(self, url: str, me: str, options: ClientOptions, transport: object | None) -> None:
        targets = options.get("targets")
        if transport is not None:
            for name in ("targets", "tls", *_POOL):
                if options.get(name) is not None:
                    raise Misuse(f"a transport that is handed in has {name} of its own: give it to that")
        if targets is not None and not isinstance(targets, Targets):
            targets = parse_targets(targets)
        self._base_url = check_base_url(url, allow_http=options.get("allow_http", False))
        self._targets = targets_for(self._base_url, targets)
        pool: dict[str, Any] = {name: options[name] for name in _POOL if name in options}
        self._limits = evolve(options.get("limits", Limits()), **pool)
        self._tls = options.get("tls")
        self._me = me
        self._peer = options.get("peer")
        self._timeout = options.get("timeout", 60.0)
        token, auth = options.get("token"), options.get("auth")
        if token is not None:
            if auth is not None:
                raise Misuse("a client has a token, or other credentials: give one of them")
            auth = BearerToken(token)
        compress = options.get("compress")
        self._manifests = options.get("manifests") or ManifestCache(most=1)
        bare_url = without_user(self._base_url)
        name = f"{self._base_url} {self._targets}"
        # A transport that is handed in may lead anywhere, and show anything: what comes by it is for this client alone.
        # Whom a TLS context believes is its own affair: what comes by it is for those that have the same.
        place: object = object() if transport is not None else name if self._tls is None else (name, self._tls)
        survives = self._manifests.survives and place == name and bare_url == self._base_url
        self._role = ClientRole(
            me,
            options.get("sources", SYSTEM),
            credentials=None if auth is None else partial(_shown, auth, bare_url),
            agent=self._peer,
            check_manifest=options.get("pinned"),
            manifests=self._manifests,
            place=place,
            saved_as=name if survives else None,
            limits=self._limits,
            retry=options.get("retry", RetryRule()),
            breaker=options.get("breaker"),
            nonces=options.get("nonces", True),
            timeout=self._timeout,
            encodings=(IDENTITY,) if compress is False else (),
            agreement=_agreement(not is_here(self._base_url) if compress is None else compress),
        )

    @property
    def role(self) -> ClientRole:
        """The story teller, for those who compose envelopes themselves."""
        return self._role


def _agreement(compress: bool | str) -> Agreement | None:
    """In which coding requests begin, if they are ever to have one; raises `Misuse`."""
    if isinstance(compress, bool):
        return Agreement(CODINGS) if compress else None
    if compress not in CODINGS:
        raise Misuse(f"{compress!r} can't be compressed with; expected true, false, or one of {', '.join(CODINGS)}")
    return Agreement((compress,), compress)


def _shown(auth: Credentials, base_url: str, request: HttpRequest, now: datetime, nonce: str) -> Headers:
    return auth.headers(request, base_url, now=now, nonce=nonce)
