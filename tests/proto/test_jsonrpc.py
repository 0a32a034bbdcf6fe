"""JSON-RPC 2.0 around an envelope."""

import json

import pytest

from asap_proto.errors import (
    BatchTooLarge,
    Fault,
    HandlerFailed,
    InvalidRequest,
    Kind,
    MalformedEnvelope,
    RateLimited,
    SenderMismatch,
    Unauthenticated,
    UnknownMethod,
    VersionMismatch,
)
from asap_proto.wire import jsonrpc
from asap_testkit import request_frame


def refused(error, frame):
    with pytest.raises(error) as caught:
        jsonrpc.check_call(frame)
    return caught.value


@pytest.mark.proves("rpc.request")
@pytest.mark.parametrize("change", [{}, {"id": 1}, {"id": ""}, {"id": -(2**63)}, {"id": 2**64 - 1}])
def test_a_request(change):
    """Method, params and an id, a text or an integer; the envelope is handed on as it came."""
    frame = request_frame() | change
    assert jsonrpc.check_call(frame) == (frame["params"]["envelope"], None)


@pytest.mark.proves("rpc.version-optional")
def test_jsonrpc_may_be_left_out():
    """As every release lets it; another version is refused."""
    frame = request_frame()
    del frame["jsonrpc"]
    assert jsonrpc.check_call(frame)
    for version in ("1.0", 2.0, 2, None, []):
        assert refused(InvalidRequest, frame | {"jsonrpc": version}).path == "$.jsonrpc"


@pytest.mark.proves("rpc.notification")
def test_a_request_without_an_id_is_a_notification():
    """And is checked like any other."""
    frame = request_frame()
    del frame["id"]
    assert jsonrpc.check_call(frame)
    assert jsonrpc.is_notification(frame)
    assert not jsonrpc.is_notification(request_frame())
    assert not jsonrpc.is_notification([])


@pytest.mark.proves("rpc.invalid-request")
@pytest.mark.parametrize("frame", [None, 5, "x", [], [[]], True])
def test_what_is_no_object_is_no_request(frame):
    """-32600, at the root."""
    assert refused(InvalidRequest, frame).path == "$"


@pytest.mark.proves("rpc.invalid-request", "rpc.id")
@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"id": None}, "$.id"),
        ({"id": True}, "$.id"),
        ({"id": 1.0}, "$.id"),
        ({"id": []}, "$.id"),
        ({"id": {}}, "$.id"),
        ({"id": "x" * 4097}, "$.id"),
        ({"extra": 1}, "$.extra"),
        ({"method": 5}, "$.method"),
        ({"method": None}, "$.method"),
    ],
)
def test_frames_that_are_refused(change, path):
    """Ids of other types, unknown members, methods that are no text."""
    assert refused(InvalidRequest, request_frame() | change).path == path


@pytest.mark.proves("rpc.invalid-request", "rpc.params", "rpc.envelope-required", "idempotency.key")
@pytest.mark.parametrize(
    ("error", "frame", "faults", "told"),
    [
        (InvalidRequest, 5, [("$", "dict_type", "is an integer")], "a request is an object"),
        (
            InvalidRequest,
            {"jsonrpc": "1.0", "id": None, "extra": 1},
            [
                ("$.extra", "extra_forbidden", "is no member"),
                ("$.jsonrpc", "literal_error", "expected '2.0'"),
                ("$.method", "missing", "is required"),
                ("$.params", "missing", "is required"),
                ("$.id", "rpc_id", "64-bit integer"),
            ],
            "$.extra is no member of a request",
        ),
        (
            InvalidRequest,
            {"method": 5, "params": 5},
            [("$.method", "string_type", "is an integer")],
            "$.method is an integer; expected a string",
        ),
        (
            MalformedEnvelope,
            {"method": "asap.send", "params": None},
            [("$.params", "dict_type", "is null")],
            "params is an object",
        ),
        (
            MalformedEnvelope,
            {"method": "asap.send", "params": []},
            [("$.params", "dict_type", "is an array")],
            "params is an object",
        ),
        (
            MalformedEnvelope,
            {"method": "asap.send", "params": {}},
            [("$.params.envelope", "missing", "is required")],
            "params.envelope is an object",
        ),
        (
            MalformedEnvelope,
            {"method": "asap.send", "params": {"envelope": "x"}},
            [("$.params.envelope", "dict_type", "is a string")],
            "params.envelope is an object",
        ),
        (
            MalformedEnvelope,
            {"method": "asap.send", "params": {"envelope": {}, "idempotency_key": 5}},
            [("$.params.idempotency_key", "string_type", "1 to 256")],
            "$.params.idempotency_key is no text of 1 to 256 characters",
        ),
    ],
)
def test_all_that_is_wrong_with_a_frame_is_told(error, frame, faults, told):
    """Each fault with its path and type, for programs, and with words, for people; the first in the message too."""
    caught = refused(error, frame)
    assert [(fault.path, fault.type) for fault in caught.faults] == [fault[:2] for fault in faults]
    assert all(words in fault.problem for fault, (_, _, words) in zip(caught.faults, faults, strict=True))
    assert caught.message == told


