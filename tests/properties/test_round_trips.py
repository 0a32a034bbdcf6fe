"""Whatever noun there is, what was written is read back the same."""

from itertools import pairwise

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.errors import MalformedReply
from asap_proto.limits import Limits
from asap_proto.model import TaskRequest, TaskStatus
from asap_proto.rules.identity import Identity
from asap_proto.stores import NEVER, Job, Slot, TaskEvent, TaskRecord
from asap_proto.stores.codec import (
    dump_event,
    dump_job,
    dump_snapshot,
    dump_state,
    load_event,
    load_job,
    load_record,
    load_snapshot,
)
from asap_proto.wire.converter import converter
from asap_proto.wire.json import dump, load
from asap_proto.wire.manifests import dump_manifest, load_manifest
from asap_proto.wire.nouns import decode, decode_envelope, encode
from asap_proto.wire.schema import SCHEMAS
from asap_proto.wire.sse import ALIVE, Event, EventReader, write_event
from asap_testkit.effort import EACH

NOUNS = sorted(SCHEMAS)
DEPTH = Limits().json_depth

TIMES = st.floats(0, 2.0**33)
COUNTS = st.integers(0, 2**53)
#: As clocks tell them: a float of Unix seconds has room for microseconds in these centuries.
STAMPS = asap.stamps().filter(lambda stamp: 1970 < stamp.year < 2100)


def test_each_noun_has_a_strategy():
    """A noun that is published has a strategy, so that the properties hold for it too."""
    assert set(asap.NOUNS) == set(SCHEMAS.values())


@pytest.mark.parametrize("name", [name for name in NOUNS if name != "Envelope"])
@EACH
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
@EACH
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


@st.composite
def jobs(draw):
    """What an agent was asked, as it came or as the task request that it stands for."""
    envelope = draw(asap.envelopes())
    payload = envelope.payload if draw(st.booleans()) else draw(asap.nouns(TaskRequest))
    caller = st.builds(Identity, asap.urns(), st.frozensets(asap.texts(), max_size=3))
    slot = st.builds(Slot, asap.texts(), asap.texts(), st.binary(max_size=16))
    return Job(
        payload,
        envelope,
        draw(asap.texts()),
        draw(st.integers(0, 10)),
        draw(st.none() | caller),
        draw(asap.texts()),
        draw(st.none() | slot),
        draw(TIMES),
        draw(COUNTS),
    )


@st.composite
def records(draw):
    """A task as it may stand, anywhere on its way."""
    maybe = st.none() | asap.json_objects()
    job = draw(jobs())
    return TaskRecord(
        draw(st.sampled_from([job, evolve(job, slot=None)])),
        draw(st.sampled_from(TaskStatus)),
        draw(asap.texts()),
        draw(TIMES | st.just(NEVER)),
        draw(TIMES),
        draw(COUNTS),
        draw(TIMES | st.just(NEVER)),
        draw(COUNTS),
        draw(COUNTS),
        draw(COUNTS),
        draw(maybe),
        draw(maybe),
        draw(st.lists(asap.json_objects(), max_size=3).map(tuple)),
        draw(st.none() | asap.texts()),
        draw(st.none() | COUNTS),
        draw(st.none() | st.binary(max_size=20)),
    )


@given(jobs())
def test_jobs_come_back_from_a_store(job):
    """Whatever an agent was asked, it knows it after a restart."""
    assert load_job(dump_job(job)) == job


@given(records())
def test_records_come_back_from_a_store(record):
    """However far a task has come, it goes on from there."""
    columns = ("owner", "lease", "updated", "version", "expires", "reply")
    values = {name: getattr(record, name) for name in columns}
    again = load_record(dump_job(record.job), dump_state(record), status=record.status.value, **values)
    assert again == record
    assert (dump_job(again.job), dump_state(again)) == (dump_job(record.job), dump_state(record))


@given(st.builds(TaskEvent, COUNTS, TIMES, asap.texts(), st.sampled_from(TaskStatus), st.none() | asap.json_objects()))
def test_events_come_back_from_a_store(event):
    """What was logged is told."""
    assert load_event(dump_event(event)) == event


@given(asap.nouns(SCHEMAS["StateSnapshot"]), STAMPS)
def test_snapshots_come_back_from_a_store(snapshot, made):
    """What was saved is loaded, and was made when it was made."""
    snapshot = evolve(snapshot, created_at=made)
    assert load_snapshot(snapshot.task_id, dump_snapshot(snapshot)) == snapshot


@given(st.lists(st.none() | st.tuples(asap.json_objects(), COUNTS)), st.data())
def test_events_come_back_from_a_stream(said, data):
    """Wherever the network cuts it: the same events, in the order in which they were told; signs of life are none."""
    events = [Event(dump(one[0]), str(one[1])) for one in said if one is not None]
    text = b"".join(ALIVE if one is None else write_event(dump(one[0]), str(one[1])) for one in said)
    cuts = sorted({0, len(text), *data.draw(st.lists(st.integers(0, len(text)), max_size=5))})
    reader = EventReader(max((len(event.data) for event in events), default=0) + len(str(2**53)))
    assert [event for start, end in pairwise(cuts) for event in reader.feed(text[start:end])] == events


#: What means something in a stream, and what does not.
BITS = st.sampled_from(
    [
        b"data:x\r\n",
        b"data:y\r",
        b"data",
        b"id",
        b"event",
        b":",
        b" ",
        b"\r",
        b"\n",
        b"\r\n",
        b"x",
        b"xyz",
        b"\0",
        b"\xef\xbb\xbf",
    ]
)


@given(st.lists(BITS, max_size=40).map(b"".join), st.data())
def test_whatever_comes_in_a_stream_is_read_alike(text, data):
    """However it is cut: what a network does can't change what a peer has said, nor what is too long."""
    cut = data.draw(st.integers(0, len(text)))
    whole = feeds(text)
    assert feeds(text[:cut], text[cut:]) == whole
    assert feeds(*(text[index : index + 1] for index in range(len(text)))) == whole


def feeds(*pieces):
    """The events in all, or that one was too long."""
    reader = EventReader(10)
    try:
        return [event for piece in pieces for event in reader.feed(piece)]
    except MalformedReply:
        return "too long"
