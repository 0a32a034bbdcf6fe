"""The rules of the wire as a peer meets them: bytes in, bytes out, nothing of ours in between."""

import json
from datetime import timedelta

import pytest

from asap_proto.model import AuthScheme, TaskCancel
from asap_testkit import CALLER, ME, NOW, PEER, echo_manifest, link, request_frame

OTHER = "urn:asap:agent:other"


def ask(document, *, wire=None, **headers):
    """Status and JSON of the answer."""
    response = (wire or link()).post(document, **headers)
    return response.status, json.loads(response.body) if response.body else None


def refused(document, *, wire=None, **headers):
    """Number, code and path of the error."""
    status, answer = ask(document, wire=wire, **headers)
    assert status == 200
    assert answer["error"]["data"]["error"]
    return answer["error"]["code"], answer["error"]["data"]["code"], answer["error"]["data"]["path"]


def without(*names):
    frame = request_frame()
    for name in names:
        frame["params"]["envelope"].pop(name, None)
    return frame


@pytest.mark.proves("rpc.answer", "rpc.id", "reply.envelope", "http.status")
@pytest.mark.parametrize("id", ["req-1", "", 0, -1, 2**53, "x" * 3000])
def test_a_request_is_answered_under_its_id(id):
    """200, a result, the same id."""
    status, answer = ask(request_frame(id=id))
    assert (status, answer["id"], answer["jsonrpc"]) == (200, id, "2.0")
    envelope = answer["result"]["envelope"]
    assert envelope.keys() == {
        "id",
        "asap_version",
        "timestamp",
        "sender",
        "recipient",
        "payload_type",
        "payload",
        "correlation_id",
        "trace_id",
        "extensions",
    }
    assert (envelope["sender"], envelope["recipient"], envelope["correlation_id"]) == (PEER, ME, "letter-1")


@pytest.mark.proves("rpc.parse-error", "http.status")
@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"\xef\xbb\xbf{}", b'{"id": NaN}', b'"\\ud800"'])
def test_what_is_no_json_is_a_parse_error(body):
    """-32700, with the id null."""
    assert refused(body) == (-32700, "asap:protocol/malformed_json", "$")
    assert ask(body)[1]["id"] is None


@pytest.mark.proves("rpc.invalid-request")
@pytest.mark.parametrize(
    "document", [5, "x", None, True, {}, {"id": 1}, {"id": 1, "method": "asap.send"}, {"foo": "boo"}]
)
def test_what_is_no_request_is_invalid(document):
    """-32600, whatever else it is; the id where there is one."""
    status, answer = ask(document)
    assert (status, answer["error"]["code"]) == (200, -32600)
    assert answer["id"] == (document.get("id") if isinstance(document, dict) else None)


@pytest.mark.proves("rpc.check-order")
def test_the_order_of_checks():
    """Shape, params, method, envelope: each error hides those behind it."""
    assert refused({"id": 1, "method": "x", "params": 5, "x": 1})[0] == -32600
    assert refused({"id": 1, "method": "x", "params": 5})[0] == -32602
    assert refused({"id": 1, "method": "x", "params": {}})[0] == -32601
    assert refused({"id": 1, "method": "asap.send", "params": {}})[0] == -32602


@pytest.mark.proves("rpc.batch-empty", "rpc.batch")
def test_batches_of_the_specification():
    """The examples of JSON-RPC 2.0 section 7: empty, invalid, mixed, notifications alone."""
    assert ask([])[1]["error"]["code"] == -32600
    status, answers = ask([1, 2, 3])
    assert (status, [(answer["error"]["code"], answer["id"]) for answer in answers]) == (200, [(-32600, None)] * 3)
    note = request_frame()
    del note["id"]
    status, answers = ask([request_frame(id="1"), note, {"foo": "boo"}, request_frame(id="5") | {"method": "foo.get"}])
    assert [(answer["id"], answer.get("error", {}).get("code")) for answer in answers] == [
        ("1", None),
        (None, -32600),
        ("5", -32601),
    ]
    assert ask([note, note]) == (204, None)
    assert ask(note) == (204, None)


@pytest.mark.proves("rpc.batch")
@pytest.mark.parametrize(("count", "fine"), [(50, True), (51, False)])
def test_fifty_items_and_no_more(count, fine):
    """A larger batch is refused whole: nothing in it runs."""
    wire = link()
    answer = ask([request_frame(id=number) for number in range(count)], wire=wire)[1]
    assert len(wire.ran) == (50 if fine else 0)
    if fine:
        assert [item["id"] for item in answer] == list(range(50))
    else:
        assert (answer["error"]["code"], answer["error"]["data"]["code"]) == (-32600, "asap:protocol/batch_too_large")


@pytest.mark.proves("envelope.required", "error.shape")
@pytest.mark.parametrize("name", ["asap_version", "sender", "recipient", "payload_type", "payload"])
def test_required_fields(name):
    """-32602, with the path of what is missing."""
    assert refused(without(name)) == (-32602, "asap:protocol/malformed_envelope", f"$.params.envelope.{name}")


