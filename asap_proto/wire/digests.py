"""Whether the body that came is the one that was signed (RFC 9530)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from ..errors import Unauthenticated

__all__ = ["DIGESTS", "BodyDigest"]

#: The digests that we compute, and their sizes in bytes; RFC 9530 section 5 calls the others insecure.
DIGESTS: Final[Mapping[str, int]] = {"sha-256": 32, "sha-512": 64}


class BodyDigest:
    """Takes a body as it was sent, piece by piece, and says at its end whether each of its `DIGESTS` fits.

    Without any, None, nothing was signed, and every body passes.
    """

    def __init__(self, digests: Mapping[str, bytes] | None) -> None:
        self._signed = digests is not None
        self._sums = [(hashlib.new(name.replace("-", "")), expected) for name, expected in (digests or {}).items()]

    def feed(self, chunk: bytes) -> bytes:
        """Adds `chunk`, and hands it back."""
        for running, _ in self._sums:
            running.update(chunk)
        return chunk

    def finish(self) -> None:
        """There is no more; raises `Unauthenticated` for another body than was signed."""
        fits = [hmac.compare_digest(running.digest(), expected) for running, expected in self._sums]
        if self._signed and not (fits and all(fits)):
            raise Unauthenticated("the body is not the one that was signed")
