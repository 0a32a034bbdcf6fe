"""Secrets that are known beforehand, and whom they stand for."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from hashlib import sha256

from asap_proto.errors import InvalidValue
from asap_proto.rules.identity import Identity

from .._shared.schemes import identity

__all__ = ["known_logins", "known_tokens"]


def known_tokens(tokens: Mapping[str, str | Identity]) -> Callable[[str], Identity | None]:
    """A validator for `Bearer`, from tokens to the agents that they stand for; raises `InvalidValue`."""
    return _Known(tokens).find


def known_logins(logins: Mapping[tuple[str, str], str | Identity]) -> Callable[[str, str], Identity | None]:
    """A validator for `Basic`, from user and password to the agents that they stand for; raises `InvalidValue`."""
    if any(":" in user or not user or not password for user, password in logins):
        raise InvalidValue("a login is a user without a colon and a password, neither empty")
    known = _Known({_joined(*login): who for login, who in logins.items()})
    return lambda user, password: known.find(_joined(user, password))


def _joined(user: str, password: str) -> str:
    # With its length in front, a user ends where it ends: no two logins look the same.
    return f"{len(user)} {user}{password}"


class _Known:
    """Holds digests alone, so that no secret shows in a traceback; each is compared, whichever fits."""

    def __init__(self, secrets: Mapping[str, str | Identity]) -> None:
        if not all(secrets):
            raise InvalidValue("a secret is not empty")
        self._known = [(sha256(secret.encode()).digest(), identity(who)) for secret, who in secrets.items()]

    def find(self, secret: str) -> Identity | None:
        digest, found = sha256(secret.encode()).digest(), None
        for known, who in self._known:
            if hmac.compare_digest(known, digest):
                found = who
        return found