@pytest.mark.proves("envelope.optional", "freshness.absent")
def test_optional_fields():
    """A public harness sends neither id nor timestamp."""
    _, answer = ask(without("id", "timestamp"))
    assert answer["result"]["envelope"]["correlation_id"]


@pytest.mark.proves("envelope.urns", "urn.shape", "urn.no-newline")
@pytest.mark.parametrize("name", ["sender", "recipient"])
@pytest.mark.parametrize(
    "urn",
    [
        "x",
        "urn:asap:agent:",
        "urn:asap:agent:A",
        "urn:asap:agent:a\n",
        "urn:asap:agent:a:b:c",
        "urn:asap:agent:" + "x" * 242,
    ],
)
def test_urns(name, urn):
    """-32602 with the path, not a failure of ours."""
    assert refused(request_frame(**{name: urn})) == (
        -32602,
        "asap:protocol/malformed_envelope",
        f"$.params.envelope.{name}",
    )


@pytest.mark.proves("urn.shape")
def test_the_longest_urn():
    """256 characters pass."""
    sender = "urn:asap:agent:" + "x" * 241
    assert ask(request_frame(sender=sender))[1]["result"]["envelope"]["recipient"] == sender


@pytest.mark.proves("envelope.recipient")
def test_a_public_harness_posts_to_a_fixed_recipient():
    """And is answered by whoever it reached."""
    assert ask(request_frame(recipient="urn:asap:agent:under-test"))[1]["result"]["envelope"]["sender"] == PEER


@pytest.mark.proves("wire.unknown-fields", "envelope.requires-ack")
def test_unknown_fields():
    """Refused with their path; but for the known addition of 1.1."""
    assert refused(request_frame(extra=1)) == (-32602, "asap:protocol/malformed_envelope", "$.params.envelope.extra")
    _, answer = ask(request_frame(requires_ack=False))
    assert "requires_ack" not in answer["result"]["envelope"]


@pytest.mark.proves("payload.fields", "wire.no-coercion")
@pytest.mark.parametrize(
    ("payload", "path"),
    [
        ({"conversation_id": "c", "input": {}}, "skill_id"),
        ({"conversation_id": 5, "skill_id": "echo", "input": {}}, "conversation_id"),
        ({"conversation_id": "c", "skill_id": "echo", "input": []}, "input"),
        ({"conversation_id": "c", "skill_id": "echo", "input": {}, "x": 1}, "x"),
    ],
)
def test_payloads(payload, path):
    """-32602, a malformed payload, with the path through the envelope."""
    assert refused(request_frame(payload=payload)) == (
        -32602,
        "asap:protocol/malformed_payload",
        f"$.params.envelope.payload.{path}",
    )


@pytest.mark.proves("payload.names", "payload.answer-spelling", "payload.no-handler")
@pytest.mark.parametrize(
    ("name", "answer"),
    [("task.request", "task.response"), ("TaskRequest", "TaskResponse"), ("task_request", "task_response")],
)
def test_three_spellings(name, answer):
    """Each is understood, and answered in kind; any other is unknown."""
    assert ask(request_frame(payload_type=name))[1]["result"]["envelope"]["payload_type"] == answer
    assert refused(request_frame(payload_type=name.upper())) == (
        -32601,
        "asap:transport/handler_not_found",
        "$.params.envelope.payload_type",
    )


@pytest.mark.proves("freshness.window")
@pytest.mark.parametrize(("age", "fine"), [(300, True), (301, False), (-30, True), (-31, False)])
def test_the_window_of_time(age, fine):
    """Both ends pass."""
    frame = request_frame(timestamp=(NOW - timedelta(seconds=age)).isoformat())
    if fine:
        assert "result" in ask(frame)[1]
    else:
        assert refused(frame) == (-32602, "asap:protocol/invalid_timestamp", "$.params.envelope.timestamp")


@pytest.mark.proves("nonce.repeated", "nonce.shape")
def test_a_nonce_is_good_once_for_each_sender():
    """A second time it is refused; another's same nonce is another."""
    wire, frame = link(), request_frame(extensions={"nonce": "n"})
    assert "result" in ask(frame, wire=wire)[1]
    assert refused(frame, wire=wire) == (-32602, "asap:protocol/invalid_nonce", "$.params.envelope.extensions.nonce")
    assert "result" in ask(request_frame(extensions={"nonce": "n"}, sender=OTHER), wire=wire)[1]
    assert refused(request_frame(extensions={"nonce": ""}))[1] == "asap:protocol/invalid_nonce"


@pytest.mark.proves("nonce.burned")
def test_a_refused_request_does_not_burn_its_nonce():
    """Mended, it is accepted."""
    wire = link()
    refused(request_frame(extensions={"nonce": "n"}, payload_type="custom"), wire=wire)
    assert "result" in ask(request_frame(extensions={"nonce": "n"}), wire=wire)[1]


