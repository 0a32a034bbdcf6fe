"""What is one step from valid is refused, with the code, the path and the kind of fault that were to be expected."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_adapters.testing.misses import every_near_miss, every_near_miss_request, near_miss_requests, near_misses
from asap_proto.errors import AsapError
from asap_proto.limits import Limits
from asap_proto.model import PAYLOADS, AuthScheme, Envelope, TaskRequest
from asap_proto.wire.faults import every_fault
from asap_proto.wire.json import dump, load
from asap_proto.wire.nouns import decode, decode_envelope, encode
from asap_testkit import CALLER, echo_manifest, letter, link, request_frame
from asap_testkit.effort import FEW

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


def decoded(kind):
    """How a noun of this kind is read; an envelope is read with its payload."""
    return decode_envelope if kind is Envelope else lambda value: decode(kind, value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@FEW
@given(data=st.data())
def test_each_step_from_a_noun_is_refused_where_it_was_taken(kind, data):
    """By the decoder of each noun, with the code, and with the path and the type of the first fault."""
    for miss in every_near_miss(kind, data.draw(asap.plain(asap.nouns(kind)))):
        check_told(refusal(decoded(kind), miss.text), miss)


@FEW
@given(st.sampled_from(sorted(PAYLOADS)).flatmap(lambda name: asap.plain(asap.envelopes(payload_type=name))))
def test_each_step_from_a_payload_is_refused_within_its_envelope(value):
    """As a payload's fault, at a path that begins with the envelope."""
    misses = [miss for miss in every_near_miss(Envelope, value) if miss.path.startswith("$.payload.")]
    assert misses
    for miss in misses:
        check_told(refusal(decode_envelope, miss.text), miss)


@FEW
@given(st.data(), st.sampled_from(KINDS))
def test_the_explainer_names_the_step_first_among_all_faults(data, kind):
    """Whoever looks for every fault, as the command line does, finds that one and its consequences."""
    for miss in every_near_miss(kind, data.draw(asap.plain(asap.nouns(kind)))):
        if miss.fault and not miss.path.startswith("$.payload."):
            faults = [(fault.path, fault.type) for fault in every_fault(kind, load(miss.text, depth=DEPTH))]
            assert faults[0] == (miss.path, miss.fault), miss.step


@given(near_misses(Envelope))
def test_one_step_from_an_envelope_is_refused_where_it_was_taken(miss):
    """One that is drawn is as good as all that there are."""
    check_told(refusal(decode_envelope, miss.text), miss)


@FEW
@given(asap.rpc_requests())
def test_each_step_from_a_request_is_told_by_the_server(frame):
    """In what it answers, as a program reads it; nothing has run."""
    wire = link()
    for miss in every_near_miss_request(frame):
        data = json.loads(wire.post(miss.text).body)["error"]["data"]
        first = data.get("validation_errors", [{"type": "", "loc": data["path"]}])[0]
        told = (data["code"], data["path"], first["type"], first["loc"])
        assert told == (miss.code, miss.path, miss.fault, miss.path), miss.step
    assert not wire.ran


@given(near_miss_requests(envelope=asap.envelopes(sender=CALLER.urn), duplicates=True))
def test_one_step_from_a_request_is_told_to_whom_is_known(miss):
    """Who has shown credentials is told of keys that stand twice, too."""
    wire = link(manifest=echo_manifest(auth=AuthScheme(("bearer",))), callers={"bearer secret": CALLER})
    data = json.loads(wire.post(miss.text, authorization="Bearer secret").body)["error"]["data"]
    assert (data["code"], data["path"]) == (miss.code, miss.path), miss.step
    assert not wire.ran


def test_each_kind_of_step_is_taken():
    """None of what a careless reader would let pass is left out."""
    steps = {miss.step for miss in every_near_miss_request(request_frame(**whole_envelope()), duplicates=True)}
    assert steps == {
        "UTF-16", "a bracket too many", "a byte-order mark", "a comma too many", "a key is missing",
        "a key is misspelt", "a key stands twice", "a key that is no text, or too long", "a key that is none",
        "a member is missing",
        "a member that is none", "a method that is no text", "a newline behind a URN", "a text that is no time",
        "a URN in other digits", "a URN in upper case", "a URN of something else", "a URN that is too long by one",
        "a URN with an empty part", "a URN with three parts", "a URN without a name", "a value that is no JSON",
        "a boolean in place of what it should be", "a number in place of what it should be",
        "a string in place of what it should be", "an array in place of what it should be",
        "an integer in place of what it should be", "an object in place of what it should be",
        "null in place of what it should be", "an envelope that is no object", "an id that can't be answered to",
        "an id that is too long by one", "another method", "another version of JSON-RPC", "nested too deep by one",
        "no envelope", "params that are no object", "the end is missing", "two documents",
    }  # fmt: skip


def whole_envelope():
    """The fields of an envelope, none left out."""
    return {"envelope": load(dump(encode(letter())), depth=DEPTH)}


@given(near_misses(TaskRequest, skill_id="count"))
def test_a_near_miss_is_narrowed_as_its_noun_is(miss):
    """What is given stands in it, unless that is what was changed."""
    assert b'"count"' in miss.text.replace(b"\0", b"") or "skill_id" in miss.path.lower()
