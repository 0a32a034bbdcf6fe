"""What a request is to an ASGI app."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from .server_connection import Head

__all__ = ["ASGI", "http_scope"]

#: The version of ASGI that is spoken: in 2.3 whoever sends to a caller that is gone is not told by an error.
ASGI: Final = {"version": "3.0", "spec_version": "2.3"}

#: The path of a target, which may be a whole URL, and its query.
_parts = re.compile(rb"(?:https?://[^/?#]*)?([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE).fullmatch


def http_scope(head: Head, connection: Mapping[str, Any]) -> dict[str, Any]:
    """The scope of one request; `connection` is what is so for each of its connection."""
    found = _parts(head.target)
    assert found is not None
    raw = found[1] or b"/"
    path = raw.decode("ascii")
    return {
        "type": "http",
        "asgi": ASGI,
        "http_version": head.version,
        "method": head.method,
        "path": unquote(path) if "%" in path else path,
        "raw_path": raw,
        "query_string": found[2] or b"",
        "root_path": "",
        "headers": head.headers,
        **connection,
    }
