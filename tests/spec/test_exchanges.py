"""The rules of the wire as a peer meets them: bytes in, bytes out, nothing of ours in between."""

import json
from datetime import timedelta

import pytest

from asap_proto.model import AuthScheme, TaskCancel, TextPart
from asap_proto.roles import Invoke, Returned, artifact_uri
from asap_testkit import CALLER, ME, NOW, PEER, echo_manifest, link, request_frame
from asap_testkit.receiving import receive

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


# -- tasks -----------------------------------------------------------------------------------------------------------


def asking(job, task):
    """A handler that saves a draft, asks where to, and answers that."""
    known = yield from task.load()
    if known is None:
        yield from task.progress(50, "half")
        known = (yield from task.save({"draft": 1})).data
    answer = yield from task.need_input({"question": "where to?"})
    return {"known": known, "to": answer["input"]}


def say(wire, payload_type, payload, id="next", extensions=None, key=None):
    """The envelope that answers a payload."""
    frame = request_frame(id=id, key=key, payload_type=payload_type, payload=payload, extensions=extensions)
    status, answer = ask(frame, wire=wire)
    assert (status, answer["id"]) == (200, id)
    return answer["result"]["envelope"]


def message(task_id, **fields):
    return {"task_id": task_id, "message_id": "m", "sender": ME, "role": "user", "parts": [], **fields}


@pytest.mark.proves("task.submit", "task.question", "task.message", "state.query")
def test_a_task_from_its_submission_to_its_end():
    """Submitted, asked about, told what it waits for, done: each step as a peer sees it."""
    wire = link(skills={"echo": asking})
    submitted = ask(request_frame(key="k", extensions={"prefer": "respond-async"}), wire=wire)[1]["result"]["envelope"]
    task_id = submitted["payload"]["task_id"]
    assert (submitted["payload_type"], submitted["payload"]["status"]) == ("task.response", "submitted")
    wire.rest()
    told = say(wire, "state.query", {"task_id": task_id})
    assert (told["payload_type"], told["payload"]["status"]) == ("task.response", "input_required")
    assert (told["payload"]["final_state"], told["payload"]["result"]) == ({"draft": 1}, None)
    assert told["extensions"].keys() == {"task", "snapshot", "request", "input_request"}
    assert told["extensions"]["task"]["progress"] == {"percent": 50, "message": "half"}
    assert told["extensions"]["input_request"] == {"question": "where to?"}
    answer = say(wire, "message.send", message(task_id), extensions={"input": {"city": "Oslo"}})
    assert (answer["payload"]["task_id"], answer["payload"]["status"]) == (task_id, "working")
    wire.rest()
    done = ask(request_frame(key="k"), wire=wire)[1]["result"]["envelope"]
    assert done["payload"]["result"] == {"known": {"draft": 1}, "to": {"city": "Oslo"}}
    assert done["correlation_id"] == "letter-1"


@pytest.mark.proves("task.cancel", "state.restore")
def test_a_task_that_is_cancelled_and_gone_on_with():
    """Cancelled it stays cancelled; from its snapshot a new task goes on."""
    wire = link(skills={"echo": asking})
    task_id = ask(request_frame(key="k"), wire=wire)[1]["result"]["envelope"]["payload"]["task_id"]
    snapshot = say(wire, "state.query", {"task_id": task_id, "version": 1})["extensions"]["snapshot"]
    cancelled = say(wire, "task.cancel", {"task_id": task_id, "reason": "enough"})
    assert (cancelled["payload"]["status"], cancelled["payload"]["result"]) == ("cancelled", None)
    again = say(wire, "state.restore", {"task_id": task_id, "snapshot_id": snapshot["id"]})["payload"]
    assert (again["task_id"] != task_id, again["status"]) == (True, "submitted")
    wire.rest()
    say(wire, "message.send", message(again["task_id"]), extensions={"input": {"city": "Rome"}})
    wire.rest()
    assert say(wire, "state.query", {"task_id": again["task_id"]})["payload"]["result"] == {
        "known": {"draft": 1},
        "to": {"city": "Rome"},
    }
    assert say(wire, "state.query", {"task_id": task_id})["payload"]["status"] == "cancelled"


