"""Bearer tokens that carry their own proof: JWTs (RFC 7519, RFC 8725), verified by the keys of their issuer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from attrs import frozen
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwa import JWSAlgModel
from joserfc.jwt import JWTClaimsRegistry

from asap_proto.errors import AsapError, InvalidValue, UnsupportedScheme
from asap_proto.http import RequestHead
from asap_proto.model import agent_urn
from asap_proto.rules.identity import Identity
from asap_proto.wire.json import load

from .._shared.schemes import Verdict, credentials, vouched
from .jwks import ALGORITHMS, FetchedKeys, KeySet

__all__ = ["Jwt", "subject"]

_DEPTH = 32


def subject(claims: Mapping[str, Any]) -> Identity | None:
    """The agent whose URN is the token's ``sub``, with the scopes of ``scope`` (RFC 9068)."""
    urn, scope = claims.get("sub"), claims.get("scope")
    if not isinstance(urn, str):
        return None
    try:
        return Identity(agent_urn(urn), frozenset(scope.split() if isinstance(scope, str) else ()))
    except InvalidValue:
        return None


class Jwt:
    """Lets in whom `issuer` has made a token for `audience` for, as long as that has not expired.

    `identify` says from the claims whose token it is: a URN, an `Identity`, or None; it may be ``async def``.
    `leeway`, in seconds, is by how much the issuer's clock and ours may differ.
    Raises `UnsupportedScheme` for an algorithm that is not among `ALGORITHMS`, `InvalidValue` for a missing name.
    """

    scheme = "bearer"
    challenge = "Bearer"

    def __init__(
        self,
        keys: KeySet | FetchedKeys,
        *,
        issuer: str,
        audience: str,
        algorithms: Collection[str] = tuple(ALGORITHMS),
        leeway: int = 30,
        identify: Callable[[Mapping[str, Any]], Any] = subject,
    ) -> None:
        odd = [name for name in algorithms if name not in ALGORITHMS]
        if odd or not algorithms:
            raise UnsupportedScheme(f"{(odd or ['nothing'])[0]!r}: expected algorithms of {', '.join(ALGORITHMS)}")
        if not issuer or not audience or leeway < 0:
            raise InvalidValue("a token is checked for its issuer and its audience, with a leeway of 0 or more")
        self._keys = keys
        self._algorithms = frozenset(algorithms)
        self._registry = _Registry(strict_check_header=False)
        self._issuer = issuer
        self._audience = audience
        self._leeway = leeway
        self._identify = identify
        self.waits = inspect.iscoroutinefunction(identify)

    def wanted(self, head: RequestHead, now: datetime) -> str | None:
        token = self._opened(head)
        if token is None or not isinstance(self._keys, FetchedKeys):
            return None
        return self._keys.url if self._keys.wanted(token.kid, token.algorithm, now) else None

    def learn(self, document: bytes | None, now: datetime) -> None:
        if isinstance(self._keys, FetchedKeys):
            self._keys.learn(document, now)

    def verify(self, head: RequestHead, now: datetime) -> Verdict:
        token = self._opened(head)
        claims = None if token is None else self._verified(token, now)
        return None if claims is None else vouched(self._identify(claims))

    def _opened(self, head: RequestHead) -> _Token | None:
        """The token before anything in it is believed; None for what is no token that could be."""
        text = credentials(head, self.scheme)
        if text is None:
            return None
        try:
            signature = jws.extract_compact(text.encode(), registry=self._registry)
        except (JoseError, TypeError, ValueError):  # a TypeError where the header is no object
            return None
        header: Any = signature.protected
        # We know no extension of JWS, so none that is critical (RFC 7515 section 4.1.11).
        if not isinstance(header, dict) or "crit" in header:
            return None
        algorithm, kid = header["alg"], header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms or not isinstance(kid, str | None):
            return None
        return _Token(signature, algorithm, kid)

    def _verified(self, token: _Token, now: datetime) -> dict[str, Any] | None:
        keys = self._keys if isinstance(self._keys, KeySet) else self._keys.at(now)
        key = None if keys is None else keys.find(token.kid, token.algorithm)
        if key is None:
            return None
        rules = JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=self._leeway,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._audience},
            exp={"essential": True},
        )
        try:
            if not jws.validate_compact(token.signature, key, registry=self._registry):
                return None
            claims = load(token.signature.payload or b"", depth=_DEPTH)
            if not isinstance(claims, dict):
                return None
            rules.validate(claims)
        except (JoseError, AsapError, ValueError):
            return None
        return claims


@frozen
class _Token:
    signature: jws.CompactSignature
    algorithm: str
    kid: str | None


class _Registry(jws.JWSRegistry):
    """The library's algorithms, without its warning with each EdDSA token; which are allowed is asked before."""

    def get_alg(self, name: str) -> JWSAlgModel:
        return self.algorithms[name]
