"""What every scheme has in common: how an agent asks whose credentials these are, and how a client sends its own."""

from __future__ import annotations

import base64
import inspect
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import urlsplit, urlunsplit

from asap_proto.http import Headers, HttpRequest, RequestHead
from asap_proto.model import agent_urn
from asap_proto.rules.identity import Identity

__all__ = [
    "CREDENTIAL_LENGTH",
    "SCHEMES",
    "Authenticator",
    "Credentials",
    "Fetching",
    "ManifestKey",
    "Verdict",
    "credentials",
    "identity",
    "identity_of",
    "keys_request",
    "secrets_of",
    "vouched",
]

#: Characters of one header with credentials: longer ones are refused before anything reads them.
CREDENTIAL_LENGTH: Final = 16 * 1024
#: What callers may say who they are by; a manifest names the first two alone, as old peers refuse any other.
SCHEMES: Final = ("basic", "bearer", "signature")

#: Whose credentials these are, nobody's, or what to await for either.
Verdict = Identity | None | Awaitable[Identity | None]


class Authenticator(Protocol):
    """Verifies the credentials of one scheme by what stands before the body.

    One whose ``waits`` is true answers what has to be awaited, and is refused by agents of the sync front.
    """

    #: One of `SCHEMES`, in any case; two authenticators may share one, as tokens of two kinds share ``bearer``.
    scheme: str
    #: What a refusal says of it in WWW-Authenticate.
    challenge: str

    def verify(self, head: RequestHead, now: datetime) -> Verdict:
        """Whose credentials the request carries; None where there are none of this scheme, or they are not valid.

        Never raises for what a caller sent; what a validator that was handed in raises is passed on.
        """


class Fetching(Protocol):
    """An authenticator with keys that somebody who may wait has to fetch, before `verify` is asked."""

    def wanted(self, head: RequestHead, now: datetime) -> str | None:
        """The URL to fetch first, where that may help to verify this request."""

    def learn(self, document: bytes | None, now: datetime) -> None:
        """Takes what was fetched, None for nothing; raises `MalformedReply` for what is of no use."""


class Credentials(Protocol):
    """What a client shows of itself."""

    def headers(self, request: HttpRequest, base_url: str, *, now: datetime, nonce: str) -> Headers:
        """What to add to the headers of one try of a request to the peer at `base_url`; `nonce` is new for each."""


class ManifestKey(Protocol):
    """What an agent signs its manifest with."""

    @property
    def public(self) -> str:
        """The public key, as others pin it."""

    def sign(self, document: Mapping[str, Any]) -> str:
        """The signature of a JSON object, as Base64; raises `Misuse` for one that has no canonical form."""


def credentials(head: RequestHead, scheme: str) -> str | None:
    """What Authorization says after the name of this scheme, trimmed; None for another scheme, or for no ASCII text."""
    value = head.headers.get("authorization", "")
    if len(value) > CREDENTIAL_LENGTH:
        return None
    given, _, secret = value.strip(" \t").partition(" ")
    secret = secret.strip(" \t")
    return secret if given.lower() == scheme and secret and secret.isascii() and secret.isprintable() else None


def identity(agent: str | Identity) -> Identity:
    """An agent by its URN, or as it is known already; raises `InvalidValue` for no URN."""
    return agent if isinstance(agent, Identity) else Identity(agent_urn(agent))


def identity_of(answer: Any) -> Identity | None:
    """What a validator said, as an identity; raises `TypeError` for what is none, `InvalidValue` for no URN."""
    if answer is None or answer.__class__ is Identity:
        return answer
    if isinstance(answer, str | Identity):
        return identity(answer)
    raise TypeError(f"a validator answers a URN, an Identity or None, not {type(answer).__name__}")


def vouched(answer: Any) -> Verdict:
    """What a validator said, or will have said, as a verdict."""
    if answer.__class__ is str:
        return identity(answer)
    return _awaited(answer) if inspect.isawaitable(answer) else identity_of(answer)


async def _awaited(answer: Awaitable[Any]) -> Identity | None:
    return identity_of(await answer)


def secrets_of(head: RequestHead) -> tuple[str, ...]:
    """What the request says that no log may: its secret as it came, and the password in it."""
    secret = head.headers.get("authorization", "").strip().partition(" ")[2].strip()
    texts = [secret]
    with suppress(ValueError):
        texts.append(base64.b64decode(secret, validate=True).decode().partition(":")[2])
    return tuple(text for text in texts if text)


def keys_request(url: str) -> tuple[str, HttpRequest]:
    """The base URL and the request by which a key set is fetched."""
    parts = urlsplit(url)
    target = urlunsplit(("", "", parts.path, parts.query, ""))
    return f"{parts.scheme}://{parts.netloc}", HttpRequest("GET", target, {"accept": "application/json"})
