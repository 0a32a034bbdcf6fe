"""The five parts, and the rules of files."""

import base64

import pytest

from asap_proto.errors import InvalidValue, MalformedEnvelope
from asap_proto.limits import FILE_BYTES, FILE_SCHEMES, URI_LENGTH
from asap_proto.model import PARTS, FilePart
from asap_proto.model.parts import DataPart, ResourcePart, TemplatePart, TextPart
from asap_proto.wire.nouns import decode_part


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
@pytest.mark.parametrize(
    "uri",
    [
        "https://a/b",
        "HTTPS://a",
        "http://a/b?c=%2F#d",
        "asap:artifact",
        "asap://agent/task_1/a.b.c",
        "s3://bucket/key",
        "https://a/%252e",
        "https://a/é",
        "https://a/" + "x" * (URI_LENGTH - 10),
    ],
)
def test_uris_that_pass(uri):
    """A URI that somebody else can fetch."""
    assert fault_of(uri=uri) is None


@pytest.mark.proves("parts.file-uri")
@pytest.mark.parametrize(
    "uri",
    [
        *("..", "https://a/../b", "https://a/b..c", "https://a/%2e%2e/b", "https://a/.%2E/b", "https://a/%252e%252e/b"),
        *("https://a/%25252e%25252e", "https://a/%2e.%2fb"),
        *("", "a", "a/b", "/etc/passwd", "//a/b", "%2Fetc", "./a", "C:/a", "c:a", "C:\\a", "\\\\a\\b", "?a", "#a"),
        *("file:///x", "file:/x", "file:x", "FILE://x", "fi%6ce:///x", " file://x", "\tfile://x", "fi\nle:///x"),
        *(
            "https:/a",
            "https:a",
            "https://",
            "https:///a",
            "http://?a",
            "https://a b",
            "https://a/\x00",
            "https://a\\b",
        ),
        "https://a/" + "x" * (URI_LENGTH - 9),
    ],
)
def test_uris_that_climb_or_name_local_files(uri):
    """Two dots anywhere, escaped or not, paths of whoever reads them, and local files in any spelling are refused."""
    assert fault_of(uri=uri) == "$.uri"


@pytest.mark.proves("parts.file-uri")
@pytest.mark.parametrize("uri", ["ftp://a/b", "http://a/b", "javascript:x", "s3://bucket/key"])
def test_schemes_that_a_peer_may_name(uri):
    """What a peer names is of a scheme that is listed; which these are is the reader's choice."""
    value = {"type": "file", "uri": uri, "mime_type": "text/plain"}
    with pytest.raises(MalformedEnvelope) as caught:
        decode_part(value)
    assert caught.value.path == "$.uri"
    assert caught.value.faults[0].type == "scheme"
    assert caught.value.message == f"uri {caught.value.faults[0].problem}"
    assert ", ".join(FILE_SCHEMES) in caught.value.message
    assert decode_part(value, schemes=[uri.partition(":")[0]]) == FilePart(uri, "text/plain")
    for listed in ("asap:x", "https://a", "data:,x"):
        assert decode_part(value | {"uri": listed})


@pytest.mark.proves("parts.file-data")
@pytest.mark.parametrize(
    ("uri", "inline_data", "fault"),
    [
        ("data:,hello", None, None),
        ("DATA:text/plain;base64,aGVsbG8=", None, None),
        ("data:text/plain;charset=utf-8;base64,aGVsbG8=", "aGVsbG8=", None),
        ("data:,h%65llo", "aGVsbG8=", None),
        ("data:TEXT/plain;base64,aGVsbG8%3D", "aGVsbG8=", None),
        ("data:,", "", None),
        ("data:,hello!", "aGVsbG8=", "$.inline_data"),
        ("data:;base64,aGVsbG8=", "", "$.inline_data"),
        ("data:text/html,hello", None, "$.mime_type"),
        ("data:text/plain;base64,aGVsbG8", None, "$.uri"),
        ("data:text/plain;base64,-_-_", None, "$.uri"),
        ("data:text/plain", None, "$.uri"),
        ("data:", None, "$.uri"),
        ("data:,a..b", None, "$.uri"),
        ("data:,a b", None, "$.uri"),
    ],
)
def test_data_uris(uri, inline_data, fault):
    """They hold what they say, of the type that the part says, and the same as is inline."""
    assert fault_of(uri=uri, inline_data=inline_data) == fault
    value = {"type": "file", "uri": uri, "mime_type": "text/plain", "inline_data": inline_data}
    if fault is None:
        assert decode_part(value) == FilePart(uri, "text/plain", inline_data)
        return
    with pytest.raises(MalformedEnvelope) as caught:
        decode_part(value)
    assert caught.value.path == fault


@pytest.mark.parametrize("over", [0, 1])
def test_files_in_a_message_are_bounded(over):
    """As many bytes as the limit, inline and in both kinds of data URI, and not one more."""
    size = FILE_BYTES + over
    text = base64.b64encode(bytes(size)).decode()
    assert fault_of(inline_data=text) == ("$.inline_data" if over else None)
    assert fault_of(uri=f"data:;base64,{text}") == ("$.uri" if over else None)
    assert fault_of(uri="data:," + "x" * size) == ("$.uri" if over else None)
    assert fault_of(uri="data:," + "%78" * size) == "$.uri"


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
