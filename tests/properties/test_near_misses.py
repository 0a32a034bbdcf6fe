"""What is one step from valid is refused, with the code, the path and the kind of fault that were to be expected."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_adapters.testing.misses import near_miss_requests, near_misses
from asap_proto.errors import AsapError, MalformedJson
from asap_proto.limits import Limits
from asap_proto.model import AuthScheme, Envelope, TaskRequest
from asap_proto.wire.faults import every_fault
from asap_proto.wire.json import load
from asap_proto.wire.nouns import decode, decode_envelope
from asap_testkit import CALLER, echo_manifest, link
from asap_testkit.effort import EACH

KINDS = sorted(asap.NOUNS, key=lambda kind: kind.__name__)
DEPTH = Limits().json_depth


def refusal(read, text):
    """The error that reading it raises."""
    with pytest.raises(AsapError) as caught:
        read(load(text, depth=DEPTH))
    return caught.value


def check_told(error, miss):
    """The error says what was done, and where."""
    told = (error.code, error.path, error.faults[0].type if error.faults else "")
    assert told == (miss.code, miss.path, miss.fault), miss.step


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@EACH
@given(data=st.data())
def test_one_step_from_a_noun_is_refused_where_it_was_taken(kind, data):
    """By the decoder of each noun; an envelope is read with its payload."""
    miss = data.draw(near_misses(kind))
    read = decode_envelope if kind is Envelope else lambda value: decode(kind, value)
    check_told(refusal(read, miss.text), miss)


@given(near_misses(Envelope))
def test_one_step_from_an_envelope_is_refused_where_it_was_taken(miss):
    """In the envelope itself, or in the payload that its type names."""
    check_told(refusal(decode_envelope, miss.text), miss)


@given(st.sampled_from(KINDS).flatmap(lambda kind: st.tuples(st.just(kind), near_misses(kind))))
def test_the_explainer_names_the_step_among_all_faults(drawn):
    """Whoever looks for every fault finds that one, and first."""
    kind, miss = drawn
    try:
        value = load(miss.text, depth=DEPTH)
    except MalformedJson:
        return
    faults = [(fault.path, fault.type) for fault in every_fault(kind, value)]
    if not miss.path.startswith("$.payload."):  # of an envelope's payload, that is explained by its own noun
        assert faults[0] == (miss.path, miss.fault)


@given(near_miss_requests())
def test_one_step_from_a_request_is_told_by_the_server(miss):
    """In what it answers, as a program reads it; nothing has run."""
    wire = link()
    data = json.loads(wire.post(miss.text).body)["error"]["data"]
    first = data.get("validation_errors", [{"type": "", "loc": data["path"]}])[0]
    assert (data["code"], data["path"], first["type"], first["loc"]) == (miss.code, miss.path, miss.fault, miss.path)
    assert not wire.ran


@given(near_miss_requests(envelope=asap.envelopes(sender=CALLER.urn), duplicates=True))
def test_one_step_from_a_request_is_told_to_whom_is_known(miss):
    """Who has shown credentials is told of keys that stand twice, too."""
    wire = link(manifest=echo_manifest(auth=AuthScheme(("bearer",))), callers={"bearer secret": CALLER})
    data = json.loads(wire.post(miss.text, authorization="Bearer secret").body)["error"]["data"]
    assert (data["code"], data["path"]) == (miss.code, miss.path), miss.step
    assert not wire.ran


@given(near_misses(TaskRequest, skill_id="count"))
def test_a_near_miss_is_narrowed_as_its_noun_is(miss):
    """What is given stands in it, unless that is what was changed."""
    assert b'"count"' in miss.text.replace(b"\0", b"") or "skill_id" in miss.path.lower()
