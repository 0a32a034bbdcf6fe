"""What a client gets back."""

import pytest

from asap_proto.errors import (
    Fault,
    HandlerFailed,
    InvalidRequest,
    MalformedJson,
    MalformedReply,
    MispairedReply,
    RateLimited,
    SenderMismatch,
    TaskNotFound,
    Unauthenticated,
)
from asap_proto.wire.nouns import encode
from asap_proto.wire.replies import ReplyFault, read_answer, read_error
from asap_testkit import ME, PEER, letter


def answer(**changes):
    envelope = encode(letter(at=None, sender=PEER, recipient=ME, correlation_id="letter-1"))
    envelope["payload"] = (
        encode(envelope["payload"]) if not isinstance(envelope["payload"], dict) else envelope["payload"]
    )
    return {"jsonrpc": "2.0", "result": {"envelope": envelope}, "id": "req-1"} | changes


@pytest.mark.proves("reply.shape")
def test_a_result_is_read():
    """Its envelope, with members unknown to us passed over."""
    reply = answer(extra=1)
    reply["result"]["more"] = 1
    reply["result"]["envelope"]["requires_ack"] = False
    reply["result"]["envelope"]["new"] = []
    assert read_answer(reply, id="req-1").sender == PEER


@pytest.mark.proves("reply.shape")
def test_jsonrpc_may_be_missing():
    """Old peers are read too."""
    reply = answer()
    del reply["jsonrpc"]
    assert read_answer(reply, id="req-1")


@pytest.mark.proves("reply.shape")
@pytest.mark.parametrize(
    ("reply", "path", "told"),
    [
        ([], "$", "object"),
        (None, "$", "object"),
        (answer(jsonrpc="1.0"), "$.jsonrpc", "JSON-RPC 2.0"),
        (answer(result=None), "$.result", "result"),
        (answer(result={}), "$.result", "result"),
        (answer(result=[]), "$.result", "result"),
        (answer(result={"envelope": None}), "$.result.envelope", "object"),
        (answer(result={"envelope": {}}), "$.result.envelope.asap_version", "asap_version is required"),
    ],
)
def test_what_is_no_answer(reply, path, told):
    """It is the peer's mistake, told with the path."""
    with pytest.raises(MalformedReply) as caught:
        read_answer(reply, id="req-1")
    assert caught.value.path == path
    assert told in caught.value.message


@pytest.mark.proves("reply.shape")
def test_what_is_no_object_is_told_as_what_it_is():
    """By the type of the fault, and in words."""
    with pytest.raises(MalformedReply) as caught:
        read_answer([], id="req-1")
    assert caught.value.faults == (Fault("$", "dict_type", "is an array; expected an object"),)
    error = read_error([])
    assert error.faults == (Fault("$.error", "dict_type", "is an array; expected an object"),)
    assert error.message == "an error is an object"


def test_a_payload_that_does_not_fit_is_a_malformed_reply():
    """The path leads through the envelope."""
    reply = answer()
    reply["result"]["envelope"]["payload"] = {}
    with pytest.raises(MalformedReply) as caught:
        read_answer(reply, id="req-1")
    assert caught.value.path == "$.result.envelope.payload.conversation_id"


@pytest.mark.proves("reply.id")
@pytest.mark.parametrize("id", ["req-2", 1, None, True, [], ""])
def test_an_answer_to_another_request(id):
    """Its id is ours, type included, or the answer is not believed."""
    with pytest.raises(MispairedReply, match="another request") as caught:
        read_answer(answer(id=id), id="req-1")
    assert caught.value.path == "$.id"
    reply = answer()
    del reply["id"]
    with pytest.raises(MispairedReply):
        read_answer(reply, id="req-1")
    with pytest.raises(MispairedReply):
        read_answer(answer(id=True), id=1)


@pytest.mark.proves("reply.error-wins")
@pytest.mark.parametrize("error", [None, [], "x", 5])
def test_the_mere_presence_of_an_error_is_one(error):
    """Every reference client treats it so; one that is no object is malformed."""
    with pytest.raises(MalformedReply):
        read_answer(answer(error=error), id="req-1")


@pytest.mark.proves("reply.error-code")
@pytest.mark.parametrize(("number", "data", "kind"), [
    (-32010, {"code": "asap:task/not_found"}, TaskNotFound),
    (-32602, {"code": "asap:new/thing"}, ReplyFault), (-32602, {"code": []}, ReplyFault), (-32602, None, ReplyFault),
    (-32602, [], ReplyFault), (-32600, {}, InvalidRequest), (-32700, {}, MalformedJson), (429, {}, RateLimited),
    (-32600, {"status_code": 401}, Unauthenticated), (-32602, {"status_code": 403}, SenderMismatch),
    (-32600, {"status_code": [401]}, InvalidRequest), (-32602, {"status_code": 500}, ReplyFault), ("x", {}, ReplyFault),
    (-32603, {"code": "asap:execution/handler_failed"}, HandlerFailed),
])  # fmt: skip
def test_errors_are_told_by_their_code_first(number, data, kind):
    """Numbers changed in 2.2, codes did not; old peers send numbers alone."""
    error = read_error({"code": number, "message": "m", "data": data})
    assert type(error) is kind
    assert error.facts["rpc_code"] == (number if isinstance(number, int) else -32603)
    assert error.facts["data"] == (data if isinstance(data, dict) else {})


@pytest.mark.proves("reply.error-code")
@pytest.mark.parametrize(
    "code",
    [
        "asap:local/misuse",
        "asap:local/invalid_value",
        "asap:transport/circuit_open",
        "asap:protocol/malformed_reply",
        "asap:protocol/mispaired_reply",
    ],
)
def test_a_peer_does_not_speak_for_us(code):
    """Codes for what we do while reading are not believed of a peer."""
    assert type(read_error({"code": -32000, "message": "m", "data": {"code": code}})) is ReplyFault


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        ({}, None),
        ({"retry_after": 3}, 3.0),
        ({"retry_after_ms": 1500}, 1.5),
        ({"retry_after": 2, "retry_after_ms": 9}, 2.0),
        ({"retry_after": 0}, 0.0),
        ({"retry_after": -1}, None),
        ({"retry_after": "3"}, None),
        ({"retry_after": True}, None),
    ],
)
def test_a_peer_may_say_when_to_come_back(data, seconds):
    """In seconds or milliseconds; nonsense is passed over."""
    assert read_error({"code": 429, "message": "m", "data": data}).retry_after == seconds


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ({}, "the peer answered -32603: "),
        ({"code": 1, "message": "m"}, "the peer answered 1: m"),
        ({"code": 1, "message": "m", "data": {"error": "why"}}, "the peer answered 1: m: why"),
        ({"code": True, "message": 5}, "the peer answered -32603: "),
    ],
)
def test_the_message_is_the_peers(error, message):
    """With the detail, where it gives one."""
    assert read_error(error).message == message


@pytest.mark.proves("error.bounded")
def test_a_long_message_is_cut():
    """A hostile peer can't fill our log."""
    assert len(read_error({"code": 1, "message": "m" * 100_000}).message) == 500
