"""Signed requests (RFC 9421, hmac-sha256): who holds the secret has sent this, once, just now, as it came.

The signature is verified before the body is read; the digest that it covers says later whether the body is the one
that was signed, and its nonce whether the request has come before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import http_sf
from attrs import field, frozen
from http_message_signatures import HTTPMessageSigner, HTTPMessageVerifier, MappingKeyResolver, VerifyResult
from http_message_signatures.algorithms import HMAC_SHA256
from http_message_signatures.exceptions import HTTPMessageSignaturesException, InvalidSignature

from asap_proto.errors import AsapError, InvalidValue
from asap_proto.http import Headers, HttpRequest, RequestHead
from asap_proto.limits import NONCE_LENGTH, Limits
from asap_proto.rules.freshness import check_fresh
from asap_proto.rules.identity import Identity, SignedIdentity
from asap_proto.wire.digests import DIGESTS

from .._shared.schemes import CREDENTIAL_LENGTH, Verdict, identity
from .._shared.urls import check_base_url

__all__ = ["COVERED", "MEANINGFUL", "SECRET_BYTES", "TAG", "SharedKey", "Signatures", "Signer", "verified"]

#: What a signature has to cover of every request, besides its own parameters.
COVERED: Final = ("@method", "@path", "content-digest")
#: Headers that change what a request means: each that is there has to be covered too.
MEANINGFUL: Final = ("content-encoding", "x-idempotency-key")
#: What our signatures say that they are for: others, such as a gateway's, are not looked at.
TAG: Final = "asap"
#: Bytes of a secret at least: as many as the digest has, less makes the signature weaker than that (RFC 2104).
SECRET_BYTES: Final = 32

#: What stands in a path as it is (RFC 3986 section 3.3), besides letters and digits.
_PATH = "/:@!$&'()*+,;=-._~"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEADERS = ("signature-input", "signature", "content-digest")


@frozen
class SharedKey:
    """A secret, and the one agent that signs with it: a URN or an `Identity`.

    Whoever verifies with a secret could sign with it as well: so each agent should share another with each peer.
    Raises `InvalidValue` for a secret of less than `SECRET_BYTES`.
    """

    secret: bytes = field(repr=False)
    agent: Identity = field(converter=identity)

    def __attrs_post_init__(self) -> None:
        _check_secret(self.secret)


class Signatures:
    """Lets in who signs with one of `keys`, by their ids.

    `url` is the base URL that callers use, if that is known: then a signature has to be for it, whatever a proxy in
    front made of host and path. Without it the path is taken as it arrives, and a host, where a signature covers it,
    as the Host header says.
    The window for the time of signing is that of `limits` for envelopes.
    Raises `InvalidValue` where a signature could outlive the memory of its nonce.
    """

    scheme = "signature"
    challenge = f'Signature algorithm="hmac-sha256", tag="{TAG}", components="{" ".join(COVERED)}"'

    def __init__(
        self,
        keys: Mapping[str, SharedKey],
        *,
        url: str = "",
        limits: Limits = Limits(),  # noqa: B008  (frozen)
    ) -> None:
        if limits.nonce_seconds <= limits.oldest_seconds + limits.ahead_seconds:
            raise InvalidValue("Limits.nonce_seconds has to be more than oldest_seconds and ahead_seconds together")
        if not all(0 < len(key_id) <= NONCE_LENGTH for key_id in keys):
            raise InvalidValue(f"the id of a key has 1 to {NONCE_LENGTH} characters: it is remembered with each nonce")
        secrets = {key_id: key.secret for key_id, key in keys.items()}
        self._secrets = MappingKeyResolver(public_keys=secrets, private_keys={})
        self._agents = {key_id: key.agent for key_id, key in keys.items()}
        # Where it is served does not matter here: TLS may end at a proxy.
        self._url = check_base_url(url, allow_http=True) if url else ""
        self._covers = (*COVERED, "@authority") if url else COVERED
        self._limits = limits

    def verify(self, head: RequestHead, now: datetime) -> Verdict:
        if "signature-input" not in head.headers:
            return None
        covers = (*self._covers, *(name for name in MEANINGFUL if name in head.headers))
        try:
            signature = verified(
                head, self._secrets, covers=covers, tag=TAG, url=self._url, now=now, limits=self._limits
            )
            digests = _digests(head.headers["content-digest"])
        except (HTTPMessageSignaturesException, AsapError, ValueError):
            return None
        nonce, key_id = signature.nonce, str(signature.parameters["keyid"])
        agent = self._agents[key_id]
        if nonce is None or not nonce.strip() or len(nonce) > NONCE_LENGTH or not digests:
            return None
        created = _moment(int(signature.parameters["created"]))
        return SignedIdentity(agent.urn, agent.scopes, nonce=nonce, key_id=key_id, created=created, digests=digests)


@frozen
class Signer:
    """Signs each request with a secret that the peer knows under `key_id`; raises `InvalidValue` for a short one."""

    key_id: str
    secret: bytes = field(repr=False)

    def __attrs_post_init__(self) -> None:
        _check_secret(self.secret)
        if not (self.key_id and self.key_id.isascii() and self.key_id.isprintable()):
            raise InvalidValue("the id of a key is visible ASCII text")

    def headers(self, request: HttpRequest, base_url: str, *, now: datetime, nonce: str) -> Headers:
        """What the peer verifies; raises `InvalidValue` for a URL or a header that can't be signed."""
        message = _Message(request.method, base_url + request.target, dict(request.headers))
        secrets = MappingKeyResolver(public_keys={}, private_keys={self.key_id: self.secret})
        meaningful = [name for name in MEANINGFUL if name in request.headers]
        try:
            HTTPMessageSigner(signature_algorithm=HMAC_SHA256, key_resolver=secrets).sign(
                message,
                key_id=self.key_id,
                created=now,
                nonce=nonce,
                label=TAG,
                tag=TAG,
                covered_component_ids=("@method", "@authority", "@path", *meaningful),
                body=request.body,
            )
        except HTTPMessageSignaturesException as error:
            raise InvalidValue(f"this request can't be signed: {error}") from None
        return {name.lower(): value for name, value in message.headers.items() if name not in request.headers}


