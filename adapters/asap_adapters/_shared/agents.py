"""An agent without a colour: its settings, its handlers, and what an app serves of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack

import attrs
from attrs import field, frozen

from asap_proto.errors import Misuse
from asap_proto.limits import Limits
from asap_proto.model import (
    AuthScheme,
    Capabilities,
    Endpoints,
    Manifest,
    Payload,
    agent_urn,
)
from asap_proto.roles import Failed, Handled, KeeperRole, NoncePolicy, ServerRole
from asap_proto.rules.identity import Identity
from asap_proto.rules.quota import Quota, parse_quota
from asap_proto.sources import Clock, Sources
from asap_proto.stores import Job, MemoryQuotas, MemoryState, QuotaStore

from .clients import ClientOptions
from .inflate import ENCODINGS
from .logs import log_distrusted, log_failed
from .metrics import Metrics
from .skills import Handler, Skills
from .sources import SYSTEM
from .urls import check_base_url

__all__ = ["AgentOptions", "BaseAgent", "Served", "Settings", "Stores", "bearer_token", "identity_of"]

F = TypeVar("F", bound=Callable[..., Any])


@frozen
class Stores:
    """Where an agent remembers; in memory unless told otherwise."""

    #: A `StateStore`, or one that has to be waited for: by `submit`, or because its methods are coroutines.
    state: Any
    quotas: QuotaStore | None

    @classmethod
    def of(cls, own: Settings) -> Stores:
        quota = _quota(own)
        quotas = MemoryQuotas(quota, own.limits) if quota else None
        return cls(own.store or MemoryState(own.limits), quotas)


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
    token_validator: Callable[[str], Any] | None = None
    quota: str | None = None
    limits: Limits = Limits()  # noqa: RUF009  (frozen)
    nonces: NoncePolicy = "accept"
    check_recipient: bool = False
    allow_http: bool = False
    store: Any = None
    sources: Sources = SYSTEM


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
    #: Says which agent a bearer token stands for: a URN, an `Identity`, or None.
    #: Given one, the agent asks every caller for a token.
    #: A plain function must not block, for it runs where all else waits on asyncio and trio; one that has to wait is
    #: ``async def`` there, and lets nobody in when it takes longer than `Limits.auth_seconds`.
    token_validator: Callable[[str], Any]
    #: Such as ``10/second;100/minute``, for each caller.
    quota: str
    #: Every size, time and count.
    limits: Limits
    #: ``accept``, ``require`` or ``ignore``.
    nonces: NoncePolicy
    #: Refuse envelopes addressed to another agent.
    check_recipient: bool
    #: Let `peers` be reached in clear text beyond this machine.
    allow_http: bool
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
    ) -> Callable[[F], F]:
        """Registers what it decorates as the handler of a skill.

        A task whose worker was lost is run again if it has saved a snapshot to go on from; one that has not is
        reported failed, unless the skill is `restartable`: it may be run from the start, whatever was done before.

        The handler takes the task, or the task and its input as an attrs class, whose schema then stands in
        the manifest. It returns an object, an attrs instance, or a `TaskResponse`.
        """

        def register(function: F) -> F:
            self.skills.add(
                name,
                function,
                description=description,
                input_schema=input_schema,
                output_schema=output_schema,
                restartable=restartable,
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

    def manifest(self) -> Manifest:
        """What the agent publishes."""
        own = self.settings
        return Manifest(
            id=own.urn,
            name=own.name,
            version=own.version,
            description=own.description,
            capabilities=Capabilities(
                skills=self.skills.published(), state_persistence=own.store is not None, streaming=True
            ),
            endpoints=Endpoints(asap=f"{own.url}/asap"),
            auth=AuthScheme(("bearer",)) if own.token_validator else None,
        )

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
            "limits": own.limits,
            "allow_http": own.allow_http,
            "sources": own.sources,
        }


def _settings(urn: str, options: AgentOptions) -> Settings:
    """The options, checked; raises `Misuse`."""
    checked: dict[str, Any] = {"name": urn.rpartition(":")[2], **options}
    allow_http = options.get("allow_http", False)
    peers = options.get("peers", {})
    checked["peers"] = {agent_urn(peer): check_base_url(at, allow_http=allow_http) for peer, at in peers.items()}
    checked["url"] = options.get("url", "").rstrip("/")
    return Settings(agent_urn(urn), **checked)


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
    token_validator: Callable[[str], Any] | None
    clock: Clock
    started: float

    @classmethod
    def of(cls, agent: BaseAgent) -> Served:
        own = agent.settings
        stores = Stores.of(own)
        role = ServerRole(
            agent.manifest(),
            own.sources,
            handles=agent.skills.handles,
            limits=own.limits,
            encodings=ENCODINGS,
            quota=stores.quotas is not None,
            nonces=own.nonces,
            check_recipient=own.check_recipient,
            restartable=agent.skills.restartable,
            worker=f"worker_{own.sources.tokens.new_id(own.sources.clock.now())}",
            durable=not isinstance(stores.state, MemoryState),
        )
        return cls(
            role,
            agent.skills.frozen(),
            KeeperRole(role, own.sources, own.limits),
            stores,
            Metrics(),
            own.limits,
            own.token_validator,
            own.sources.clock,
            own.sources.clock.elapsed(),
        )

    def now(self) -> datetime:
        return self.clock.now()

    def observe(self, event: Handled | Failed) -> None:
        """Counts it, or writes it down."""
        if isinstance(event, Failed):
            log_failed(event)
            return
        if event.note:
            log_distrusted(event)
        self.metrics.count(event)

    def handler(self, name: str, job: Job) -> Handler:
        return self.handlers[type(job.payload), name]


def bearer_token(authorization: str) -> str | None:
    """The token of an Authorization header as the core hands it on: ``bearer TOKEN``."""
    scheme, _, token = authorization.partition(" ")
    return token if scheme == "bearer" else None


def identity_of(answer: Any) -> Identity | None:
    """What a token validator said, as an identity; raises `TypeError` for what is none."""
    if answer is None or isinstance(answer, Identity):
        return answer
    if isinstance(answer, str):
        return Identity(agent_urn(answer))
    raise TypeError(f"a token validator answers a URN, an Identity or None, not {type(answer).__name__}")
