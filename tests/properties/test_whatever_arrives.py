"""Whatever bytes arrive, the server answers them: with a JSON-RPC result or error, soon, and never with a 5xx."""

import json

from hypothesis import example, given
from hypothesis import strategies as st

from asap_adapters.testing import strategies as asap
from asap_proto.errors import CATALOGUE
from asap_proto.http import HttpResponse, RequestHead
from asap_proto.limits import Limits
from asap_proto.model import PAYLOADS
from asap_proto.model.manifest import AuthScheme
from asap_proto.wire.json import dump
from asap_testkit import CALLER, echo_manifest, link, request_frame
from asap_testkit.requests import requests

NUMBERS = {-32700, -32600, -32601, -32602, -32603}
#: Commands that one item may cost: its slot, its nonce, its handler, its reply, its count.
MOST_COMMANDS = 5
#: An error says where and what, but an attacker can't make it grow with the input.
MOST_BYTES = 20_000


def open_server():
    return link(server={"handles": PAYLOADS.values()}, skills=dict.fromkeys(["echo", *PAYLOADS], lambda job: None))


def guarded_server():
    return link(
        manifest=echo_manifest(auth=AuthScheme(("bearer",))),
        callers={"bearer secret": CALLER},
        server={"nonces": "require", "check_recipient": True, "compresses": ("gzip",)},
        quota="1000/second",
    )


def check_answered(server, body, **headers):
    """What must hold of every answer."""
    before = server.commands
    response = server.post(body, **headers)
    assert isinstance(response, HttpResponse)
    assert response.status < 500
    assert server.commands - before <= 3 + MOST_COMMANDS * (Limits().batch_items + 1)
    if response.status == 204:
        assert response.body == b""
        return
    document = json.loads(response.body)
    for answer in document if isinstance(document, list) else [document]:
        check_answer(answer)
    assert b"Traceback" not in response.body


def check_answer(answer):
    assert answer["jsonrpc"] == "2.0"
    assert answer.keys() in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})
    assert answer["id"] is None or isinstance(answer["id"], str | int)
    if "error" in answer:
        check_error(answer["error"])
    else:
        assert answer["result"].keys() == {"envelope"}


def check_error(error):
    assert error["code"] in NUMBERS
    data = error["data"]
    assert CATALOGUE[data["code"]].kind.rpc_code == error["code"]
    assert data["path"].startswith("$")
    assert len(json.dumps(error)) < MOST_BYTES
    # No handler of ours fails here: what is wrong is the caller's, and is told so.
    assert error["code"] != -32603 or data["code"] == "asap:execution/handler_failed"


@given(st.binary(max_size=200))
@example(b"")
@example(b"\xff\xfe{")
@example(b"\xef\xbb\xbf{}")
@example(b'"\\ud800"')
@example(b"[" * 100_000)
@example(b'{"a":' * 100_000)
@example(b"1" * 5000)
@example(b"NaN")
@example(b"-")
@example(b'{"id":1e999}')
@example(b"[1,")
@example(b"\x00")
def test_any_bytes_are_answered(body):
    """Bytes that are no JSON, or no request, get an error."""
    check_answered(open_server(), body)


@given(asap.json_values())
@example([])
@example([[]])
@example([None] * 50)
@example([None] * 51)
@example({"id": 2**70})
@example({"id": {}, "method": [], "params": "x", "jsonrpc": 2})
@example({"method": "x" * 100_000, "params": {}, "id": 1})
@example({"y" * 100_000: 1, "id": 1})
@example({f"key{n}": 1 for n in range(10_000)})
def test_any_json_is_answered(document):
    """So does JSON that is no request, alone or in a batch."""
    check_answered(open_server(), document)
    check_answered(open_server(), [document])


@given(requests())
def test_valid_requests_are_answered(frame):
    """A valid request of any payload is answered; the depth, alone, may be too much."""
    check_answered(open_server(), frame)
    check_answered(open_server(), [frame, frame])


