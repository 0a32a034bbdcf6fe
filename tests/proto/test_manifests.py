"""Manifests on the wire."""

import pytest

from asap_proto.errors import MalformedJson, MalformedReply
from asap_proto.limits import MANIFEST_TTL, SUPPORTED_VERSIONS
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import (
    Published,
    dump_enclosed,
    dump_manifest,
    enclosable,
    etag,
    load_manifest,
    open_manifest,
    signable,
)
from asap_proto.wire.nouns import encode
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
    # The beginning of its SHA-256, which is the same on every worker and after a restart.
    assert etag(b"a") == '"ca978112ca1bbdcafac231b39a23dc4d"'


@pytest.mark.proves("manifest.signed")
def test_a_signature_stands_in_its_field():
    """What it is of is all the rest, with what only newer peers know; no signature is none."""
    document = {**load(dump_manifest(echo_manifest()), depth=9), "new": {"signature": "kept"}}
    assert open_manifest(document) == Published(document, signable(document))
    signed = {**document, "signature": "s"}
    assert open_manifest(signed) == Published(signed, signable(document), "s")
    assert "signature" not in signable(signed)
    assert signable(signed)["new"] == {"signature": "kept"}


@pytest.mark.proves("manifest.signed")
def test_a_manifest_may_be_enclosed_with_its_signature():
    """As releases from 1.2 on have it; the key that is said beside it is nobody's word, nor is a level of trust."""
    inner = {**encode(echo_manifest()), "signature": None}
    block = {"alg": "ed25519", "signature": "s", "trust_level": "verified"}
    document = {"manifest": inner, "signature": block, "public_key": "k"}
    assert open_manifest(document) == Published(inner, signable(inner), "s")
    assert load_manifest(dump(document), depth=9) == echo_manifest()


@pytest.mark.parametrize(
    "block",
    [{"alg": "none", "signature": "s"}, {"signature": "s"}, {"alg": "ed25519"}, {"alg": "ed25519", "signature": 1}, {}],
)
def test_a_signature_of_another_kind_is_none(block):
    """Whoever wants one refuses it."""
    assert open_manifest({"manifest": encode(echo_manifest()), "signature": block}).signature is None


@pytest.mark.parametrize("document", [[], 1, None, {"manifest": 1, "signature": {"alg": "ed25519", "signature": "s"}}])
def test_what_is_no_manifest_has_nothing_signed(document):
    """Its signature, if there is one, is of nothing."""
    assert open_manifest(document).signed is None


@pytest.mark.parametrize("document", [{"manifest": {}}, {"manifest": {}, "signature": "s"}, {"signature": {}}])
def test_what_is_not_enclosed_is_read_as_it_is(document):
    """A field of that name alone makes no other form."""
    assert open_manifest(document).document == document


@pytest.mark.proves("manifest.signed")
def test_what_is_enclosed_says_all_that_newer_peers_know():
    """They put in what is left out before they verify, so that a signature of less would not fit."""
    document = enclosable(echo_manifest())
    assert document.keys() - encode(echo_manifest()).keys() == {
        "supported_versions",
        "sla",
        "verification",
        "ttl_seconds",
    }
    assert document["supported_versions"] == list(SUPPORTED_VERSIONS)
    assert document["ttl_seconds"] == MANIFEST_TTL
    assert document["capabilities"].keys() >= {"hardware", "inference"}
    assert "signature" not in document
    text = dump_enclosed(document, "s", "k")
    assert load_manifest(text, depth=9) == echo_manifest()
    assert open_manifest(load(text, depth=9)) == Published(document, document, "s")
    assert load(text, depth=9)["public_key"] == "k"