def verified(
    head: RequestHead,
    secrets: MappingKeyResolver,
    *,
    covers: Sequence[str],
    tag: str | None,
    url: str = "",
    now: datetime,
    limits: Limits,
) -> VerifyResult:
    """The one signature with this tag, if it is valid now, and covers at least what is named.

    Raises `InvalidTimestamp`, `HTTPMessageSignaturesException` or `ValueError` where there is none, or not only one.
    """
    if any(len(head.headers.get(name, "")) > CREDENTIAL_LENGTH for name in _HEADERS):
        raise InvalidSignature("too long")
    base = url or f"https://{head.headers.get('host', '')}"
    # The path comes decoded: what stood there as %3F begins no query.
    message = _Message(head.method, base + quote(head.path, safe=_PATH), head.headers)
    verifier = _Verifier(secrets, now=now, limits=limits)
    results = verifier.verify(message, max_age=None, expect_tag=tag, require_components=covers)
    if len(results) != 1:
        raise InvalidSignature("more than one signature")
    return results[0]


@frozen
class _Message:
    """A request as the library reads it."""

    method: str
    url: str
    headers: Any


class _Verifier(HTTPMessageVerifier):
    """The library's verifier, by a time that is handed in."""

    def __init__(self, secrets: MappingKeyResolver, *, now: datetime, limits: Limits) -> None:
        super().__init__(signature_algorithm=HMAC_SHA256, key_resolver=secrets)
        self._now = now
        self._limits = limits

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        created, expires = sig_input.params.get("created"), sig_input.params.get("expires")
        if created is None:
            raise InvalidSignature("not said when it was made")
        check_fresh(_moment(created), now=self._now, limits=self._limits)
        if expires is not None and self._now > _moment(expires):
            raise InvalidSignature("expired")


def _moment(seconds: int) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise InvalidSignature("beyond the calendar") from None


def _digests(value: str) -> Mapping[str, bytes]:
    """The digests of a Content-Digest header that we compute; raises `ValueError` for a malformed one."""
    members: Any = http_sf.parse(value.encode(), tltype="dictionary")
    found: dict[str, bytes] = {}
    for name, size in DIGESTS.items():
        if name in members:
            digest = members[name][0]
            if not isinstance(digest, bytes) or len(digest) != size:
                raise ValueError(f"{name} is no digest")
            found[name] = digest
    return found


def _check_secret(secret: bytes) -> None:
    if len(secret) < SECRET_BYTES:
        raise InvalidValue(f"a secret for signatures has at least {SECRET_BYTES} bytes")
