"""What carries an envelope, whatever it carries and however it is cut: frames, batches, bodies, codings, digests."""

import gzip
import hashlib
import json
from itertools import pairwise

import brotli
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from asap_adapters._shared.deflate import CODINGS, deflate
from asap_adapters._shared.inflate import ENCODINGS, inflater
from asap_adapters.testing import strategies as asap
from asap_proto.errors import (
    BadEncoding,
    BatchTooLarge,
    BodyInPieces,
    BodyTooLarge,
    InvalidRequest,
    MalformedJson,
    MispairedReply,
    Unauthenticated,
)
from asap_proto.limits import BODY_PIECES, GZIP_MEMBERS, PIECE_BYTES, Limits
from asap_proto.model import PAYLOADS
from asap_proto.roles import ClientRole, Transmit
from asap_proto.wire import jsonrpc
from asap_proto.wire.body import BodyGauge
from asap_proto.wire.digests import BodyDigest
from asap_proto.wire.json import dump, load, refuse_any_duplicate, weight
from asap_proto.wire.nouns import decode, decode_envelope, encode
from asap_proto.wire.replies import read_answer, read_error
from asap_proto.wire.schema import SCHEMAS
from asap_proto.wire.sse import EventReader, write_event
from asap_testkit import ME, error_of, fixed_sources, letter, link, request_frame
from asap_testkit.effort import EACH

DEPTH = Limits().json_depth


@st.composite
def cut(draw, bodies):
    """A body, and the pieces that it comes in."""
    body = draw(bodies)
    places = sorted(draw(st.lists(st.integers(0, len(body)), max_size=6)))
    return body, [body[start:end] for start, end in pairwise([0, *places, len(body)])]


# -- JSON ------------------------------------------------------------------------------------------------------------


@given(asap.plain(st.sampled_from(sorted(SCHEMAS)).flatmap(lambda name: asap.nouns(SCHEMAS[name]))))
def test_what_is_written_is_written_the_same_again(value):
    """One noun has one text: what was read of it and is written anew is that text, byte by byte."""
    text = dump(value)
    assert dump(load(text, depth=DEPTH)) == text


@pytest.mark.parametrize("name", sorted(set(SCHEMAS) - {"Envelope"}))
@EACH
@given(data=st.data())
def test_encode_after_decode_is_the_canonical_form(name, data):
    """Whatever order the keys came in, and whichever defaults were left out: it is written one way."""
    value = data.draw(asap.plain(asap.nouns(SCHEMAS[name])))
    names = data.draw(st.permutations(sorted(value)))
    shuffled = {key: value[key] for key in names if value[key] is not None}
    assert dump(encode(decode(SCHEMAS[name], shuffled))) == dump(value)


@given(asap.json_values(), st.integers(1, 8))
def test_depth_is_counted_to_the_level(value, depth):
    """A text of exactly so many levels is read, one more is not."""
    levels = _levels(value)
    assert (error_of(load, dump(value), depth=depth) is None) is (levels <= depth)


def _levels(value):
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_levels, inner), default=0)


@given(asap.json_values(leaves=30), st.sampled_from([",", '"', "\\", "[{,"]))
def test_values_are_counted_before_they_are_made(value, noise):
    """Each value of a text as one, an empty array or object as two at most; marks inside strings are none."""
    text = dump([value, noise, {noise: noise}])
    count, empty = _count([value, noise, {noise: noise}])
    assert error_of(load, text, depth=DEPTH, values=count + empty) is None
    assert isinstance(error_of(load, text, depth=DEPTH, values=count - 1), MalformedJson)


def _count(value):
    inner = list(value.values() if isinstance(value, dict) else value if isinstance(value, list) else ())
    found = [_count(each) for each in inner]
    is_empty = isinstance(value, dict | list) and not inner
    return 1 + sum(count for count, _ in found), is_empty + sum(empty for _, empty in found)


@given(asap.json_objects(), asap.texts(most=8), asap.json_values())
def test_a_signed_text_has_each_key_once(document, key, value):
    """At whatever depth it stands: of two, a signature would be of one, and a reader might take the other."""
    refuse_any_duplicate(dump([document]))
    member = dump({key: value})[1:-1]
    text = b'[%b,{"in":{%b,%b}}]' % (dump(document), member, member)
    assert isinstance(error_of(refuse_any_duplicate, text), MalformedJson)