@pytest.mark.proves("state.adopt")
def test_a_task_that_moves_to_another_agent():
    """What one agent tells of a task, a restore brings to another, which goes on with it."""
    wire = link(skills={"echo": asking})
    task_id = ask(request_frame(), wire=wire)[1]["result"]["envelope"]["payload"]["task_id"]
    told = say(wire, "state.query", {"task_id": task_id})["extensions"]
    other = link(skills={"echo": asking})
    restore = {"task_id": task_id, "snapshot_id": told["snapshot"]["id"]}
    brought = {"snapshot": told["snapshot"], "request": told["request"]}
    again = say(other, "state.restore", restore, extensions=brought)["payload"]["task_id"]
    other.rest()
    found = say(other, "state.query", {"task_id": again})
    assert (found["payload"]["status"], found["payload"]["final_state"]) == ("input_required", {"draft": 1})


def working(wire):
    """The id of a task whose handler runs."""
    steps = receive(request_frame(), server=wire.server)
    wire.reach(steps, Invoke)
    return wire.state.tasks()[-1].id, steps


@pytest.mark.proves("task.cancel", "task.message", "task.news", "state.query", "state.restore", "task.visible")
@pytest.mark.parametrize(
    ("payload_type", "payload", "code", "path"),
    [
        ("task.cancel", {"task_id": "DONE"}, "task/already_completed", "payload.task_id"),
        ("task.cancel", {"task_id": "task_x"}, "task/not_found", "payload.task_id"),
        ("state.query", {"task_id": "task_x"}, "task/not_found", "payload.task_id"),
        ("state.query", {"task_id": "DONE", "version": 1}, "task/snapshot_not_found", "payload.version"),
        ("state.restore", {"task_id": "task_x", "snapshot_id": "s"}, "task/not_found", "payload.task_id"),
        ("state.restore", {"task_id": "DONE", "snapshot_id": "s"}, "task/snapshot_not_found", "payload.snapshot_id"),
        ("message.send", message("DONE"), "task/already_completed", "payload.task_id"),
        ("message.send", message("RUNS"), "protocol/invalid_state", "payload.task_id"),
        ("message.send", message("task_x"), "task/not_found", "payload.task_id"),
        ("artifact.notify", {"artifact_id": "a", "task_id": "t"}, "protocol/unsolicited", "extensions.parent_task_id"),
        ("mcp.resource_fetch", {"resource_uri": "file:///x"}, "resource/not_found", "payload.resource_uri"),
    ],
)
def test_what_tasks_refuse(payload_type, payload, code, path):
    """-32602, each with a code of its own and the path of what named the task."""
    wire = link()
    done = ask(request_frame(), wire=wire)[1]["result"]["envelope"]["payload"]["task_id"]
    runs, steps = working(wire)
    named = json.loads(json.dumps(payload).replace("DONE", done).replace("RUNS", runs))
    found = refused(request_frame(payload_type=payload_type, payload=named), wire=wire)
    assert found == (-32602, f"asap:{code}", f"$.params.envelope.{path}")
    assert wire.run(steps, Returned({})).status == 200


