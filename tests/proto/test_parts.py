"""The five parts, and the rules of files."""

import pytest

from asap_proto.errors import InvalidValue
from asap_proto.model import PARTS, FilePart
from asap_proto.model.parts import DataPart, ResourcePart, TemplatePart, TextPart


@pytest.mark.proves("parts.tags")
def test_five_parts_by_their_tags():
    """Parts are told apart by their type."""
    assert {part.tag: part for part in PARTS} == {
        "text": TextPart, "data": DataPart, "file": FilePart, "resource": ResourcePart, "template": TemplatePart,
    }  # fmt: skip


def fault_of(uri="https://example.org/a", mime_type="text/plain", inline_data=None):
    try:
        FilePart(uri, mime_type, inline_data)
    except InvalidValue as error:
        return error.path
    return None


@pytest.mark.proves("parts.file-uri")
@pytest.mark.parametrize("uri", ["", "/etc/passwd", "file:/x", "%2e%2e", "https://a/b", "a.b.c"])
def test_uris_that_pass(uri):
    """A URI is any text, but for two things."""
    assert fault_of(uri=uri) is None


@pytest.mark.proves("parts.file-uri")
@pytest.mark.parametrize("uri", ["..", "https://a/../b", "file:///x", " FILE://x", "\tfile://"])
def test_uris_that_climb_or_name_local_files(uri):
    """Two dots anywhere, and local files in any case, are refused."""
    assert fault_of(uri=uri) == "$.uri"


@pytest.mark.proves("parts.file-mime")
@pytest.mark.parametrize(
    ("mime_type", "fault"),
    [
        ("text/plain", None),
        ("TEXT/Plain", None),
        ("application/vnd.x+json", None),
        ("a-0/b.c+d-e", None),
        ("text", "$.mime_type"),
        ("text/", "$.mime_type"),
        ("/plain", "$.mime_type"),
        ("text/plain; charset=x", "$.mime_type"),
        ("te_xt/plain", "$.mime_type"),
        ("text/plain\n", "$.mime_type"),
        ("", "$.mime_type"),
    ],
)
def test_mime_types(mime_type, fault):
    """Type and subtype in any case, without parameters; no trailing newline."""
    assert fault_of(mime_type=mime_type) == fault


@pytest.mark.proves("parts.file-base64")
@pytest.mark.parametrize(("data", "fault"), [
    ("", None), ("YQ==", None), ("YWJj", None), ("+/+/", None),
    ("YQ", "$.inline_data"), ("YQ=", "$.inline_data"), ("-_-_", "$.inline_data"), ("YQ==\n", "$.inline_data"),
    ("Y Q==", "$.inline_data"), ("é", "$.inline_data"), ("YQ==YQ==", "$.inline_data"), ("=", "$.inline_data"),
])  # fmt: skip
def test_inline_data_is_strict_base64(data, fault):
    """The standard alphabet with its padding, nothing else."""
    assert fault_of(inline_data=data) == fault