@given(asap.json_values(leaves=20))
def test_a_text_weighs_no_less_than_it_is_long(value):
    """And more with each value, so that what is small on the wire is not large in memory."""
    text = dump(value)
    assert weight(text) >= len(text)
    assert weight(dump([value, value])) > weight(text)


# -- JSON-RPC --------------------------------------------------------------------------------------------------------


@given(asap.rpc_ids())
@example(2**64 - 1)
@example(-(2**63))
@example("x" * 4096)
def test_an_answer_carries_the_id_of_its_request(id):
    """Of the same type, to the last digit."""
    answer = json.loads(link().post(request_frame(id=id)).body)
    assert answer["id"] == id
    assert type(answer["id"]) is type(id)


@given(asap.json_values())
@example(True)
@example(1.0)
@example(None)
def test_an_id_that_can_not_be_answered_to_is_null(value):
    """Neither a number with a fraction nor true stands for an id; the request is refused then."""
    is_id = type(value) is int or type(value) is str
    assert jsonrpc.rpc_id({"id": value}) == (value if is_id else None)
    if not is_id:
        assert isinstance(error_of(jsonrpc.check_call, request_frame(id=value)), InvalidRequest)


@given(st.lists(st.sampled_from(["call", "notification", "wrong"]), min_size=1, max_size=6))
def test_a_batch_is_answered_item_by_item(kinds):
    """In its order; what wants no answer gets none, and a batch of nothing else is answered with nothing."""
    frames = {
        "call": lambda number: request_frame(id=number),
        "notification": lambda number: {k: v for k, v in request_frame().items() if k != "id"},
        "wrong": lambda number: 5,
    }
    response = link().post([frames[kind](number) for number, kind in enumerate(kinds)])
    expected = [(number if kind == "call" else None) for number, kind in enumerate(kinds) if kind != "notification"]
    assert response.status == (200 if expected else 204)
    answers = json.loads(response.body) if response.body else []
    assert [answer["id"] for answer in answers] == expected
    assert ["result" in answer for answer in answers] == [id is not None for id in expected]


@given(st.lists(st.tuples(st.sampled_from(["asks", "tells", "unknown skill"]), asap.rpc_ids()), min_size=1, max_size=6))
def test_each_item_of_a_batch_gets_its_own_answer(items):
    """Told by its place, also where ids are alike: what was asked there comes back there, or why it does not."""
    frames, expected = [], []
    for number, (kind, id) in enumerate(items):
        payload = {"conversation_id": "c", "skill_id": kind if " " in kind else "echo", "input": {"number": number}}
        frame = request_frame(id=id, payload=payload)
        if kind == "tells":
            del frame["id"]
        else:
            expected.append((id, number if kind == "asks" else "asap:capability/skill_not_found"))
        frames.append(frame)
    response = link().post(frames)
    told = []
    for answer in json.loads(response.body) if response.body else []:
        if "result" in answer:
            told.append((answer["id"], answer["result"]["envelope"]["payload"]["result"]["echoed"]["number"]))
        else:
            told.append((answer["id"], answer["error"]["data"]["code"]))
    assert told == expected


@given(st.integers(0, 12), st.integers(1, 10))
def test_a_batch_has_at_least_one_item_and_at_most_so_many(count, most):
    """What is too long is refused before any of it is looked at."""
    error = error_of(jsonrpc.check_batch, [None] * count, most=most)
    assert type(error) is (InvalidRequest if not count else BatchTooLarge if count > most else type(None))


@given(asap.envelopes(), asap.rpc_ids(), st.none() | asap.ids(least=1, most=256))
def test_a_request_is_read_as_it_was_written(envelope, id, key):
    """Its envelope, and the key that names a retry."""
    frame = load(dump(jsonrpc.request(encode(envelope), id=id, idempotency_key=key)), depth=DEPTH)
    found, found_key = jsonrpc.check_call(frame)
    assert (decode_envelope(found), found_key) == (envelope, key)


@given(asap.envelopes(), asap.rpc_ids())
def test_an_answer_is_read_as_it_was_written(envelope, id):
    """By a client that asked with this id."""
    answer = load(jsonrpc.answer(jsonrpc.success(encode(envelope)), id), depth=DEPTH)
    assert read_answer(answer, id=id) == envelope


