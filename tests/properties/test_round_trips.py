"""Whatever noun there is, what was written is read back the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.limits import Limits
from asap_proto.wire.converter import converter
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import dump_manifest, load_manifest
from asap_proto.wire.nouns import decode, decode_envelope, encode
from asap_proto.wire.schema import SCHEMAS

NOUNS = sorted(SCHEMAS)
DEPTH = Limits().json_depth


def test_each_noun_has_a_strategy():
    """A noun that is published has a strategy, so that the properties hold for it too."""
    assert set(asap.NOUNS) == set(SCHEMAS.values())


@pytest.mark.parametrize("name", [name for name in NOUNS if name != "Envelope"])
@given(data=st.data())
def test_decode_after_encode_is_identity(name, data):
    """A noun that went through bytes is equal to what it was, and shows the same."""
    noun = data.draw(asap.nouns(SCHEMAS[name]))
    again = decode(SCHEMAS[name], load(dump(encode(noun)), depth=DEPTH))
    assert again == noun
    assert repr(again) == repr(noun).replace(", fold=1", "")


@given(asap.envelopes())
def test_envelopes_come_back_with_their_payload(envelope):
    """An envelope's payload is read as the class its type names, and an unknown one as the object it is."""
    assert decode_envelope(load(dump(encode(envelope)), depth=DEPTH)) == envelope


@given(asap.envelopes())
def test_lenient_reading_of_what_is_strictly_right_changes_nothing(envelope):
    """What both readers accept, both read the same."""
    plain = load(dump(encode(envelope)), depth=DEPTH)
    assert decode_envelope(plain, lenient=True) == decode_envelope(plain)


@given(asap.nouns(SCHEMAS["Manifest"]))
def test_manifests_come_back_from_the_document_published(manifest):
    """What an agent publishes is what a client reads."""
    assert load_manifest(dump_manifest(manifest), depth=DEPTH) == manifest


@pytest.mark.parametrize("name", NOUNS)
@given(data=st.data())
def test_cattrs_reads_and_writes_each_noun_by_the_same_rules(name, data):
    """Whoever embeds nouns in structures of their own uses the strict functions through cattrs."""
    noun = data.draw(asap.nouns(SCHEMAS[name]))
    plain = load(dump(converter.unstructure(noun)), depth=DEPTH)
    assert dump(encode(converter.structure(plain, SCHEMAS[name]))) == dump(encode(noun))


@given(asap.json_values())
def test_json_values_come_back(value):
    """What JSON can say survives writing and reading."""
    assert load(dump(value), depth=DEPTH) == value
