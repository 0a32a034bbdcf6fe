"""The five parts that messages and artifacts are made of, told apart by ``type`` (ASAP: entities)."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import ClassVar

from attrs import field

from ..errors import Fault
from ..limits import FILE_BYTES, URI_LENGTH
from ._value import JsonObject, Rule, Value, noun

__all__ = ["PARTS", "DataPart", "FilePart", "Part", "ResourcePart", "TemplatePart", "TextPart"]

_scheme = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):").match
# A letter alone is a drive of Windows, and what some take out of a URI, or for a slash, others don't.
_unsafe = re.compile(r"[\x00-\x20\x7f\\]|^[A-Za-z]:").search
_data = re.compile(r"data:([^,;]*)((?:;[^,;]*)*),(.*)", re.IGNORECASE).fullmatch
_escapes = re.compile(rb"%([0-9A-Fa-f]{2})").sub
_host = re.compile(r"https?://[^/?#]", re.IGNORECASE).match

_mime = re.compile(r"[a-z0-9-]+/[a-z0-9.+-]+").fullmatch

# The standard library's strict mode judges padding otherwise from one Python to the next.
_base64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch


def scheme_of(uri: str) -> str:
    """In lower case; empty where there is none."""
    found = _scheme(uri)
    return found[1].lower() if found else ""


def _check_uri(uri: str) -> str | None:
    if ".." in uri:
        return "climbs out of its folder with '..'"
    if _unsafe(uri):
        return "holds a blank, a control character, a backslash or a drive"
    match scheme_of(uri):
        case "":
            return "has no scheme; give a URI that the peer can fetch"
        case "file":
            return "names a local file; give a URI that the peer can fetch"
        case "data":
            return _check_data(uri)
        case "http" | "https" if not _host(uri):
            return "names no host"
        case _:
            pass
    if len(uri) > URI_LENGTH:
        return f"has {len(uri)} characters; at most {URI_LENGTH} are allowed"
    return _check_escapes(uri)


def _check_escapes(uri: str) -> str | None:
    # Whoever fetches it may undo escapes, and whoever that one asks may undo them once more.
    plain = _undone(_undone(_bytes(uri)))
    if b".." in plain:
        return "climbs out of its folder with an escaped '..'"
    return "is escaped more than twice" if _undone(plain) != plain else None


def _bytes(uri: str) -> bytes:
    return uri.encode("utf-8", "surrogatepass")


def _undone(uri: bytes) -> bytes:
    """The same, its escapes undone once (RFC 3986 section 2.1)."""
    return _escapes(lambda found: bytes.fromhex(found[1].decode()), uri)


def _check_data(uri: str) -> str | None:
    found = _data(uri)
    if found is None:
        return "is no data URI (RFC 2397)"
    if uri.count("%") > URI_LENGTH:
        return f"has more than {URI_LENGTH} escapes; give base64"
    if _is_base64(found) and not _base64(_undone(_bytes(found[3])).decode("latin-1")):
        return "is not standard base64 (RFC 4648 section 4)"
    if len(_held(found)) > FILE_BYTES:
        return f"holds more than {FILE_BYTES} bytes; give a URI to fetch them from"
    return None


def _is_base64(found: re.Match[str]) -> bool:
    return found[2].lower().endswith(";base64")


def _held(found: re.Match[str]) -> bytes:
    """What a data URI holds."""
    plain = _undone(_bytes(found[3]))
    return b64decode(plain) if _is_base64(found) else plain


def _check_mime(mime_type: str) -> str | None:
    return None if _mime(mime_type.lower()) else "is no MIME type; expected type/subtype without parameters"


def _check_base64(text: str) -> str | None:
    if len(text) // 4 * 3 - text.count("=", -2) > FILE_BYTES:
        return f"holds more than {FILE_BYTES} bytes; give a URI to fetch them from"
    return None if _base64(text) else "is not standard base64 (RFC 4648 section 4)"


@noun
class TextPart(Value):
    """Words."""

    tag: ClassVar[str] = "text"
    content: str


@noun
class DataPart(Value):
    """A JSON object, and where its schema is."""

    tag: ClassVar[str] = "data"
    data: JsonObject
    schema_uri: str | None = None


@noun
class FilePart(Value):
    """A file: where it is, what it is, and perhaps its bytes in base64.

    A data URI holds the same bytes, and names the same type.
    """

    tag: ClassVar[str] = "file"
    flaw_quick: ClassVar[str] = "uri[:5].lower() == 'data:'"
    uri: str = field(validator=Rule("uri", _check_uri, {"type": "string"}))
    mime_type: str = field(validator=Rule("mime_type", _check_mime, {"type": "string"}))
    inline_data: str | None = field(
        default=None, validator=Rule("base64", _check_base64, {"contentEncoding": "base64"})
    )

    def flaw(self) -> Fault | None:
        found = _data(self.uri)
        if found is None:
            return None
        if (found[1] or "text/plain").lower() != self.mime_type.lower():
            return Fault("$.mime_type", "differs", "is not the type that the data URI names")
        if self.inline_data is not None and b64decode(self.inline_data) != _held(found):
            return Fault("$.inline_data", "differs", "is not what the data URI holds")
        return None


@noun
class ResourcePart(Value):
    """Something to be fetched through MCP."""

    tag: ClassVar[str] = "resource"
    resource_uri: str


@noun
class TemplatePart(Value):
    """A text with gaps, and what goes into them."""

    tag: ClassVar[str] = "template"
    template: str
    variables: JsonObject


Part = TextPart | DataPart | FilePart | ResourcePart | TemplatePart

PARTS: tuple[type[Part], ...] = (TextPart, DataPart, FilePart, ResourcePart, TemplatePart)