@given(asap.rpc_answers(), asap.rpc_ids() | st.sampled_from([0, 1, "0", "1"]))
def test_an_answer_to_another_id_is_no_answer(answer, id):
    """Nor one whose id only looks alike: 1 is not true, and not "1"."""
    for other in (id, str(id), [id]):
        error = error_of(read_answer, {**answer, "id": other}, id=id)
        assert (error is None) is (other == id and type(other) is type(id))
        assert error is None or isinstance(error, MispairedReply)
    assert isinstance(error_of(read_answer, {**answer, "id": True}, id=1), MispairedReply)


@given(asap.errors())
def test_an_error_that_was_kept_is_told_again(error):
    """With its code and its path: a retry hears what the first try did."""
    again = jsonrpc.failed(jsonrpc.failure(error))
    assert (type(again), again.message, again.path) == (type(error), error.message, error.path)
    assert jsonrpc.failed(jsonrpc.success(encode(letter()))) is None


@given(asap.errors())
def test_an_error_crosses_the_wire_as_the_same_row(error):
    """But for what a peer can't say of us: that our own call was wrong, or that we could not read its answer."""
    found = read_error(load(jsonrpc.failure(error).removeprefix(b'"error":'), depth=DEPTH))
    is_ours = error.code.startswith("asap:local/") or error.code in (
        "asap:transport/circuit_open", "asap:protocol/malformed_reply", "asap:protocol/mispaired_reply",
    )  # fmt: skip
    assert (found.code == error.code) is not is_ours
    assert found.facts["rpc_code"] == error.kind.rpc_code


@given(asap.envelopes(payload=asap.payloads()))
def test_a_client_sends_what_a_server_reads(envelope):
    """Whatever the payload: the very envelope, and only its nonce added."""
    command = next(ClientRole(ME, fixed_sources()).send(envelope))
    assert isinstance(command, Transmit)
    found, _ = jsonrpc.check_call(load(command.request.body, depth=DEPTH))
    sent = decode_envelope(found)
    assert (sent.payload, sent.sender, sent.recipient) == (envelope.payload, envelope.sender, envelope.recipient)
    assert type(sent.payload) in PAYLOADS.values()
    assert {**(envelope.extensions or {}), **(sent.extensions or {})} == (sent.extensions or {})


# -- bodies ----------------------------------------------------------------------------------------------------------


@given(cut(st.binary(max_size=60)), st.integers(0, 60))
def test_a_gauge_refuses_the_first_byte_too_many(drawn, most):
    """However the body is cut: all that fits has passed, and the room left is what is left."""
    body, pieces = drawn
    gauge, passed = BodyGauge(most), 0
    for piece in pieces:
        error = error_of(gauge.feed, piece)
        assert (error is None) is (passed + len(piece) <= most)
        if error is not None:
            assert isinstance(error, BodyTooLarge)
            assert error.facts["limit_bytes"] == most
            return
        passed += len(piece)
        assert gauge.room == most - passed
    assert len(body) <= most


@given(st.integers(0, 10**25) | st.text(max_size=6), st.integers(0, 10**6))
def test_a_length_that_is_announced_is_believed_if_it_is_a_number(said, most):
    """So that what is too large is never read; anything else is found out as it comes."""
    error = error_of(BodyGauge(most).announce, str(said))
    is_number = bool(str(said)) and set(str(said)) <= set("0123456789")
    assert (error is not None) is (is_number and int(str(said)) > most)


@given(st.integers(BODY_PIECES - 2, BODY_PIECES + 40), st.integers(0, PIECE_BYTES * 50))
def test_a_body_comes_in_so_many_pieces_as_its_size_allows(pieces, first):
    """A thousand for anybody, and one more for each 64 bytes."""
    gauge, refused = BodyGauge(10**6), None
    for number in range(1, pieces + 1):
        refused = error_of(gauge.take, b"x" * first if number == 1 else b"")
        if refused is not None:
            break
    allowed = BODY_PIECES + first // PIECE_BYTES
    assert (refused is None) is (pieces <= allowed)
    assert refused is None or (isinstance(refused, BodyInPieces) and number == allowed + 1)


@pytest.mark.parametrize("coding", CODINGS)
@EACH
@given(drawn=st.data(), body=st.binary(min_size=1, max_size=3000) | st.integers(1, 9000).map(lambda n: b"a" * n))
def test_what_is_inflated_is_gauged_to_the_byte(coding, drawn, body):
    """A limit of its very size passes it, one less refuses it, in whatever pieces it comes."""
    packed = deflate(body, coding)
    _, pieces = drawn.draw(cut(st.just(packed)))
    assert inflated(coding, pieces, len(body)) == body
    assert isinstance(error_of(inflated, coding, pieces, len(body) - 1), BodyTooLarge)


