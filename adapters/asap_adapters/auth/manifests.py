"""Signed manifests: Ed25519 (RFC 8032) over canonical JSON (RFC 8785), made and verified."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import rfc8785
from attrs import field, frozen
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from asap_proto.errors import InvalidValue, Misuse, UnverifiedManifest
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import Published

__all__ = ["PinnedKey", "SigningKey"]

#: Levels of what is signed: what was read, or is about to be published, has passed a stricter bound.
_DEPTH: Final = 254
_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
#: Points of small order, without the bit that is their sign: to such a key anybody finds signatures that fit.
_WEAK: Final = frozenset(
    bytes.fromhex(point)
    for point in (
        "00" * 32,
        "01" + "00" * 31,
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ec" + "ff" * 30 + "7f",
        "ed" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
    )
)


@frozen
class PinnedKey:
    """The public key that a peer's manifest has to be signed with, as Base64 of its 32 bytes.

    It has to come from the peer by another way than its manifest. Raises `InvalidValue` for what is no such key.
    """

    key: str

    def __attrs_post_init__(self) -> None:
        raw = _bytes(self.key, _KEY_BYTES)
        if raw is None:
            raise InvalidValue(f"a pinned key is Base64 of {_KEY_BYTES} bytes")
        if raw[:-1] + bytes([raw[-1] & 0x7F]) in _WEAK:
            raise InvalidValue("this key is weak: anybody can sign for it")

    def __call__(self, published: Published) -> None:
        """Raises `UnverifiedManifest` unless the manifest is signed with this key."""
        if published.signature is None:
            raise UnverifiedManifest("the manifest is not signed with Ed25519, and a key is pinned")
        signature = _bytes(published.signature, _SIGNATURE_BYTES)
        try:
            if signature is None:
                raise InvalidSignature
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.key))
            public.verify(signature, _canonical(published.signed))
        except (InvalidSignature, rfc8785.CanonicalizationError):
            raise UnverifiedManifest("the manifest is not signed with the key that is pinned") from None


@frozen
class SigningKey:
    """The private key that an agent signs its manifest with.

    `public` is what others pin. It can be sent to another process, and shows in no log.
    """

    _seed: bytes = field(repr=False)

    @classmethod
    def new(cls) -> SigningKey:
        """A key that nobody has yet."""
        return cls(Ed25519PrivateKey.generate().private_bytes_raw())

    @classmethod
    def read(cls, path: str | Path) -> SigningKey:
        """The key of a file, in PEM (PKCS #8) without a password; raises `Misuse`, or `OSError` for no file."""
        try:
            key = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PrivateKey):
            raise Misuse(f"{path} holds no Ed25519 private key, in PEM and without a password")
        return cls(key.private_bytes_raw())

    def pem(self) -> bytes:
        """The private key, as `read` takes it."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def public(self) -> str:
        """The public key, as Base64."""
        return base64.b64encode(self._private.public_key().public_bytes_raw()).decode()

    def sign(self, document: Mapping[str, Any]) -> str:
        """The signature of a JSON object, as Base64; raises `Misuse` for one that has no canonical form."""
        try:
            # What others verify is what they read, not what it was written from.
            text = _canonical(load(dump(document), depth=_DEPTH))
        except rfc8785.CanonicalizationError as error:
            raise Misuse(f"the manifest can't be signed: {error}") from None
        return base64.b64encode(self._private.sign(text)).decode()

    @property
    def _private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._seed)


def _canonical(document: Any) -> bytes:
    return rfc8785.dumps(document)


def _bytes(text: str, length: int) -> bytes | None:
    """What Base64 of so many bytes says, in the one way to write it."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == length and base64.b64encode(raw).decode() == text else None
