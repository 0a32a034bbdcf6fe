"""What the strategies draw is what the strict decoder takes, all of it, up to its limits."""

import re
from enum import StrEnum
from ipaddress import ip_address

import attrs
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto import model
from asap_proto.errors import CATALOGUE, AsapError
from asap_proto.http import HttpRequest, HttpResponse, RequestHead
from asap_proto.limits import ID_LENGTH, KEY_LENGTH, URN_LENGTH, Limits
from asap_proto.model import PARTS, PAYLOADS, SPELLINGS, TaskRequest, agent_urn, is_ulid, payload_class, ulid_time
from asap_proto.model._value import Value
from asap_proto.wire.json import dump, load
from asap_proto.wire.jsonrpc import check_call, is_notification, rpc_id
from asap_proto.wire.nouns import decode, decode_envelope, decode_part, encode
from asap_proto.wire.replies import read_answer
from asap_proto.wire.stamps import read_stamp
from asap_testkit import error_of
from asap_testkit.effort import EACH

DEPTH = Limits().json_depth
KINDS = sorted(asap.NOUNS, key=lambda kind: kind.__name__)

#: Who draws what the model exports besides classes of nouns.
OTHERS = {
    "AgentUrn": asap.urns,
    "MessageRole": asap.message_roles,
    "Part": asap.parts,
    "Payload": asap.payloads,
    "TaskStatus": asap.task_statuses,
    "UpdateType": asap.update_types,
    "agent_urn": asap.urns,
    "is_ulid": asap.ulids,
    "make_ulid": asap.ulids,
    "ulid_time": asap.ulids,
}
#: What is neither a noun nor a value: tables, and look-ups in them.
TABLES = {"AUTH_SCHEMES", "PARTS", "PAYLOADS", "SPELLINGS", "payload_class", "payload_name"}