def inflated(coding, pieces, most):
    """What comes out of an inflater that is fed so."""
    inflating = inflater(coding, BodyGauge(most))
    out = b"".join([inflating.feed(piece) for piece in pieces])
    inflating.finish()
    return out


@pytest.mark.parametrize("coding", [*CODINGS, "identity"])
@EACH
@given(data=st.data())
def test_how_bytes_are_cut_changes_nothing_of_what_is_inflated(coding, data):
    """Whole, broken or noise: the same bytes out, or the same kind of refusal."""
    packed = deflate(data.draw(st.binary(max_size=200)), coding) if coding in CODINGS else data.draw(st.binary())
    damage = data.draw(st.integers(0, len(packed)))
    noise = data.draw(
        st.sampled_from([packed, packed[:damage], packed + b"x", packed[:damage] + b"\xff" + packed[damage:]])
    )
    _, pieces = data.draw(cut(st.just(noise)))
    assert outcome(coding, pieces) == outcome(coding, [noise])


def outcome(coding, pieces):
    try:
        return inflated(coding, pieces, 10_000)
    except (BadEncoding, BodyTooLarge) as error:
        return type(error)


@pytest.mark.parametrize("coding", ENCODINGS)
@EACH
@given(body=st.binary(min_size=1, max_size=200), data=st.data())
def test_a_body_that_ends_too_early_is_refused(coding, body, data):
    """Wherever it was cut off, but before its first byte: then it is empty."""
    packed = deflate(body, coding)
    part = packed[: data.draw(st.integers(1, len(packed) - 1))]
    assert outcome(coding, [part]) is BadEncoding


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5), st.integers(0, 8))
def test_a_gzip_body_is_all_its_members(parts, zeros):
    """One after another, then perhaps zeros (RFC 1952)."""
    packed = b"".join(map(gzip.compress, parts)) + bytes(zeros)
    assert inflated("gzip", [packed], 10_000) == b"".join(parts)


@given(st.integers(GZIP_MEMBERS - 1, GZIP_MEMBERS + 2))
def test_a_gzip_body_has_so_many_members_and_no_more(count):
    """Many tiny ones would cost more than their size."""
    packed = gzip.compress(b"") * count
    assert (outcome("gzip", [packed]) == b"") is (count <= GZIP_MEMBERS)


@given(st.binary(max_size=500))
def test_a_brotli_body_of_another_compressor_is_read(body):
    """At whatever quality it was made."""
    for quality in (0, 11):
        assert inflated("br", [brotli.compress(body, quality=quality)], 500) == body


@given(cut(st.binary(max_size=100)), st.binary(max_size=100), st.sampled_from(["sha-256", "sha-512"]))
def test_a_digest_is_of_the_whole_body_however_it_comes(drawn, other, name):
    """And of no other body."""
    body, pieces = drawn
    assume(other != body)
    signed = {name: hashlib.new(name.replace("-", ""), body).digest()}
    digest = BodyDigest(signed)
    assert b"".join([digest.feed(piece) for piece in pieces]) == body
    digest.finish()
    changed = BodyDigest(signed)
    changed.feed(other)
    assert isinstance(error_of(changed.finish), Unauthenticated)


@given(st.binary(max_size=30), st.booleans())
def test_two_digests_have_both_to_fit(body, first_is_wrong):
    """One that fits does not make up for one that does not."""
    sums = {name: hashlib.new(name.replace("-", ""), body).digest() for name in ("sha-256", "sha-512")}
    wrong = "sha-256" if first_is_wrong else "sha-512"
    digest = BodyDigest(sums | {wrong: bytes(len(sums[wrong]))})
    digest.feed(body)
    assert isinstance(error_of(digest.finish), Unauthenticated)


@given(st.lists(asap.json_objects(deepest=3), min_size=1, max_size=4), st.integers(0, 99))
def test_a_stream_tells_its_reader_which_event_it_heard_last(said, start):
    """So that a follower that lost its connection goes on behind it."""
    text = b"".join(write_event(dump(one), str(start + number)) for number, one in enumerate(said))
    for end in range(0, len(text) + 1, max(1, len(text) // 7)):
        heard = EventReader(len(text)).feed(text[:end])
        assert [load(event.data, depth=DEPTH) for event in heard] == said[: len(heard)]
        assert [event.id for event in heard] == [str(start + number) for number in range(len(heard))]
