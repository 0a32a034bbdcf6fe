"""Values given on the command line: as they are, from a file, or from stdin."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from asap_proto.errors import MalformedJson
from asap_proto.limits import Limits
from asap_proto.wire.json import load

from .outcome import USAGE, Stop

__all__ = ["read_bytes", "read_object", "read_text"]


def read_bytes(source: str) -> bytes:
    """A file's bytes, or with ``-`` those of stdin; raises `Stop`."""
    if source == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Stop(USAGE, f"can't read {source}: {reason}", remedy="Name a file, or - for stdin.") from None


def read_text(value: str) -> str:
    """`value` itself, or what ``@file`` or ``-`` holds, without the newline at its end."""
    if value != "-" and not value.startswith("@"):
        return value
    return read_bytes(value.removeprefix("@")).decode("utf-8", "replace").rstrip("\r\n")


def read_object(value: str, *, option: str) -> dict[str, Any]:
    """A JSON object given as JSON, ``@file`` or ``-``; raises `Stop`."""
    raw = read_bytes(value.removeprefix("@")) if value == "-" or value.startswith("@") else value.encode()
    try:
        document = load(raw, depth=Limits().json_depth)
    except MalformedJson as error:
        raise Stop(
            USAGE,
            f"{option} is no JSON: {error.message}",
            remedy=f'Quote it for the shell, {option} \'{{"message": "hi"}}\', or give @file or - for stdin.',
            code=error.code,
        ) from None
    if not isinstance(document, dict):
        raise Stop(USAGE, f"{option} is no JSON object", remedy=f"Give an object, such as {option} '{{\"n\": 1}}'.")
    return document
