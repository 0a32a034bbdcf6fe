"""An agent without a colour: its settings, its handlers, and what an app serves of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, Unpack

import attrs
from attrs import field, frozen

from asap_proto.errors import Misuse, UnsupportedScheme
from asap_proto.limits import SIGNED_BYTES, Limits
from asap_proto.model import (
    AUTH_SCHEMES,
    AuthScheme,
    Capabilities,
    Endpoints,
    Manifest,
    Payload,
    agent_urn,
)
from asap_proto.roles import Failed, Handled, KeeperRole, NoncePolicy, ServerRole
from asap_proto.rules.forwarding import Proxies, parse_proxies
from asap_proto.rules.origins import names_of
from asap_proto.rules.quota import Quota, parse_quota
from asap_proto.rules.targets import Targets, parse_targets
from asap_proto.sources import Clock, Sources
from asap_proto.stores import MemoryQuotas, MemoryState, QuotaStore
from asap_proto.wire.manifests import Published, dump_enclosed, enclosable, signable
from asap_proto.wire.nouns import encode

from .bearer import Bearer
from .clients import ClientOptions
from .deflate import CODINGS
from .inflate import ENCODINGS
from .logs import log_distrusted, log_failed
from .manifests import ManifestCache
from .metrics import Metrics
from .schemes import SCHEMES, Authenticator, Credentials, ManifestKey
from .skills import Handler, Registered, Skills
from .sources import SYSTEM
from .urls import check_base_url

__all__ = ["AgentOptions", "BaseAgent", "Served", "Settings", "Stores"]

F = TypeVar("F", bound=Callable[..., Any])


@frozen
class Stores:
    """Where an agent remembers; in memory unless told otherwise."""

    #: A `StateStore`, or one that has to be waited for: by `submit`, or because its methods are coroutines.
    state: Any
    #: The quotas of skills by name, and by an empty one the agent's own.
    quotas: Mapping[str, QuotaStore]

    @classmethod
    def of(cls, own: Settings, skills: Registered) -> Stores:
        quota = _quota(own)
        quotas = {**skills.quotas, **({"": quota} if quota else {})}
        kept = {name: MemoryQuotas(quota, own.limits) for name, quota in quotas.items()}
        return cls(own.store or MemoryState(own.limits), kept)


@frozen
class Settings:
    """All that makes one agent, besides its handlers."""

    urn: str
    name: str
    version: str = "0.1.0"
    description: str = ""
    url: str = ""
    peers: Mapping[str, str] = field(factory=dict)
    tokens: Mapping[str, str] = field(factory=dict, repr=False)
    credentials: Mapping[str, Credentials] = field(factory=dict, repr=False)
    token_validator: Callable[[str], Any] | None = None
    auth: tuple[Authenticator, ...] = field(default=(), converter=tuple)
    strict_http: bool = False
    quota: str | None = None
    limits: Limits = Limits()  # noqa: RUF009  (frozen)
    nonces: NoncePolicy = "accept"
    check_recipient: bool = False
    hosts: Collection[str] | None = None
    proxies: Proxies = Proxies()  # noqa: RUF009  (frozen)
    allow_http: bool = False
    targets: Targets | None = None
    pins: Mapping[str, Callable[[Published], None]] = field(factory=dict)
    manifests: ManifestCache = field(factory=ManifestCache, repr=False, eq=False)
    manifest_key: ManifestKey | None = None
    compress: bool | None = None
    store: Any = None
    sources: Sources = SYSTEM

    @property
    def authenticators(self) -> tuple[Authenticator, ...]:
        """Whom to ask whose credentials a request carries, in order; nobody where no caller is asked."""
        return (*((Bearer(self.token_validator),) if self.token_validator else ()), *self.auth)


class AgentOptions(TypedDict, total=False):
    """What an agent may be told, besides its URN."""

    #: For the manifest; without it the last part of the URN.
    name: str
    #: For the manifest; a version as PEP 440 has it.
    version: str
    #: For the manifest.
    description: str
    #: Where others reach it, for the manifest's endpoint.
    url: str
    #: The base URLs of agents it delegates to or reports progress to, by URN.
    peers: Mapping[str, str]
    #: The bearer tokens that it shows to `peers`, by URN.
    tokens: Mapping[str, str]
    #: What else it shows to `peers`, by URN: such as a `Signer`, for those that have no token.
    credentials: Mapping[str, Credentials]
    #: Says which agent a bearer token stands for: a URN, an `Identity`, or None.
    #: Given one, the agent asks every caller for a token.
    #: A plain function must not block, for it runs where all else waits on asyncio and trio; one that has to wait is
    #: ``async def`` there, and lets nobody in when it takes longer than `Limits.auth_seconds`.
    token_validator: Callable[[str], Any]
    #: How callers may say who they are, of `asap_adapters.auth`. They are asked in order; the first that knows the
    #: caller counts. A `token_validator` is short for a `Bearer` before them.
    auth: Sequence[Authenticator]
    #: Refuse with HTTP status 401, 403 and 400 instead of 200: not for peers of old releases, which then see no reason.
    strict_http: bool
    #: Such as ``10/second;100/minute``, for each caller: by its URN if it is authenticated, else by its address.
    quota: str
    #: Every size, time and count.
    limits: Limits
    #: ``accept``, ``require`` or ``ignore``.
    nonces: NoncePolicy
    #: Refuse envelopes addressed to another agent.
    check_recipient: bool
    #: The names that it may be asked by, such as ``agents.example.org``, and whose pages may ask it; without them any,
    #: but for ``asap serve`` on a loopback address. So no web page drives an agent that its reader can reach.
    hosts: Collection[str]
    #: Addresses and networks, such as ``10.0.0.0/8``, of the proxies before it; ``unix`` is whoever connects from none,
    #: by a unix socket. They alone are believed when they say, by X-Forwarded-For or Forwarded, for whom they ask.
    proxies: Sequence[str]
    #: Let `peers` be reached in clear text beyond this machine.
    allow_http: bool
    #: Where the URLs of `peers`, and of issuers' keys, may lead, as for a `Client`: ``public``, networks such as
    #: ``10.0.0.0/8``, or ``any``. Without it a URL that names this machine stays on it, and every other is to lead to
    #: what is public.
    targets: str | Iterable[str] | Targets | None
    #: What the manifests of `peers` have to be signed with, by URN: such as a `PinnedKey`.
    pins: Mapping[str, Callable[[Published], None]]
    #: Where it keeps the manifests of `peers`: with one that has a store they survive a restart.
    manifests: ManifestCache
    #: What the agent signs its manifest with, such as a `SigningKey` of `asap_adapters.auth.manifests`.
    manifest_key: ManifestKey
    #: Compress large answers for whoever takes that, and large requests to `peers` that do. Without it, what stays on
    #: this machine is sent as it is; true compresses that too, false nothing: see the page on security for when.
    compress: bool
    #: Where tasks, replies and nonces are kept, such as a `SqliteState`; without it in memory.
    #: Whoever makes it closes it.
    store: Any
    #: The clock and the tokens, for tests.
    sources: Sources


class BaseAgent:
    """An agent without a colour: what it is, what it can do, whom it knows.

    The options are those of `AgentOptions`, each by name. Raises `Misuse` for what can't be served.
    """

    _plain_only = False

    def __init__(self, urn: str, **options: Unpack[AgentOptions]) -> None:
        self.settings = _settings(urn, options)
        self.skills = Skills(plain_only=self._plain_only)
        #: How often the agent was closed; an app made, or started, before the last time is not ready.
        self.closings = 0
        # A version or a quota that can't be served is told here, not when the first peer asks.
        _check_auth(self.settings, plain_only=self._plain_only)
        self.manifest()
        _quota(self.settings)

    def skill(
        self,
        name: str,
        *,
        description: str | None = None,
        input_schema: dict[str, Any] | None = None,
        output_schema: dict[str, Any] | None = None,
        restartable: bool = False,
        quota: str | None = None,
    ) -> Callable[[F], F]:
        """Registers what it decorates as the handler of a skill; raises `Misuse` for one that can't be served.

        A task whose worker was lost is run again if it has saved a snapshot to go on from; one that has not is
        reported failed, unless the skill is `restartable`: it may be run from the start, whatever was done before.

        The handler takes the task, or the task and its input as an attrs class, whose schema then stands in
        the manifest. It returns an object, an attrs instance, or a `TaskResponse`.

        With a `quota`, such as ``5/minute``, each caller may have it run so often, within the quota of the agent.
        """
        if not isinstance(name, str):
            raise Misuse("a skill has a name: write @agent.skill('summarise'), with its parentheses")

        def register(function: F) -> F:
            self.skills.add(
                name,
                function,
                description=description,
                input_schema=input_schema,
                output_schema=output_schema,
                restartable=restartable,
                quota=quota,
            )
            return function

        return register

    def on(self, kind: type[Payload]) -> Callable[[F], F]:
        """Registers what it decorates as the handler of a payload other than a task request.

        It takes the task, and returns a payload, or None where the payload names a task.
        """

        def register(function: F) -> F:
            self.skills.on(kind, function)
            return function

        return register

    def manifest(self, skills: Registered | None = None) -> Manifest:
        """What the agent publishes, of the skills that it has now, or had."""
        own = self.settings
        skills = skills or self.skills.now
        named = dict.fromkeys(one.scheme.lower() for one in own.authenticators)
        schemes = tuple(scheme for scheme in named if scheme in AUTH_SCHEMES)
        manifest = Manifest(
            id=own.urn,
            name=own.name,
            version=own.version,
            description=own.description,
            capabilities=Capabilities(
                skills=skills.published(), state_persistence=own.store is not None, streaming=True
            ),
            endpoints=Endpoints(asap=f"{own.url}/asap"),
            auth=AuthScheme(schemes) if schemes else None,
        )
        if own.manifest_key is None:
            return manifest
        return attrs.evolve(manifest, signature=own.manifest_key.sign(signable(encode(manifest))))

    def enclosed(self, manifest: Manifest) -> bytes | None:
        """The manifest signed in the form that newer peers of the reference verify, if the agent signs.

        Raises `Misuse` for one that is too large to be verified.
        """
        key = self.settings.manifest_key
        if key is None:
            return None
        document = enclosable(manifest)
        text = dump_enclosed(document, key.sign(document), key.public)
        if len(text) > SIGNED_BYTES:
            raise Misuse(
                f"a manifest that is signed has at most {SIGNED_BYTES} bytes, not {len(text)}: shorten schemas"
            )
        return text

    def reconfigure(self, **changes: Any) -> None:
        """Changes settings before the agent is served: for a command line that has its own."""
        self.settings = attrs.evolve(self.settings, **changes)

    def peer_url(self, urn: str) -> str:
        """Where an agent is reached; raises `Misuse`."""
        try:
            return self.settings.peers[urn]
        except KeyError:
            raise Misuse(f"where is {urn}? Give its base URL to the agent: peers={{{urn!r}: 'https://…'}}") from None

    def client_options(self, urn: str) -> ClientOptions:
        """How the agent speaks to one of `peers`."""
        own = self.settings
        return {
            "peer": urn,
            "token": own.tokens.get(urn),
            "auth": own.credentials.get(urn),
            "pinned": own.pins.get(urn),
            "manifests": own.manifests,
            "targets": own.targets,
            "limits": own.limits,
            "allow_http": own.allow_http,
            "compress": own.compress,
            "sources": own.sources,
        }


def _settings(urn: str, options: AgentOptions) -> Settings:
    """The options, checked; raises `Misuse`."""
    checked: dict[str, Any] = {"name": urn.rpartition(":")[2], **options}
    allow_http = options.get("allow_http", False)
    peers = options.get("peers", {})
    checked["peers"] = {agent_urn(peer): check_base_url(at, allow_http=allow_http) for peer, at in peers.items()}
    checked["url"] = options.get("url", "").rstrip("/")
    checked["pins"] = {agent_urn(peer): pin for peer, pin in options.get("pins", {}).items()}
    targets = options.get("targets")
    if targets is not None and not isinstance(targets, Targets):
        checked["targets"] = parse_targets(targets)
    if "hosts" in options:
        checked["hosts"] = names_of(options["hosts"])
    if "proxies" in options:
        checked["proxies"] = parse_proxies(options["proxies"])
    return Settings(agent_urn(urn), **checked)


def _check_auth(settings: Settings, *, plain_only: bool) -> None:
    """Whether all ways to say who one is can be served; raises `UnsupportedScheme` or `Misuse`."""
    limits = settings.limits
    forgets = limits.nonce_seconds <= limits.oldest_seconds + limits.ahead_seconds
    if forgets and settings.nonces != "ignore":
        raise Misuse("envelopes outlive their nonces, and could be replayed: raise Limits.nonce_seconds")
    for one in settings.authenticators:
        if one.scheme.lower() not in SCHEMES:
            raise UnsupportedScheme(f"{one.scheme[:40]!r} can't be served; expected one of {', '.join(SCHEMES)}")
        if plain_only and getattr(one, "waits", False):
            raise Misuse(f"the validator of {one.scheme} is async; serve it from asap_adapters.asyncio or trio")
        if forgets and one.scheme.lower() == "signature":
            raise Misuse("signatures outlive their nonces: raise Limits.nonce_seconds")
    if both := settings.tokens.keys() & settings.credentials.keys():
        raise Misuse(f"{min(both)} has a token and credentials; give one of them")


def _quota(settings: Settings) -> Quota | None:
    return parse_quota(settings.quota) if settings.quota else None


@frozen
class Served:
    """An agent as one app serves it: its role, its handlers, its memory, as of the moment it was made."""

    role: ServerRole
    handlers: Mapping[tuple[type[Payload], str], Handler]
    keeper: KeeperRole
    stores: Stores
    metrics: Metrics
    limits: Limits
    auth: tuple[Authenticator, ...]
    targets: Targets | None
    clock: Clock
    started: float

    @classmethod
    def of(cls, agent: BaseAgent) -> Served:
        own = agent.settings
        # One look: another thread may register more in between.
        skills = agent.skills.now
        stores = Stores.of(own, skills)
        manifest = agent.manifest(skills)
        role = ServerRole(
            manifest,
            own.sources,
            handles=skills.others,
            limits=own.limits,
            encodings=ENCODINGS,
            quota="" in stores.quotas,
            metered=skills.quotas,
            proxies=own.proxies,
            nonces=own.nonces,
            check_recipient=own.check_recipient,
            hosts=own.hosts,
            challenges=[one.challenge for one in own.authenticators],
            strict_http=own.strict_http,
            restartable=skills.restartable,
            worker=f"worker_{own.sources.tokens.new_id(own.sources.clock.now())}",
            durable=not isinstance(stores.state, MemoryState),
            enclosed=agent.enclosed(manifest),
            compresses=() if own.compress is False else CODINGS,
            compresses_locally=own.compress is True,
        )
        return cls(
            role,
            skills.handlers(),
            KeeperRole(role, own.sources, own.limits),
            stores,
            Metrics(own.manifests if own.peers else None),
            own.limits,
            own.authenticators,
            own.targets,
            own.sources.clock,
            own.sources.clock.elapsed(),
        )

    def observe(self, event: Handled | Failed) -> None:
        """Counts it, or writes it down."""
        if isinstance(event, Failed):
            log_failed(event)
            return
        if event.note:
            log_distrusted(event)
        self.metrics.count(event)
