"""How long what a peer publishes may be believed, and by whom (RFC 9111, RFC 5861)."""

from __future__ import annotations

import re
from typing import Literal

from ..errors import AsapError, Misdirected, MispairedReply, PeerRefused, SkillNotFound, WrongRecipient
from ..http import Headers
from ..limits import ETAG_LENGTH, MANIFEST_STALE, MANIFEST_TTL
from ..plain import plain

__all__ = ["Lifetime", "Standing", "lifetime_of", "tag_of", "tells_of_change"]

#: What a kept manifest is good for: to be believed; to be believed where the peer can't be asked; or to be asked about.
Standing = Literal["fresh", "stale", "expired"]

#: One directive, its value quoted or not: what stands in quotes is no directive, whatever it says.
_directives = re.compile(r'([a-z-]+)(?:=(?:"([^"]*)"|([^\s,"]*)))?').finditer

#: A tag in quotes, weak or strong, that may stand in a header of ours (RFC 9110 section 8.8.3, without obs-text).
_tag = re.compile(r'(?:W/)?"[!#-~]*"').fullmatch

#: Digits of a number of seconds that are read: more would only be more.
_DIGITS = 10


@plain
class Lifetime:
    """For how long, in seconds, it is fresh, and how long after that it still serves while the peer can't be asked.

    `is_kept` is false for what is to be forgotten at once. What is public is the same for all callers; anything else
    is for the one alone who has asked.
    """

    fresh: float = MANIFEST_TTL
    stale: float = MANIFEST_STALE
    is_kept: bool = True
    is_public: bool = False

    def standing(self, age: float) -> Standing:
        """What it is good for, so many seconds after it came."""
        if age < self.fresh:
            return "fresh"
        return "stale" if age < self.fresh + self.stale else "expired"


def lifetime_of(headers: Headers) -> Lifetime:
    """What these headers of a response say, within our own limits: no peer is believed for longer than those."""
    said: dict[str, float | None] = {}
    for match in _directives(headers.get("cache-control", "").lower()):
        name, seconds = match[1], _seconds(match[2] or match[3])
        # Of two that disagree the stricter one counts: nobody knows which of them was meant.
        known = said.setdefault(name, seconds)
        if seconds is not None and known is not None:
            said[name] = min(known, seconds)

    fresh, stale = float(MANIFEST_TTL), float(MANIFEST_STALE)
    if "max-age" in said:
        fresh = max(0.0, min(fresh, (said["max-age"] or 0.0) - (_seconds(headers.get("age")) or 0.0)))
    if "stale-if-error" in said:
        stale = min(stale, said["stale-if-error"] or 0.0)
    if said.keys() & {"must-revalidate", "no-cache"}:
        stale = 0.0
    if "no-cache" in said:
        fresh = 0.0
    varies = {name.strip() for name in headers.get("vary", "").lower().split(",")}
    is_public = "public" in said and "private" not in said and not varies & {"*", "authorization", "cookie"}
    return Lifetime(fresh, stale, "no-store" not in said, is_public)


def tag_of(headers: Headers) -> str | None:
    """The entity tag by which to ask again; none where there is none that could be sent back."""
    tag = headers.get("etag", "")
    return tag if len(tag) <= ETAG_LENGTH and _tag(tag) else None


def tells_of_change(error: AsapError) -> bool:
    """Whether a request that fails so says that the peer is no longer what its manifest said."""
    if isinstance(error, PeerRefused):  # a redirect among them
        return error.facts.get("status") in (301, 302, 303, 307, 308, 404, 410)
    return isinstance(error, Misdirected | MispairedReply | SkillNotFound | WrongRecipient)


def _seconds(text: str | None) -> float | None:
    """A number of seconds; none for what is no number."""
    if text is None or not (text.isascii() and text.isdecimal()):
        return None
    return float(text[:_DIGITS])