@pytest.mark.proves("mcp.tool", "mcp.resource", "task.artifact")
def test_tools_and_resources():
    """A skill is a tool, what it makes a resource."""

    def draw(job, task):
        artifact = yield from task.artifact("picture", [TextPart(job.payload.input["of"])])
        return {"uri": artifact_uri(job.task_id, artifact.id)}

    wire = link(skills={"echo": draw})
    call = {"request_id": "r", "tool_name": "echo", "arguments": {"of": "a house"}}
    result = say(wire, "mcp.tool_call", call)
    assert (result["payload_type"], result["payload"]["success"]) == ("mcp.tool_result", True)
    data = say(wire, "mcp.resource_fetch", {"resource_uri": result["payload"]["result"]["uri"]})
    assert data["payload_type"] == "mcp.resource_data"
    assert data["payload"]["content"]["parts"] == [{"type": "text", "content": "a house"}]
    missing = say(wire, "mcp.tool_call", {**call, "tool_name": "sing"})["payload"]
    assert (missing["success"], missing["result"], missing["error"]) == (False, None, "no such tool")


@pytest.mark.proves("task.news")
def test_news_of_a_subtask():
    """Is answered, and stands in the log of the task that it is a part of."""
    wire = link()
    parent, steps = working(wire)
    news = {"task_id": "task_x", "update_type": "progress", "status": "working", "progress": {"percent": 1}}
    answer = say(wire, "task.update", news, extensions={"parent_task_id": parent})
    assert (answer["payload"]["task_id"], answer["payload"]["status"]) == ("task_x", "working")
    assert [event.kind for event in wire.state.events(parent, after=1, most=10)] == ["subtask"]
    assert wire.run(steps, Returned({})).status == 200


# -- streams ---------------------------------------------------------------------------------------------------------


def events(wire, frame, **headers):
    """The events of a stream, as lines of its body: each number and its envelope."""
    head = wire.post(frame, path="/asap/stream", **headers)
    assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
    found = []
    for block in b"".join(wire.emitted[1:]).decode().split("\n\n")[:-1]:
        number, data = block.split("\n")
        found.append((number.removeprefix("id: "), json.loads(data.removeprefix("data: "))))
    return found


@pytest.mark.proves("stream.request", "stream.events", "stream.resume")
def test_a_stream():
    """Bare envelopes, each correlated to the request and numbered; the last is what the request is answered with."""
    wire = link(skills={"echo": lambda job: {"ok": True}})
    told = events(wire, request_frame(key="k"))
    assert [number for number, _ in told] == ["1", "2", "3"]
    assert {envelope["correlation_id"] for _, envelope in told} == {"letter-1"}
    assert [envelope["payload_type"] for _, envelope in told] == ["task.update", "task.update", "task.response"]
    assert told[-1][1]["payload"]["result"] == {"ok": True}
    later = events(wire, request_frame(key="k"), last_event_id="2")
    assert [(number, envelope["payload"]) for number, envelope in later] == [("3", told[-1][1]["payload"])]
    by_id = events(
        wire, request_frame(payload_type="state.query", payload={"task_id": told[0][1]["payload"]["task_id"]})
    )
    assert [envelope["payload"] for _, envelope in by_id] == [envelope["payload"] for _, envelope in told]


@pytest.mark.proves("stream.events")
def test_a_stream_of_a_task_that_fails():
    """Its last event carries the error that its request would be answered with."""

    def fail(job):
        raise RuntimeError("secret")

    wire = link(skills={"echo": fail})
    number, last = events(wire, request_frame(key="k"))[-1]
    assert (number, last["payload"]["status"], last["payload"]["result"]) == ("3", "failed", None)
    assert last["extensions"]["error"] == ask(request_frame(key="k"), wire=wire)[1]["error"]


@pytest.mark.proves("stream.refusal")
def test_a_stream_that_is_refused():
    """Has the answer that it would have at /asap."""
    wire = link()
    for frame in (request_frame(extra=1), request_frame(payload_type="custom"), [request_frame()], 5):
        response = wire.post(frame, path="/asap/stream")
        assert (response.status, response.headers["content-type"]) == (200, "application/json")
        assert "error" in json.loads(response.body)
    frame = request_frame(payload_type="state.query", payload={"task_id": "task_x"})
    assert json.loads(wire.post(frame, path="/asap/stream").body) == ask(frame, wire=wire)[1]


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