def levels(value):
    """How deep a JSON value is."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(levels, inner), default=0)


@pytest.mark.parametrize("name", sorted(set(model.__all__) - TABLES))
def test_each_noun_of_the_model_has_a_public_strategy(name):
    """A noun that is published can be drawn, by a function that is named after it and explains itself."""
    drawn = OTHERS.get(name) or asap.NOUNS[getattr(model, name)]
    assert drawn.__name__ in asap.__all__
    assert drawn.__doc__
    if name not in OTHERS:
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert drawn.__name__ in (words, f"{words}s", f"{words}es", f"{words[:-1]}ies")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@EACH
@given(data=st.data())
def test_a_strategy_draws_what_the_strict_decoder_takes(kind, data):
    """Of its own noun, and nothing that a peer would refuse."""
    noun = data.draw(asap.nouns(kind))
    assert noun.__class__ is kind
    assert decode(kind, load(dump(encode(noun)), depth=DEPTH)) is not None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@EACH
@given(data=st.data())
def test_a_strategy_is_narrowed_by_each_field(kind, data):
    """What is given stands in the noun: a value, or what a strategy draws."""
    field = data.draw(st.sampled_from(attrs.fields(kind)))
    value = getattr(data.draw(asap.nouns(kind)), field.name)
    if field.name in ("uri", "mime_type", "inline_data", "payload_type", "correlation_id", "payload"):
        return  # what else has to fit to these is drawn below
    for given_value in (value, st.just(value)):
        assert getattr(data.draw(asap.nouns(kind, **{field.name: given_value})), field.name) == value


@given(asap.task_requests(skill_id="count", input=st.fixed_dictionaries({"text": asap.texts()})))
def test_a_payload_is_narrowed_within_its_envelope(request):
    """So that an agent of one skill is asked for that."""
    assert request.skill_id == "count"
    assert isinstance(request.input["text"], str)


@given(st.data(), st.sampled_from(sorted(SPELLINGS)))
def test_an_envelope_whose_type_is_given_has_that_payload(data, name):
    """In whichever spelling; and a payload that is given has one of its names."""
    assert type(data.draw(asap.envelopes(payload_type=name)).payload) is SPELLINGS[name]
    drawn = data.draw(asap.envelopes(payload=asap.nouns(SPELLINGS[name])))
    assert payload_class(drawn.payload_type) is SPELLINGS[name]
    free = data.draw(asap.envelopes(payload=asap.json_objects()))
    assert payload_class(free.payload_type) is None


@given(st.data(), st.booleans())
def test_a_tool_result_fits_what_of_it_is_given(data, success):
    """A result makes it a success, an error a failure."""
    assert data.draw(asap.mcp_tool_results(success=success)).success is success
    assert data.draw(asap.mcp_tool_results(result=asap.json_objects())).success
    assert not data.draw(asap.mcp_tool_results(error=asap.texts())).success


@pytest.mark.parametrize("kind", [*KINDS, RequestHead, HttpRequest, HttpResponse], ids=lambda kind: kind.__name__)
def test_a_field_that_is_none_is_refused(kind):
    """Where it is asked for, and not where a test wonders why nothing was narrowed."""
    others = {RequestHead: asap.request_heads, HttpRequest: asap.http_requests, HttpResponse: asap.http_responses}
    with pytest.raises(TypeError, match=f"{kind.__name__} has no field 'colour'"):
        (others.get(kind) or asap.NOUNS[kind])(colour="red")


@given(asap.urns())
def test_urns_are_agent_urns(urn):
    """Of any length that may be."""
    assert agent_urn(urn) == urn


@given(asap.ulids())
def test_ulids_are_ulids(ulid):
    """And tell a time that Python has."""
    assert is_ulid(ulid)
    assert 1970 <= ulid_time(ulid).year <= 9999


@given(asap.stamp_texts())
def test_written_stamps_are_read(text):
    """To the microsecond, with whatever offset: RFC 3339 says what they mean."""
    at = read_stamp(text)
    assert at is not None
    assert at.isoformat()[:19] == text[:19].replace("t", "T")
    sign, hours, minutes = (text[-6], text[-5:-3], text[-2:]) if text[-1] != "Z" else ("+", "00", "00")
    assert at.utcoffset().total_seconds() == int(f"{sign}1") * (int(hours) * 3600 + int(minutes) * 60)
    digits = re.search(r"\.([0-9]+)", text)
    assert at.microsecond == (int(digits[1][:6].ljust(6, "0")) if digits else 0)


@given(asap.payloads(), asap.parts())
def test_payloads_and_parts_are_of_their_kinds(payload, part):
    """And a part is told by its tag."""
    assert type(payload) in PAYLOADS.values()
    assert type(part) in PARTS
    assert decode_part(load(dump(encode(part)), depth=DEPTH)) == part


@given(asap.task_statuses(), asap.message_roles(), asap.update_types())
def test_words_are_of_the_closed_sets(status, role, update):
    """And are written as they are."""
    for word in (status, role, update):
        assert isinstance(word, StrEnum)
        assert load(dump(word), depth=1) == word.value


@given(asap.rpc_requests(envelope=asap.envelopes(payload=asap.task_requests())) | asap.rpc_requests())
def test_requests_are_calls(frame):
    """As the server reads them: the frame, its envelope and its key."""
    envelope, key = check_call(load(dump(frame), depth=DEPTH))
    assert decode_envelope(envelope) is not None
    assert key == frame["params"].get("idempotency_key")
    assert rpc_id(frame) == frame["id"]
    assert levels([frame]) <= DEPTH


@given(asap.rpc_notifications())
def test_notifications_are_calls_without_an_id(frame):
    """Which is all that tells them from requests."""
    assert is_notification(frame)
    check_call(frame)


@given(asap.rpc_batches(most=5))
def test_batches_are_calls_with_ids_of_their_own(batch):
    """So that each answer finds its request."""
    assert 1 <= len(batch) <= 5
    for frame in batch:
        check_call(frame)
    asked = [frame["id"] for frame in batch if not is_notification(frame)]
    assert len(set(asked)) == len(asked)


@given(asap.rpc_answers(id="req"), asap.rpc_errors(id="req"))
def test_answers_are_read_by_a_client(answer, failure):
    """As an envelope, or as the error that it tells of."""
    assert read_answer(answer, id="req") is not None
    assert isinstance(error_of(read_answer, failure, id="req"), AsapError)


@given(asap.errors())
def test_errors_are_rows_of_the_catalogue(error):
    """With the path of their first fault."""
    assert CATALOGUE[error.code] is type(error)
    assert error.path == (error.faults[0].path if error.faults else "$")


@given(asap.request_heads(), asap.http_requests(), asap.http_responses())
def test_http_values_may_go_on_the_wire(head, request, response):
    """Names are tokens in lower case, values are visible characters and blanks between."""
    ip_address(head.peer)
    assert 200 <= response.status <= 599
    for message in (head, request, response):
        assert all(re.fullmatch(r"[!#$%&'*+.^_`|~0-9a-z-]+", name) for name in message.headers)
        assert all(value == value.strip() and value.isascii() for value in message.headers.values())
        assert not re.search(r"[\x00-\x1f\x7f]", "".join(message.headers.values()))


EDGES = {
    "an empty id": (asap.ids(), lambda text: not text),
    "the longest id": (asap.ids(), lambda text: len(text) == ID_LENGTH),
    "the longest id in bytes": (asap.ids(), lambda text: len(text.encode()) == 4 * ID_LENGTH),
    "the longest key": (asap.rpc_requests(), lambda f: len(f["params"].get("idempotency_key", "")) == KEY_LENGTH),
    "the longest urn": (asap.urns(), lambda urn: len(urn) == URN_LENGTH),
    "a character of four bytes": (asap.texts(), lambda text: len(text.encode()) > 3 * len(text)),
    "the largest integer": (asap.state_queries(), lambda query: query.version == 2**64 - 1),
    "the smallest integer": (asap.state_queries(), lambda query: query.version == -(2**63)),
    "the deepest task": (asap.tasks(), lambda task: task.depth == 10),
    "a data URI": (asap.file_parts(), lambda part: part.uri.startswith("data:")),
    "a free object that is as deep as there is room for": (
        asap.rpc_requests(envelope=asap.envelopes(payload=asap.task_requests())),
        lambda frame: levels([frame]) == DEPTH,
    ),
}


@pytest.mark.parametrize("edge", EDGES)
def test_edges_are_reached(edge):
    """What is at the limit is drawn by chance, and soon."""
    strategy, is_there = EDGES[edge]
    find(strategy, is_there, settings=settings(max_examples=1000, phases=[Phase.generate]))


@given(asap.plain(asap.task_requests()))
def test_a_plain_noun_is_what_arrives(value):
    """JSON values alone, every field among them."""
    assert value.keys() == attrs.fields_dict(TaskRequest).keys()
    assert load(dump(value), depth=DEPTH) == value
    assert not isinstance(value["input"], Value)
