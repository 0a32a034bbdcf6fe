"""What the tests share: time and chance that stand still, stories told by hand, and two roles on a wire."""

from .link import Link, link
from .nouns import CALLER, ME, PEER, echo_manifest, letter, request_frame
from .sources import NOW, CountingTokens, FixedClock, fixed_sources
from .stories import alone, asks, error_of, finish, told

__all__ = [
    "CALLER",
    "ME",
    "NOW",
    "PEER",
    "CountingTokens",
    "FixedClock",
    "Link",
    "alone",
    "asks",
    "echo_manifest",
    "error_of",
    "finish",
    "fixed_sources",
    "letter",
    "link",
    "request_frame",
    "told",
]
