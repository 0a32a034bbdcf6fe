"""Which coding a body is sent in: one that the other end says it takes (RFC 9110 section 12.5.3, RFC 7694)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from attrs import evolve, frozen

from ..limits import ACCEPT_LENGTH

__all__ = ["IDENTITY", "Agreement", "choose"]

#: A body as it is.
IDENTITY: Final = "identity"

#: One coding, or ``*`` for any that is not named, and how much it is liked: not at all with a weight of 0.
_member = re.compile(
    r"[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*(?:;[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*)?"
).fullmatch


def choose(accepts: str | None, ours: tuple[str, ...]) -> str:
    """The coding of `ours`, best first, that whoever says this in Accept-Encoding likes best.

    Identity where it likes that better or takes none of ours, and where it says nothing, or nothing that can be read.
    """
    if not accepts or len(accepts) > ACCEPT_LENGTH:
        return IDENTITY
    return _chosen(accepts, ours)


@lru_cache(maxsize=256)  # a release says the same each time
def _chosen(accepts: str, ours: tuple[str, ...]) -> str:
    weights = _weights(accepts)
    if weights is None:
        return IDENTITY
    others = weights.get("*", 0.0)
    best, most = IDENTITY, 0.0
    for coding in ours:
        if (weight := weights.get(coding, others)) > most:
            best, most = coding, weight
    # Who takes it as it is and does not say how gladly has named the others because it wants them.
    return IDENTITY if weights.get(IDENTITY, 0.0) > most else best


def _weights(accepts: str) -> Mapping[str, float] | None:
    """How much each coding is liked, in lower case; None where it can't be read."""
    weights: dict[str, float] = {}
    for text in accepts.split(","):
        if not text.strip(" \t"):
            continue  # RFC 9110 section 5.6.1: a list may have empty members
        member = _member(text)
        if member is None:
            return None
        weights[member[1].lower()] = float(member[2] or 1)
    return weights


@frozen
class Agreement:
    """In which coding one peer is sent its requests; a value, every happening answers the next one.

    `codings` are what we can do and it has not refused, best first. As it is, `coding`, until the peer has said what it
    takes: one that never says so is sent none. Who knows better begins with another.
    """

    codings: tuple[str, ...]
    coding: str = IDENTITY

    def heard(self, accepts: str) -> Agreement:
        """The peer says what it takes."""
        coding = choose(accepts, self.codings)
        return self if coding == self.coding else evolve(self, coding=coding)

    def refused(self, coding: str, accepts: str | None) -> Agreement:
        """The peer can't undo this one, and says what it takes, or nothing; then it is not asked for any other."""
        left = tuple(one for one in self.codings if one != coding) if accepts else ()
        return Agreement(left, choose(accepts, left))