@given(asap.disturbed(requests()))
@example(request_frame(sender="urn:asap:agent:" + "x" * 100_000))
@example(request_frame(payload_type="p" * 4096))
@example(request_frame(payload={"skill_id": "s" * 4096, "conversation_id": "c", "input": {}}))
@example(request_frame(payload={"z" * 100_000: 1}))
@example(request_frame(**{f"k{n}": n for n in range(10_000)}))
@example(request_frame(extensions={"nonce": "n" * 100_000}))
@example(request_frame(extensions={"task_depth": 2**64 - 1}))
@example(request_frame(extensions={"task_depth": True}))
@example(request_frame(timestamp="0001-01-01T00:00:00+14:00"))
@example(request_frame(timestamp="9999-12-31T23:59:59.999999-14:00"))
@example(request_frame(timestamp=1e308))
@example(request_frame(timestamp=-(2**63)))
@example(request_frame(requires_ack=[{}]))
def test_near_misses_are_answered(frame):
    """So does every request that is nearly valid, from an open server and from one that looks closely."""
    check_answered(open_server(), frame)
    check_answered(open_server(), [frame, 5, frame])
    check_answered(guarded_server(), frame, authorization="Bearer secret")


@given(requests(), st.data())
def test_duplicated_keys_are_answered(frame, data):
    """A key that stands twice is answered, whether it is refused or its last value counts."""
    text = json.dumps(frame)
    key = data.draw(st.sampled_from(["jsonrpc", "params", "envelope", "sender", "payload", "id", "timestamp"]))
    value = json.dumps(data.draw(asap.json_values()))
    body = text.replace(f'"{key}": ', f'"{key}": {value}, "{key}": ', 1).encode()
    check_answered(open_server(), body)
    check_answered(guarded_server(), body, authorization="Bearer secret")


@given(requests(), st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_damaged_bytes_are_answered(frame, place, noise):
    """A request that was damaged on its way is answered."""
    body = dump(frame)
    check_answered(open_server(), body[:place] + noise + body[place + len(noise) :])
    check_answered(open_server(), body[:place])


HEADER_NAMES = (
    "accept-encoding", "content-length", "content-encoding", "asap-version", "authorization", "if-none-match",
    "x-idempotency-key",
)  # fmt: skip


@given(
    st.sampled_from(["/asap", "/asap/", "/", "", "/health", "/ready", "/asap/metrics", "*", "/asap?x", "//asap"])
    | st.just("/.well-known/asap/manifest.json")
    | st.text(max_size=20),
    st.sampled_from(["POST", "GET", "HEAD", "OPTIONS", "post", ""]) | st.text(max_size=5),
    st.dictionaries(st.sampled_from(HEADER_NAMES), st.text(max_size=40), max_size=4),
)
@example("/asap", "POST", {"content-length": "9" * 5000})
@example("/asap", "POST", {"content-length": "-1"})
@example("/asap", "POST", {"content-length": "²"})
@example("/asap", "POST", {"asap-version": "\udcff"})
@example("/asap", "POST", {"accept-encoding": "gzip;q=\udcff"})
@example("/asap", "POST", {"accept-encoding": "gzip," * 100_000})
@example("/.well-known/asap/manifest.json", "GET", {"accept-encoding": "*"})
@example("/asap", "POST", {"content-encoding": "gzip"})
@example("/asap", "POST", {"asap-version": "9" * 100_000})
@example("/asap", "POST", {"authorization": "Bearer \udcff"})
def test_any_head_is_answered(path, method, headers):
    """Whatever the head of a request holds, it is answered, or its body is asked for."""
    for server in (open_server(), guarded_server()):
        response = server.serve(RequestHead(method, path, headers, "192.0.2.1"), b"{}")
        assert response.status < 500
        assert len(response.body) < MOST_BYTES
