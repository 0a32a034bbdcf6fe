"""Agent URNs: who speaks and who is spoken to (ASAP: agent URN)."""

from __future__ import annotations

import re
from typing import NewType

from ..errors import Fault, InvalidValue
from ..limits import URN_LENGTH
from ._value import Rule

__all__ = ["AgentUrn", "agent_urn"]

#: The text of an agent URN that was found valid.
AgentUrn = NewType("AgentUrn", str)

PATTERN = r"urn:asap:agent:[a-z0-9-]+(?::[a-z0-9-]+)?"
_matches = re.compile(PATTERN).fullmatch

#: URNs already found valid. Emptied when full, so a flood of names costs time and never memory.
_KNOWN: set[str] = set()
_KNOWN_MOST = 4096


def _check(text: str) -> str | None:
    if text in _KNOWN:
        return None
    if len(text) > URN_LENGTH:
        return f"has {len(text)} characters; an agent URN has at most {URN_LENGTH}"
    if not _matches(text):
        return "is no agent URN; expected urn:asap:agent:NAME or urn:asap:agent:NAME:PART of a-z, 0-9 and -"
    if len(_KNOWN) >= _KNOWN_MOST:
        _KNOWN.clear()
    _KNOWN.add(text)
    return None


URN = Rule(
    "urn",
    _check,
    {"pattern": f"^{PATTERN}$", "maxLength": URN_LENGTH},
    quick="{v} not in known_urns",
    names={"known_urns": _KNOWN},
)


def agent_urn(text: str) -> AgentUrn:
    """`text` as an agent URN; raises `InvalidValue`."""
    if problem := _check(text):
        raise InvalidValue(f"{text[:URN_LENGTH]!r} {problem}", faults=[Fault("$", "urn", problem)])
    return AgentUrn(text)
