"""Manifests on the wire."""

import pytest

from asap_proto.errors import MalformedJson, MalformedReply
from asap_proto.wire.json import dump
from asap_proto.wire.manifests import dump_manifest, etag, load_manifest
from asap_testkit import echo_manifest


@pytest.mark.proves("manifest.document")
def test_a_manifest_is_written_and_read():
    """What an agent publishes is what a client believes."""
    assert load_manifest(dump_manifest(echo_manifest()), depth=9) == echo_manifest()


@pytest.mark.proves("manifest.additions")
def test_unknown_fields_of_a_newer_peer_are_passed_over():
    """Anywhere in it."""
    text = dump_manifest(echo_manifest())
    for place in (b'"name":', b'"streaming":', b'"asap":', b'"description":"Does echo"'):
        assert load_manifest(text.replace(place, b'"new":[],' + place), depth=9) == echo_manifest()


@pytest.mark.parametrize(
    ("text", "error"),
    [(b"", MalformedJson), (b"[]", MalformedReply), (b"{}", MalformedReply), (dump({"id": "x"}), MalformedReply)],
)
def test_what_is_no_manifest(text, error):
    """It is the peer's mistake, and told so."""
    with pytest.raises(error):
        load_manifest(text, depth=9)


@pytest.mark.proves("manifest.caching")
def test_the_entity_tag_changes_with_the_document():
    """The same bytes, the same tag; in quotes."""
    assert etag(b"a") == etag(b"a") != etag(b"b")
    assert etag(b"a").startswith('"')
    assert etag(b"a").endswith('"')