@pytest.mark.proves("idempotency.slot")
def test_a_repeated_key_is_answered_from_the_slot():
    """The same bytes but for the id; the handler ran once; another request's key is refused."""
    wire = link()
    first = ask(request_frame(id=1, key="k"), wire=wire)[1]
    second = ask(request_frame(id=2, key="k"), wire=wire)[1]
    assert (first["result"], second["id"], len(wire.ran)) == (second["result"], 2, 1)
    other = request_frame(key="k", payload={"conversation_id": "c", "skill_id": "echo", "input": {"other": 1}})
    assert refused(other, wire=wire)[1] == "asap:protocol/idempotency_key_reused"
    assert "result" in ask(request_frame(key="k", sender=OTHER), wire=wire)[1]
    assert len(wire.ran) == 2


@pytest.mark.proves("task.depth")
@pytest.mark.parametrize(("depth", "fine"), [(10, True), (11, False)])
def test_a_chain_of_tasks_ends(depth, fine):
    """At depth 10, whatever the sender thinks."""
    frame = request_frame(extensions={"task_depth": depth})
    if fine:
        assert "result" in ask(frame)[1]
    else:
        assert refused(frame) == (-32602, "asap:task/too_deep", "$.params.envelope.extensions.task_depth")


def guarded():
    return link(manifest=echo_manifest(auth=AuthScheme(("bearer",))), callers={"bearer secret": CALLER})


@pytest.mark.proves("auth.required", "auth.bearer", "auth.shape", "http.status")
def test_credentials():
    """Without them, or with wrong ones, nothing of the body is judged; with them the request is answered."""
    for headers in ({}, {"authorization": "Bearer wrong"}):
        status, answer = ask(b"{", wire=guarded(), **headers)
        assert (status, answer["error"]["code"], answer["error"]["data"]["status_code"], answer["id"]) == (
            200,
            -32600,
            401,
            None,
        )
    assert "result" in ask(request_frame(), wire=guarded(), authorization="bearer secret")[1]


@pytest.mark.proves("auth.sender")
def test_an_impostor():
    """Is told that it is not who it says."""
    _, answer = ask(request_frame(sender=OTHER), wire=guarded(), authorization="Bearer secret")
    assert (answer["error"]["code"], answer["error"]["data"]["status_code"]) == (-32602, 403)


@pytest.mark.proves("auth.open-paths", "http.metrics", "http.health")
@pytest.mark.parametrize(
    "path", ["/.well-known/asap/manifest.json", "/.well-known/asap/health", "/health", "/ready", "/asap/metrics"]
)
def test_what_is_open_to_all(path):
    """Reading needs no credentials, with GET or HEAD."""
    assert guarded().get(path).status == 200
    assert guarded().get(path, method="HEAD").body == b""


@pytest.mark.proves("quota.answer", "quota.batch")
def test_quotas():
    """Malformed requests count, and so does each item of a batch; time brings tokens back."""
    wire = link(quota="3/minute")
    assert ask(b"{", wire=wire)[0] == 200
    assert ask([1, 2, 3], wire=wire)[0] == 429
    assert ask([1], wire=wire)[0] == 200
    response = wire.post(b"{")
    assert (response.status, response.headers["retry-after"]) == (429, "20")
    assert json.loads(response.body)["error"]["code"] == 429
    wire.clock.move(20)
    assert ask(b"{", wire=wire)[0] == 200


@pytest.mark.proves("handler.failed")
def test_a_handler_that_raises():
    """-32603, under the request's id, without its text."""

    def fail(job):
        raise RuntimeError("secret")

    response = link(skills={"echo": fail}).post(request_frame(id=7))
    assert (json.loads(response.body)["error"]["code"], json.loads(response.body)["id"]) == (-32603, 7)
    assert b"secret" not in response.body


@pytest.mark.proves("manifest.document")
def test_the_manifest_has_every_field_of_1_0():
    """Nulls included, and no other."""
    document = json.loads(link().get("/.well-known/asap/manifest.json").body)
    assert document.keys() == {"id", "name", "version", "description", "capabilities", "endpoints", "auth", "signature"}
    assert document["capabilities"].keys() == {"asap_version", "skills", "state_persistence", "streaming", "mcp_tools"}
    assert document["capabilities"]["skills"][0].keys() == {"id", "description", "input_schema", "output_schema"}


@pytest.mark.proves("client.request", "client.compose", "client.manifest")
def test_both_roles_meet():
    """What our client sends our server answers; other payloads as well as tasks."""
    wire = link(
        server={"handles": [TaskCancel]}, skills={"task.cancel": lambda job: None, "echo": lambda job: {"ok": True}}
    )
    manifest = wire.run(wire.client.discover())
    reply = wire.run(wire.client.send(wire.client.compose(manifest.id, TaskCancel("t"))))
    assert (reply.payload.task_id, reply.sender) == ("t", PEER)
