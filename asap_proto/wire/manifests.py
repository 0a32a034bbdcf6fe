"""Manifests on the wire (ASAP: manifest): written as 1.0.0 has them, read with whatever a newer peer adds.

One that is signed comes in two forms: with the signature in its own field, which every release reads; or, as releases
from 1.2 on write it, enclosed in an object beside the signature. What is signed is the manifest without that field, in
canonical JSON (RFC 8785).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from ..errors import MalformedReply
from ..limits import JSON_DEPTH_MOST, MANIFEST_TTL, SUPPORTED_VERSIONS
from ..model import Manifest
from ..plain import plain
from .json import dump, load
from .nouns import decode, encode
from .paths import MANIFEST_PATH

__all__ = [
    "MANIFEST_PATH",
    "Published",
    "dump_enclosed",
    "dump_manifest",
    "enclosable",
    "etag",
    "load_manifest",
    "open_manifest",
    "read_manifest",
    "signable",
]

_ALGORITHM: Final = "ed25519"


@plain
class Published:
    """A manifest as it came, before anything in it is believed.

    `signed` is what the signature is said to be of, whole, with fields that only newer peers know; `signature` is
    Base64, and none where there is none, or one of another algorithm.
    """

    document: Any
    signed: Any
    signature: str | None = None


def dump_manifest(manifest: Manifest) -> bytes:
    """The document to publish."""
    return dump(encode(manifest))


def load_manifest(text: bytes, *, depth: int) -> Manifest:
    """A published manifest, in either form; raises `MalformedJson` or `MalformedReply`."""
    return read_manifest(open_manifest(load(text, depth=depth)).document)


def open_manifest(document: Any) -> Published:
    """What was published, of its JSON value: the manifest, and its signature apart from it."""
    signature = document.get("signature") if document.__class__ is dict else None
    if signature.__class__ is dict and "manifest" in document:
        manifest, block = document["manifest"], signature
        signature = block.get("signature") if block.get("alg") == _ALGORITHM else None
    else:
        manifest = document
    signed = signable(manifest) if manifest.__class__ is dict else None
    return Published(manifest, signed, signature if signature.__class__ is str else None)


def read_manifest(document: Any) -> Manifest:
    """A manifest, from its JSON value."""
    return decode(Manifest, document, lenient=True, error=MalformedReply)


def signable(document: Mapping[str, Any]) -> dict[str, Any]:
    """What of a manifest is signed: all but its signature."""
    return {name: value for name, value in document.items() if name != "signature"}


def enclosable(manifest: Manifest) -> dict[str, Any]:
    """What the enclosed form says: every field that 2.5 knows, which puts in what is left out before it verifies."""
    document = signable(load(dump_manifest(manifest), depth=JSON_DEPTH_MOST))
    document["capabilities"] |= {"hardware": None, "inference": None}
    return document | {
        "supported_versions": list(SUPPORTED_VERSIONS),
        "sla": None,
        "verification": None,
        "ttl_seconds": MANIFEST_TTL,
    }


def dump_enclosed(signed: Mapping[str, Any], signature: str, public_key: str) -> bytes:
    """The enclosed form of what `enclosable` gave, and was signed since."""
    block = {"alg": _ALGORITHM, "signature": signature}
    return dump({"manifest": signed, "signature": block, "public_key": public_key})


def etag(text: bytes) -> str:
    """The entity tag of a document (RFC 9110 section 8.8.3)."""
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'
