"""The short ways of the hot path lead where the long ones do."""

import orjson
import pytest

from asap_proto.errors import MalformedEnvelope, MalformedPayload
from asap_proto.limits import ID_LENGTH
from asap_proto.model import Envelope, TaskCancel, TaskRequest, TaskResponse, TaskStatus
from asap_proto.wire.json import keys, load
from asap_proto.wire.nouns import decode_envelope, encode, encode_reply, encode_result
from asap_proto.wire.stamps import read_stamp

AT = read_stamp("2026-01-02T03:04:05.000006Z")


def request(**changes):
    fields = {
        "id": "e-1", "timestamp": AT, "sender": "urn:asap:agent:a", "recipient": "urn:asap:agent:b",
        "payload_type": "TaskRequest", "payload": TaskRequest("c", "s", {}), "trace_id": "t",
    }  # fmt: skip
    return Envelope(**(fields | changes))


@pytest.mark.parametrize("payload", [TaskResponse("t", TaskStatus.COMPLETED, {"a": 1}), TaskCancel("t")])
@pytest.mark.parametrize("id", ["e-1", None])
def test_a_reply_is_what_its_envelope_would_encode_to(payload, id):
    """No noun is made for it, and nobody can tell."""
    asked = request(id=id)
    noun = Envelope(
        id="new",
        timestamp=AT,
        sender="urn:asap:agent:b",
        recipient="urn:asap:agent:a",
        payload_type=type(payload).__name__,
        payload=payload,
        correlation_id=id or "new",
        trace_id="t",
    )
    assert encode_reply(asked, type(payload), encode(payload), id="new", at=AT, sender="urn:asap:agent:b") == encode(
        noun
    )


def test_a_result_is_what_its_response_would_encode_to():
    """The same, of a completed task."""
    assert encode_result("t", {"a": 1}) == encode(TaskResponse("t", TaskStatus.COMPLETED, {"a": 1}))


@pytest.mark.parametrize("lenient", [False, True])
def test_an_envelope_of_a_short_text_is_read_alike(lenient):
    """Whether it is said how short the text is, or not."""
    text = orjson.dumps(encode(request()))
    value = load(text, depth=9)
    assert (
        decode_envelope(value, size=len(text), lenient=lenient) == decode_envelope(value, lenient=lenient) == request()
    )


def test_a_short_text_is_refused_for_all_but_long_ids():
    """Classes, URNs and unknown fields are looked at as ever."""
    value = orjson.loads(orjson.dumps(encode(request())))
    for field, wrong in (("id", 1), ("sender", "urn:asap:agent:A"), ("trace_id", []), ("zz", 1), ("timestamp", "now")):
        with pytest.raises(MalformedEnvelope):
            decode_envelope({**value, field: wrong}, size=100)
    with pytest.raises(MalformedPayload):
        decode_envelope({**value, "payload": {**value["payload"], "skill_id": None}}, size=100)


def test_ids_are_measured_as_soon_as_the_text_has_room_for_a_long_one():
    """A text of one byte more than the limit."""
    value = {**orjson.loads(orjson.dumps(encode(request()))), "trace_id": "x" * (ID_LENGTH + 1)}
    with pytest.raises(MalformedEnvelope) as caught:
        decode_envelope(value, size=ID_LENGTH + 1)
    assert caught.value.path == "$.trace_id"


def test_keys_are_the_texts_that_documents_come_with():
    """Whatever orjson makes of them, they are found."""
    assert keys("id", "sender") == ("id", "sender")
