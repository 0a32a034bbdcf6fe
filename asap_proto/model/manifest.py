"""What an agent says of itself, and where it is found (ASAP: manifest)."""

from __future__ import annotations

import re

from attrs import field

from ..limits import ASAP_VERSION
from ._value import ID, SOME, JsonObject, Rule, Value, noun
from .urn import URN

__all__ = ["AUTH_SCHEMES", "Agent", "AuthScheme", "Capabilities", "Endpoints", "Manifest", "Skill"]

# PEP 440, the rule that reference clients apply to versions, local part included.
_version = re.compile(
    r"v?(\d+!)?\d+(\.\d+)*"
    r"([-_.]?(alpha|beta|preview|pre|a|b|c|rc)[-_.]?\d*)?"
    r"(-\d+|[-_.]?(post|rev|r)[-_.]?\d*)?"
    r"([-_.]?dev[-_.]?\d*)?"
    r"(\+[a-z0-9]+([-_.][a-z0-9]+)*)?",
    re.IGNORECASE | re.ASCII,
).fullmatch


def _check_version(text: str) -> str | None:
    # Blanks around it pass, as every release lets them, whatever Unicode calls a blank.
    return None if _version(text.strip()) else "is no version (PEP 440); expected something like 1.2.3"


#: Schemes that every release accepts in a manifest (ASAP: authentication); others are refused by old peers.
AUTH_SCHEMES = frozenset({"basic", "bearer"})


def _check_schemes(schemes: tuple[str, ...]) -> str | None:
    odd = [scheme for scheme in schemes if scheme.lower() not in AUTH_SCHEMES]
    return f"names {odd[0][:40]!r}; expected {' or '.join(sorted(AUTH_SCHEMES))}" if odd else None


@noun
class Skill(Value):
    """One thing an agent can do; the schemas are JSON Schema."""

    id: str = field(validator=ID)
    description: str
    input_schema: JsonObject | None = None
    output_schema: JsonObject | None = None


@noun
class Capabilities(Value):
    """All an agent can do."""

    asap_version: str = ASAP_VERSION
    skills: tuple[Skill, ...] = ()
    state_persistence: bool = False
    streaming: bool = False
    mcp_tools: tuple[str, ...] = ()


@noun
class Endpoints(Value):
    """Where an agent listens."""

    asap: str
    events: str | None = None


@noun
class AuthScheme(Value):
    """How callers say who they are."""

    schemes: tuple[str, ...] = field(validator=Rule("auth_scheme", _check_schemes, {}))
    oauth2: JsonObject | None = None


@noun
class Manifest(Value):
    """What an agent publishes at ``/.well-known/asap/manifest.json``."""

    id: str = field(validator=URN)
    name: str
    version: str = field(validator=Rule("version", _check_version, {"type": "string"}))
    description: str
    capabilities: Capabilities
    endpoints: Endpoints
    auth: AuthScheme | None = None
    signature: str | None = None


@noun
class Agent(Value):
    """An agent as others know it."""

    id: str = field(validator=URN)
    manifest_uri: str
    capabilities: tuple[str, ...] = field(validator=SOME)
