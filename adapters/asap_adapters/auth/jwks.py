"""The public keys of whoever issues tokens (RFC 7517): handed in, or fetched now and then."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from attrs import frozen
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from asap_proto.errors import AsapError, InvalidValue, MalformedReply
from asap_proto.wire.json import load

from .._shared.urls import check_base_url, shown

__all__ = ["AGAIN_SECONDS", "ALGORITHMS", "KEYS_MOST", "FetchedKeys", "Key", "KeySet"]

Key = OKPKey | ECKey | RSAKey

#: The algorithms that can be allowed, and the one kind of key that each takes. None works with a shared secret, so no
#: public key is ever taken for one. RFC 9864 renames EdDSA with this curve to Ed25519.
ALGORITHMS: Final[Mapping[str, str]] = {
    "Ed25519": "OKP Ed25519",
    "EdDSA": "OKP Ed25519",
    "ES256": "EC P-256",
    "RS256": "RSA",
}
#: Keys of one set: an issuer has a few.
KEYS_MOST: Final = 100
#: How long until a key set is asked for again, however many tokens name keys that it does not have.
AGAIN_SECONDS: Final = 60.0

_RSA_BITS = 2048
_DEPTH = 16
#: What makes a key, by its type: what more is said of it stays out, a private part too.
_MATERIAL: Mapping[str, tuple[type[Key], tuple[str, ...]]] = {
    "OKP": (OKPKey, ("kty", "crv", "x")),
    "EC": (ECKey, ("kty", "crv", "x", "y")),
    "RSA": (RSAKey, ("kty", "n", "e")),
}


@frozen
class _Entry:
    kid: Any
    kind: str
    key: Key


class KeySet:
    """The keys of a set that can verify; others, such as those for encryption, are passed over.

    Raises `InvalidValue` where none is left.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        keys = document.get("keys")
        if not isinstance(keys, list) or len(keys) > KEYS_MOST:
            raise InvalidValue(f"a key set has an array of at most {KEYS_MOST} keys", path="$.keys")
        self._entries = tuple(_usable(keys))
        if not self._entries:
            raise InvalidValue(f"none of these keys verifies {', '.join(ALGORITHMS)}", path="$.keys")

    def find(self, kid: str | None, algorithm: str) -> Key | None:
        """The key of this name for the algorithm; without a name, or with one that is not unique, the only one."""
        found = [
            entry.key
            for entry in self._entries
            if entry.kind == ALGORITHMS[algorithm] and (kid is None or kid == entry.kid)
        ]
        return found[0] if len(found) == 1 else None


class FetchedKeys:
    """The key set at a URL, for whoever may wait to fetch: says when that may help, and keeps what came.

    It is asked for again after `refresh_seconds`, and when a token names a key that it does not have; a set that can't
    be fetched any more is believed for `keep_seconds`. Times are those that callers hand in.
    Raises `Misuse` for a URL that is not https, nor on this machine, unless `allow_http`.
    """

    def __init__(
        self, url: str, *, allow_http: bool = False, refresh_seconds: float = 300.0, keep_seconds: float = 3600.0
    ) -> None:
        check_base_url(url.partition("?")[0], allow_http=allow_http)
        self.url = url
        self._refresh_seconds = refresh_seconds
        self._keep_seconds = keep_seconds
        self._held: tuple[KeySet, datetime] | None = None
        self._tried: datetime | None = None

    def at(self, now: datetime) -> KeySet | None:
        """The keys that may be believed now."""
        held = self._held
        return held[0] if held is not None and _apart(now, held[1]) <= self._keep_seconds else None

    def wanted(self, kid: str | None, algorithm: str, now: datetime) -> bool:
        """Whether to fetch before this key is looked for: at most once in `AGAIN_SECONDS`."""
        if self._tried is not None and _apart(now, self._tried) < AGAIN_SECONDS:
            return False
        held = self._held
        return held is None or _apart(now, held[1]) >= self._refresh_seconds or held[0].find(kid, algorithm) is None

    def learn(self, document: bytes | None, now: datetime) -> None:
        """Keeps what was fetched, None for nothing; raises `MalformedReply` for what is of no use."""
        self._tried = now
        if document is None:
            return
        try:
            value = load(document, depth=_DEPTH)
            self._held = (KeySet(value if isinstance(value, dict) else {}), now)
        except AsapError as error:
            raise MalformedReply(f"{shown(self.url)}: {error.message}") from None


def _usable(keys: list[Any]) -> Iterator[_Entry]:
    for told in keys:
        if not isinstance(told, dict) or told.get("use", "sig") != "sig":
            continue
        operations = told.get("key_ops", ["verify"])
        if not isinstance(operations, list) or "verify" not in operations:
            continue
        kind = " ".join(str(told[name]) for name in ("kty", "crv") if name in told)
        fitting = [name for name, taken in ALGORITHMS.items() if taken == kind]
        if fitting and told.get("alg", fitting[0]) in fitting and (key := _key(told)) is not None:
            yield _Entry(told.get("kid"), kind, key)


def _key(told: dict[str, Any]) -> Key | None:
    """The public key; None for one that is none, or too weak."""
    try:
        made, names = _MATERIAL[told["kty"]]
        material = {name: told[name] for name in names}
        if made is RSAKey and _bits(material["n"]) < _RSA_BITS:
            return None
        return made.import_key(material)
    except (JoseError, KeyError, TypeError, ValueError):
        return None


def _bits(number: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))).bit_length()


def _apart(one: datetime, other: datetime) -> float:
    # A clock that was set back makes nothing older, nor newer for long.
    return abs((one - other).total_seconds())
