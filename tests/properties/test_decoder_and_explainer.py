"""The fast decoder says no exactly where the explainer finds something wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.limits import Limits
from asap_proto.wire.faults import FAULTS_MOST
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import decode, decode_envelope, encode
from asap_proto.wire.schema import SCHEMAS
from asap_testkit import error_of
from asap_testkit.effort import EACH

NOUNS = sorted(SCHEMAS)
DEPTH = Limits().json_depth


def plain_nouns(name):
    """Nouns as the plain JSON values that arrive."""
    return asap.nouns(SCHEMAS[name]).map(lambda noun: load(dump(encode(noun)), depth=DEPTH))


def check_explained(error):
    """An error names its first fault's path, and no more faults than it may."""
    assert 0 < len(error.faults) <= FAULTS_MOST
    assert error.path == error.faults[0].path
    assert all(fault.path.startswith("$") and fault.type and fault.problem for fault in error.faults)


@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize("name", NOUNS)
@EACH
@given(data=st.data())
def test_whatever_is_refused_is_explained(name, lenient, data):
    """A near-miss is read, or refused with at least one fault and its path; never anything else."""
    value = data.draw(asap.disturbed(plain_nouns(name)))
    if error := error_of(decode, SCHEMAS[name], value, lenient=lenient):
        check_explained(error)


@pytest.mark.parametrize("name", NOUNS)
@EACH
@given(value=asap.json_values())
def test_any_json_value_is_read_or_explained(name, value):
    """So is any JSON value at all."""
    if error := error_of(decode, SCHEMAS[name], value):
        check_explained(error)


@given(asap.disturbed(plain_nouns("Envelope")))
def test_envelopes_are_explained_with_their_payload(value):
    """A fault in a payload is found through its envelope."""
    if error := error_of(decode_envelope, value):
        check_explained(error)


@pytest.mark.parametrize("name", NOUNS)
@EACH
@given(data=st.data())
def test_lenient_reading_only_passes_over_unknown_fields(name, data):
    """What is strictly read is leniently read; what is only leniently read has unknown fields and no other fault."""
    value = data.draw(asap.disturbed(plain_nouns(name)))
    strict = error_of(decode, SCHEMAS[name], value)
    lenient = error_of(decode, SCHEMAS[name], value, lenient=True)
    if strict is None:
        assert lenient is None
    elif lenient is None:
        assert {fault.type for fault in strict.faults} == {"extra_forbidden"}