@pytest.mark.proves("rpc.invalid-request")
def test_of_many_faults_twenty_are_told():
    """However many there are: the answer does not grow with the request."""
    strange = {f"x{number}": 1 for number in range(100)}
    for frame in (strange, dict(list(strange.items())[:19])):
        assert len(refused(InvalidRequest, frame).faults) == 20


@pytest.mark.proves("rpc.invalid-request")
@pytest.mark.parametrize("name", ["method", "params"])
def test_frames_without_a_member(name):
    """Method and params are required."""
    frame = request_frame()
    del frame[name]
    assert refused(InvalidRequest, frame).path == f"$.{name}"


@pytest.mark.proves("rpc.params")
@pytest.mark.parametrize("params", [None, [], "x", 5])
def test_params_are_an_object(params):
    """-32602, for JSON-RPC calls them invalid params."""
    assert refused(MalformedEnvelope, request_frame() | {"params": params}).path == "$.params"


@pytest.mark.proves("rpc.method")
@pytest.mark.parametrize("method", ["", "asap.SEND", "asap.send ", "rpc.discover", "x" * 100_000])
def test_one_method_is_known(method):
    """Exactly; a long name is cut in the answer."""
    error = refused(UnknownMethod, request_frame() | {"method": method})
    assert (error.path, error.facts) == ("$.method", {"method": method[:64]})
    assert "asap.send" in error.message


@pytest.mark.proves("rpc.check-order")
def test_shape_comes_before_params_and_params_before_method():
    """The order in which every release looks."""
    assert refused(InvalidRequest, {"method": "x", "params": 5, "id": []})
    assert refused(MalformedEnvelope, {"method": "x", "params": 5, "id": 1})
    assert refused(UnknownMethod, {"method": "x", "params": {}, "id": 1})


@pytest.mark.proves("rpc.envelope-required")
@pytest.mark.parametrize(
    ("params", "type"),
    [
        ({}, "missing"),
        ({"envelope": None}, "missing"),
        ({"envelope": []}, "dict_type"),
        ({"envelope": "x"}, "dict_type"),
    ],
)
def test_an_envelope_is_required(params, type):
    """An object, of which the first look asks no more."""
    error = refused(MalformedEnvelope, request_frame() | {"params": params})
    assert (error.path, error.faults[0].type) == ("$.params.envelope", type)


@pytest.mark.proves("rpc.params-extra")
def test_other_params_are_passed_over():
    """As every release does."""
    frame = request_frame()
    frame["params"]["other"] = 1
    assert jsonrpc.check_call(frame)


@pytest.mark.proves("idempotency.key")
@pytest.mark.parametrize("key", ["k", "k" * 256])
def test_idempotency_keys_that_pass(key):
    """A text of 1 to 256 characters; none, or null, is none."""
    frame = request_frame()
    frame["params"]["idempotency_key"] = key
    assert jsonrpc.check_call(frame)[1] == key
    frame["params"]["idempotency_key"] = None
    assert jsonrpc.check_call(frame)[1] is None


@pytest.mark.proves("idempotency.key")
@pytest.mark.parametrize("key", ["", "k" * 257, 5, True, [], {}])
def test_idempotency_keys_that_are_refused(key):
    """A key that could not be remembered is refused, not passed over: its sender counts on it."""
    frame = request_frame()
    frame["params"]["idempotency_key"] = key
    assert refused(MalformedEnvelope, frame).path == "$.params.idempotency_key"


@pytest.mark.proves("rpc.batch")
def test_batches():
    """An empty array is no request, and one with more items than allowed is too large."""
    jsonrpc.check_batch([1, 2], most=2)
    with pytest.raises(InvalidRequest, match="at least one"):
        jsonrpc.check_batch([], most=2)
    with pytest.raises(BatchTooLarge) as caught:
        jsonrpc.check_batch([1, 2, 3], most=2)
    assert caught.value.facts == {"items": 3, "most": 2}
    assert "at most 2" in caught.value.message


