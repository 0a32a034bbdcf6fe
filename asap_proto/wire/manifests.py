"""Manifests on the wire (ASAP: manifest): written as 1.0.0 has them, read with whatever a newer peer adds."""

from __future__ import annotations

import hashlib
from typing import Any

from ..errors import MalformedReply
from ..model import Manifest
from .json import dump, load
from .nouns import decode, encode
from .paths import MANIFEST_PATH

__all__ = ["MANIFEST_PATH", "dump_manifest", "etag", "load_manifest", "read_manifest"]


def dump_manifest(manifest: Manifest) -> bytes:
    """The document to publish."""
    return dump(encode(manifest))


def load_manifest(text: bytes, *, depth: int) -> Manifest:
    """A published manifest; raises `MalformedJson` or `MalformedReply`."""
    return read_manifest(load(text, depth=depth))


def read_manifest(document: Any) -> Manifest:
    """The same, from its JSON value."""
    return decode(Manifest, document, lenient=True, error=MalformedReply)


def etag(text: bytes) -> str:
    """The entity tag of a document (RFC 9110 section 8.8.3)."""
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'
