"""The five parts that messages and artifacts are made of, told apart by ``type`` (ASAP: entities)."""

from __future__ import annotations

import re
from typing import ClassVar

from attrs import field

from ._value import JsonObject, Rule, Value, noun

__all__ = ["PARTS", "DataPart", "FilePart", "Part", "ResourcePart", "TemplatePart", "TextPart"]

_mime = re.compile(r"[a-z0-9-]+/[a-z0-9.+-]+").fullmatch

# The standard library's strict mode judges padding otherwise from one Python to the next.
_base64 = re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?").fullmatch


def _check_uri(uri: str) -> str | None:
    if ".." in uri:
        return "climbs out of its folder with '..'"
    if uri.strip().lower().startswith("file://"):
        return "names a local file; give a URI that the peer can fetch"
    return None


def _check_mime(mime_type: str) -> str | None:
    return None if _mime(mime_type.lower()) else "is no MIME type; expected type/subtype without parameters"


def _check_base64(text: str) -> str | None:
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
    """A file: where it is, what it is, and perhaps its bytes in base64."""

    tag: ClassVar[str] = "file"
    uri: str = field(validator=Rule("uri", _check_uri, {"type": "string"}))
    mime_type: str = field(validator=Rule("mime_type", _check_mime, {"type": "string"}))
    inline_data: str | None = field(
        default=None, validator=Rule("base64", _check_base64, {"contentEncoding": "base64"})
    )


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