@pytest.mark.proves("rpc.id")
@pytest.mark.parametrize(
    ("id", "echoed"),
    [
        (1, 1),
        ("a", "a"),
        ("", ""),
        ("x" * 4096, "x" * 4096),
        (None, None),
        (True, None),
        (1.5, None),
        ([], None),
        ("x" * 4097, None),
    ],
)
def test_the_id_to_answer_with(id, echoed):
    """The same, or null where there is none that can be answered to."""
    assert jsonrpc.rpc_id({"id": id}) == echoed


def test_what_is_no_object_has_no_id():
    """Nor has an object without one."""
    assert jsonrpc.rpc_id([]) is jsonrpc.rpc_id({}) is None


@pytest.mark.proves("rpc.answer")
def test_answers():
    """A result or an error, never both; the id last, as it came."""
    assert json.loads(jsonrpc.answer(jsonrpc.success({"id": "e"}), 7)) == {
        "jsonrpc": "2.0", "result": {"envelope": {"id": "e"}}, "id": 7,
    }  # fmt: skip
    assert json.loads(jsonrpc.answer(jsonrpc.failure(HandlerFailed("no")), None)) == {
        "jsonrpc": "2.0",
        "error": {
            "code": -32603,
            "message": "Internal error",
            "data": {"code": "asap:execution/handler_failed", "error": "no", "path": "$"},
        },
        "id": None,
    }


def test_what_was_kept_says_whether_it_failed():
    """With the code, the message and the path; a kind that is in no catalogue is a handler's own."""
    assert jsonrpc.failed(jsonrpc.success({"id": "e"})) is None
    error = jsonrpc.failed(jsonrpc.failure(SenderMismatch("no", path="$.sender")))
    assert (type(error), error.message, error.path) == (SenderMismatch, "no", "$.sender")

    class Mine(HandlerFailed):
        kind = Kind("mine:own", -32000, 200, False, "Nothing.")

    error = jsonrpc.failed(jsonrpc.failure(Mine("mine")))
    assert (type(error), error.message, error.path) == (HandlerFailed, "mine", "$")


def test_what_clients_look_for_beside_the_code_stands_there_too():
    """A fact does not take the place of what every error tells."""
    error = UnknownMethod("no", path="$.method", facts={"method": "x", "path": "y"})
    assert jsonrpc.error_member(error)["data"] == {
        "code": "asap:protocol/unknown_method",
        "error": "no",
        "path": "$.method",
        "details": {"method": "x", "path": "y"},
        "method": "x",
    }


@pytest.mark.proves("error.shape")
def test_an_error_tells_what_a_program_can_use():
    """The stable code, the path, the faults, the facts."""
    error = MalformedEnvelope("no", faults=[Fault("$.a", "missing", "is required")], facts={"n": 1})
    assert jsonrpc.error_member(error)["data"] == {
        "code": "asap:protocol/malformed_envelope",
        "error": "no",
        "path": "$.a",
        "details": {"n": 1},
        "validation_errors": [{"type": "missing", "loc": "$.a", "msg": "is required"}],
    }


@pytest.mark.proves("error.messages")
@pytest.mark.parametrize(("error", "message", "status"), [
    (Unauthenticated("no"), "Invalid request", 401), (SenderMismatch("no"), "Invalid params", 403),
    (RateLimited("no"), "Rate limit exceeded", None), (VersionMismatch("no"), "Server error", None),
])  # fmt: skip
def test_messages_are_fixed_by_number(error, message, status):
    """Peers expect these very words, and the status that HTTP would have for refused callers."""
    member = jsonrpc.error_member(error)
    assert member["message"] == message
    assert member["data"].get("status_code") == status


def test_a_request_as_we_send_it():
    """With an idempotency key, or without."""
    assert jsonrpc.request({"id": "e"}, id="req-1", idempotency_key="k") == {
        "jsonrpc": "2.0",
        "method": "asap.send",
        "params": {"envelope": {"id": "e"}, "idempotency_key": "k"},
        "id": "req-1",
    }
    assert jsonrpc.request({}, id=1, idempotency_key=None)["params"] == {"envelope": {}}


def test_a_member_is_read_as_it_was_written():
    """A result or an error, as deep as the encoder writes it."""
    deep = {}
    for _ in range(253):
        deep = {"x": deep}
    assert jsonrpc.read_member(jsonrpc.success(deep)) == {"result": {"envelope": deep}}
    error = InvalidRequest("no", path="$.x")
    assert jsonrpc.read_member(jsonrpc.failure(error)) == {"error": jsonrpc.error_member(error)}
