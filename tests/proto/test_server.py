"""The server's story, told by hand: what it asks, in which order, and what it answers."""

import json

import pytest

from asap_proto.errors import HandlerFailed, InvalidInput, Kind, MalformedJson, Overloaded, TaskNotFound
from asap_proto.limits import Limits
from asap_proto.model import (
    PAYLOADS,
    McpResourceFetch,
    McpToolCall,
    McpToolResult,
    StateQuery,
    TaskCancel,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    TextPart,
)
from asap_proto.roles import (
    Admitted,
    ClaimNonce,
    Failed,
    Handled,
    Invoke,
    KeepReply,
    Observe,
    OpenSlot,
    Raised,
    Returned,
    Saturated,
    ServerRole,
    Spend,
    TimedOut,
    Together,
)
from asap_proto.rules.quota import Allowed, RetryAfter
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.wire import jsonrpc
from asap_testkit import CALLER, ME, PEER, asks, echo_manifest, finish, fixed_sources, request_frame

NONCE = {"nonce": "n"}


def role(**options):
    return ServerRole(echo_manifest(), fixed_sources(), **options)


def admitted(caller=None):
    return Admitted("identity", Limits().request_bytes, caller, "192.0.2.1", {"content-type": "application/json"})


def receive(frame, *, server=None, caller=None):
    body = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    return (server or role()).receive(admitted(caller), body)


def end(steps, answer=None):
    """The response, after the last answer and the count; and what was counted."""
    command = asks(steps, answer)
    assert isinstance(command, Observe)
    return finish(steps), command.event


def answer_of(response):
    return json.loads(response.body)


def error_of(steps, answer=None):
    response, event = end(steps, answer)
    error = answer_of(response)["error"]
    assert event.code == error["data"]["code"]
    return error


def run(outcome, **changes):
    """The answer to a request whose handler came to this."""
    steps = receive(request_frame(**changes))
    assert isinstance(asks(steps), Invoke)
    return end(steps, outcome)


def unsendable(steps, value):
    """The answer where what a handler returned can't be sent, and what its operator is told."""
    assert isinstance(asks(steps), Invoke)
    failed = asks(steps, Returned(value))
    assert isinstance(failed, Observe)
    assert isinstance(failed.event, Failed)
    response, _ = end(steps)
    return answer_of(response)["error"], failed.event


@pytest.mark.proves("reply.envelope")
def test_a_request_is_run_and_answered():
    """The handler is asked for by its skill's id; the reply is addressed back, correlated and traced."""
    steps = receive(request_frame(trace_id="trace", extensions={"task_depth": 3}))
    command = asks(steps)
    assert (command.name, command.timeout) == ("echo", 600.0)
    assert (command.job.depth, command.job.caller, command.job.task_id[:5]) == (3, None, "task_")
    response, event = end(steps, Returned({"ok": True}))
    assert event == Handled("task.request", None, 0.0)
    answer = answer_of(response)
    assert answer["id"] == "req-1"
    envelope = answer["result"]["envelope"]
    assert (envelope["sender"], envelope["recipient"]) == (PEER, ME)
    assert (envelope["correlation_id"], envelope["trace_id"], envelope["payload_type"]) == (
        "letter-1",
        "trace",
        "task.response",
    )
    assert envelope["payload"]["task_id"] == command.job.task_id
    assert (envelope["payload"]["status"], envelope["payload"]["result"]) == ("completed", {"ok": True})


@pytest.mark.proves("payload.answer-spelling")
def test_a_class_name_is_answered_with_a_class_name():
    """The reply is spelt like the request."""
    response, _ = run(Returned(None), payload_type="TaskRequest")
    assert answer_of(response)["result"]["envelope"]["payload_type"] == "TaskResponse"


@pytest.mark.proves("reply.envelope")
def test_a_reply_to_a_request_without_an_id_is_still_correlated():
    """With its own id: it has to answer something."""
    frame = request_frame()
    del frame["params"]["envelope"]["id"]
    steps = receive(frame)
    asks(steps)
    envelope = answer_of(end(steps, Returned(None))[0])["result"]["envelope"]
    assert envelope["correlation_id"] == envelope["id"]


@pytest.mark.proves("rpc.parse-error")
def test_what_is_no_json():
    """-32700, id null, counted."""
    response, event = end(receive(b"{"))
    assert event == Handled("other", "asap:protocol/malformed_json", 0.0)
    assert (answer_of(response)["error"]["code"], answer_of(response)["id"]) == (-32700, None)


def test_a_body_that_could_not_be_read():
    """The front says why, and the answer has the same shape."""
    response = role().refuse(admitted(), MalformedJson("no"))
    assert answer_of(response)["error"]["code"] == -32700


@pytest.mark.proves("rpc.notification")
def test_a_notification_is_run_and_not_answered():
    """Nor is its error."""
    frame = request_frame()
    del frame["id"]
    steps = receive(frame)
    assert isinstance(asks(steps), Invoke)
    assert end(steps, Returned({}))[0].status == 204
    assert end(receive({**frame, "method": "x"}))[0].status == 204
    assert end(receive({**frame, "params": {"envelope": {}}}))[0].status == 204


@pytest.mark.proves("rpc.notification")
def test_what_is_no_request_is_answered_even_without_an_id():
    """What is no request can't be a notification."""
    assert error_of(receive({"method": 5}))["code"] == -32600


@pytest.mark.proves("rpc.batch")
def test_a_batch_is_told_side_by_side():
    """Each item is a story of its own; its paths begin with its place."""
    steps = receive([request_frame(id="a"), 5, request_frame(id="b")])
    command = asks(steps)
    assert isinstance(command, Together)
    assert (len(command.stories), command.most) == (3, 10)
    first, second, third = command.stories
    asks(first)
    items = [end(first, Returned({}))[0], end(second)[0], None]
    asks(third)
    items[2] = end(third, Raised(ValueError("secret")))[0]
    answers = answer_of(finish(steps, tuple(items)))
    assert [answer["id"] for answer in answers] == ["a", None, "b"]
    assert answers[1]["error"]["data"]["path"] == "$[1]"
    assert "secret" not in json.dumps(answers)


@pytest.mark.proves("rpc.batch")
def test_a_batch_of_notifications_is_not_answered():
    """No empty array: nothing at all."""
    frame = request_frame()
    del frame["id"]
    steps = receive([frame])
    [story] = asks(steps).stories
    asks(story)
    assert finish(steps, (end(story, Returned({}))[0],)).status == 204


@pytest.mark.proves("quota.batch")
def test_each_further_item_of_a_batch_is_paid_for():
    """The first was paid for at the door."""
    steps = receive([1, 2, 3], server=role(quota=True))
    assert asks(steps) == Spend("192.0.2.1", 2, 1000.0)
    assert isinstance(asks(steps, Allowed()), Together)
    steps = receive([1, 2, 3], server=role(quota=True))
    asks(steps)
    response, event = end(steps, RetryAfter(2.0, "3/second", 3))
    assert (response.status, event.code) == (429, "asap:transport/rate_limited")
    assert answer_of(response)["error"]["data"]["retry_after"] == 2
    steps = receive([1, 2, 3], server=role(quota=True))
    asks(steps)
    error = error_of(steps, RetryAfter(2.0, "2/second", 2))
    assert (error["data"]["code"], error["data"]["details"]["most"]) == ("asap:protocol/batch_too_large", 2)
    assert isinstance(asks(receive([1], server=role(quota=True))), Together)


@pytest.mark.proves("payload.unknown-type", "payload.no-handler")
@pytest.mark.parametrize(
    ("name", "payload"),
    [("custom", {}), ("p" * 4096, {}), ("task.cancel", {"task_id": "t"}), ("McpResourceFetch", {"resource_uri": "x"})],
)
def test_a_payload_without_a_handler(name, payload):
    """-32601 with its name, cut when long."""
    error = error_of(receive(request_frame(payload_type=name, payload=payload)))
    assert (error["code"], error["data"]["path"]) == (-32601, "$.params.envelope.payload_type")
    assert error["data"]["details"] == {"payload_type": name[:64]}


def test_other_payloads_are_asked_for_by_their_dotted_name():
    """Whatever spelling they came in."""
    steps = receive(
        request_frame(payload_type="TaskCancel", payload={"task_id": "t"}), server=role(handles=[TaskCancel])
    )
    assert asks(steps).name == "task.cancel"


@pytest.mark.proves("skill.known")
def test_a_skill_that_is_not_in_the_manifest():
    """Is told, cut when long."""
    payload = {"conversation_id": "c", "skill_id": "s" * 100, "input": {}}
    error = error_of(receive(request_frame(payload=payload)))
    assert (error["code"], error["data"]["code"]) == (-32602, "asap:capability/skill_not_found")
    assert error["data"]["details"] == {"skill_id": "s" * 64}
    assert error["data"]["path"] == "$.params.envelope.payload.skill_id"


@pytest.mark.proves("auth.sender")
def test_an_impostor_is_refused():
    """-32602 with status_code 403, before anything else is looked at."""
    error = error_of(receive(request_frame(sender=PEER, timestamp="1999-01-01"), caller=CALLER))
    assert (error["code"], error["data"]["status_code"], error["data"]["path"]) == (
        -32602,
        403,
        "$.params.envelope.sender",
    )


@pytest.mark.proves("json.unique-keys")
def test_two_senders_are_refused_where_callers_are_known():
    """And read as the last where they are not."""
    body = json.dumps(request_frame()).replace('"sender":', '"sender": "x", "sender":').encode()
    assert error_of(receive(body, caller=CALLER))["code"] == -32700
    assert isinstance(asks(receive(body)), Invoke)


@pytest.mark.proves("envelope.recipient")
def test_the_recipient_is_compared_on_request_alone():
    """Public harnesses post to a fixed name."""
    frame = request_frame(recipient="urn:asap:agent:under-test")
    assert isinstance(asks(receive(frame)), Invoke)
    error = error_of(receive(frame, server=role(check_recipient=True)))
    assert (error["data"]["code"], error["data"]["path"]) == (
        "asap:protocol/wrong_recipient",
        "$.params.envelope.recipient",
    )
    assert isinstance(asks(receive(request_frame(), server=role(check_recipient=True))), Invoke)


@pytest.mark.proves("freshness.window", "freshness.absent")
def test_stale_envelopes_are_refused_and_unstamped_ones_pass():
    """Unless nonces are required: without a time a nonce could be forgotten and replayed."""
    assert error_of(receive(request_frame(timestamp="2020-01-01")))["data"]["code"] == "asap:protocol/invalid_timestamp"
    frame = request_frame(extensions=NONCE)
    del frame["params"]["envelope"]["timestamp"]
    assert isinstance(asks(receive(frame)), ClaimNonce)
    error = error_of(receive(frame, server=role(nonces="require")))
    assert error["data"]["path"] == "$.params.envelope.timestamp"


@pytest.mark.proves("nonce.policy")
def test_nonces_are_claimed_required_or_passed_over():
    """As the agent is told; claimed for as long as the limit says."""
    frame = request_frame(extensions=NONCE)
    assert asks(receive(frame)) == ClaimNonce(ME, "n", 1000.0, 1600.0)
    assert isinstance(asks(receive(frame, server=role(nonces="ignore"))), Invoke)
    assert isinstance(asks(receive(frame, server=role(nonces="require"))), ClaimNonce)
    error = error_of(receive(request_frame(), server=role(nonces="require")))
    assert (error["data"]["code"], error["data"]["path"]) == (
        "asap:protocol/invalid_nonce",
        "$.params.envelope.extensions.nonce",
    )


@pytest.mark.proves("nonce.repeated")
@pytest.mark.parametrize(
    ("claim", "code", "status"),
    [("repeated", "asap:protocol/invalid_nonce", 200), ("full", "asap:transport/thread_pool_exhausted", 503)],
)
def test_a_nonce_that_can_not_be_claimed(claim, code, status):
    """A repeated one is refused; where no more fit, the peer is asked to come back."""
    steps = receive(request_frame(extensions=NONCE))
    asks(steps)
    response, event = end(steps, claim)
    assert (response.status, event.code) == (status, code)
    assert answer_of(response)["id"] == "req-1"


@pytest.mark.proves("nonce.burned")
def test_a_request_that_is_refused_keeps_its_nonce():
    """Skill, handler, time and depth are looked at before the nonce is claimed."""
    for change in (
        {"payload_type": "custom"},
        {"timestamp": "2020-01-01"},
        {"extensions": {**NONCE, "task_depth": 11}},
    ):
        error_of(receive(request_frame(**{"extensions": NONCE, **change})))


@pytest.mark.proves("idempotency.slot")
def test_a_key_opens_a_slot_and_keeps_the_reply():
    """Before the nonce is judged: clients of the reference repeat their nonce when they retry."""
    steps = receive(request_frame(key="k", extensions=NONCE))
    opened = asks(steps)
    assert isinstance(opened, OpenSlot)
    assert (opened.key, opened.now, opened.until) == ((ME, "k"), 1000.0, 2200.0)
    assert isinstance(asks(steps, Fresh()), ClaimNonce)
    assert isinstance(asks(steps, "claimed"), Invoke)
    kept = asks(steps, Returned({}))
    assert isinstance(kept, KeepReply)
    assert (kept.key, kept.until) == ((ME, "k"), 1600.0)
    response, _ = end(steps)
    assert kept.reply in response.body


@pytest.mark.proves("idempotency.slot")
def test_a_kept_reply_is_sent_under_the_id_of_whoever_asks():
    """Without running anything."""
    steps = receive(request_frame(key="k", id=7))
    asks(steps)
    response, _ = end(steps, Kept(b'"result":{"kept":true}'))
    assert answer_of(response) == {"jsonrpc": "2.0", "result": {"kept": True}, "id": 7}


@pytest.mark.proves("idempotency.slot")
@pytest.mark.parametrize(
    ("found", "status", "code"),
    [(Busy(), 503, "asap:task/still_running"), (Reused(), 200, "asap:protocol/idempotency_key_reused")],
)
def test_a_slot_that_is_taken(found, status, code):
    """Running work is waited for; another request's key is refused."""
    steps = receive(request_frame(key="k"))
    asks(steps)
    response, event = end(steps, found)
    assert (response.status, event.code) == (status, code)


@pytest.mark.proves("idempotency.slot")
def test_slots_belong_to_the_caller():
    """To whom the credentials name, where they name one."""
    steps = receive(request_frame(key="k"), caller=CALLER)
    assert asks(steps).key == (ME, "k")


def test_a_digest_tells_requests_apart():
    """All that makes a request what it is counts; what a retry renews does not."""

    def digest(**changes):
        return asks(receive(request_frame(key="k", **changes))).digest

    payload = {"conversation_id": "c", "skill_id": "echo", "input": {}}
    assert digest() == digest(timestamp="2026-01-02T03:04:06Z", extensions={"nonce": "other"}, trace_id="t")
    assert (
        len(
            {
                digest(),
                digest(payload=payload),
                digest(sender=PEER),
                digest(recipient=ME),
                digest(payload_type="TaskRequest"),
            }
        )
        == 5
    )


def test_a_nonce_refused_frees_its_slot():
    """Or a later try would wait for work that never ran."""
    steps = receive(request_frame(key="k", extensions=NONCE))
    asks(steps)
    asks(steps, Fresh())
    assert asks(steps, "repeated") == KeepReply((ME, "k"), None, 1600.0)
    assert error_of(steps)["data"]["code"] == "asap:protocol/invalid_nonce"


@pytest.mark.proves("idempotency.slot")
@pytest.mark.parametrize(("outcome", "kept"), [(Saturated(), False), (TimedOut(), True), (Raised(ValueError()), True)])
def test_a_failure_is_kept_unless_another_try_may_mend_it(outcome, kept):
    """What never ran is freed; what failed has failed."""
    steps = receive(request_frame(key="k"))
    asks(steps)
    asks(steps, Fresh())
    command = asks(steps, outcome)
    assert isinstance(command, KeepReply)
    assert (command.reply is not None) == kept
    assert "error" in answer_of(end(steps)[0])


class CutOff(BaseException):
    """What a front throws into a story that is cancelled."""


@pytest.mark.proves("idempotency.slot")
def test_a_handler_that_is_cut_off_frees_its_slot():
    """A retry is to run; without a slot there is nothing to free."""
    steps = receive(request_frame(key="k"))
    asks(steps)
    asks(steps, Fresh())
    assert steps.throw(CutOff()) == KeepReply((ME, "k"), None, 1600.0)
    with pytest.raises(CutOff):
        steps.send(None)
    steps = receive(request_frame())
    asks(steps)
    with pytest.raises(CutOff):
        steps.throw(CutOff())


def test_a_story_that_is_closed_asks_nothing_more():
    """Nobody is left to answer; the slot ends at its time."""
    steps = receive(request_frame(key="k"))
    asks(steps)
    asks(steps, Fresh())
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)


@pytest.mark.proves("handler.failed")
@pytest.mark.parametrize(("outcome", "status", "number", "code"), [
    (Raised(ValueError("secret")), 200, -32603, "asap:execution/handler_failed"),
    (Raised(HandlerFailed("secret")), 200, -32603, "asap:execution/handler_failed"),
    (Raised(Overloaded("secret")), 200, -32603, "asap:execution/handler_failed"),
    (TimedOut(), 200, -32603, "asap:execution/timed_out"),
    (Saturated(), 503, -32031, "asap:transport/thread_pool_exhausted"),
])  # fmt: skip
def test_a_handler_that_fails(outcome, status, number, code):
    """The peer learns that it failed, and never the text of the exception."""
    response, _ = run(outcome)
    error = answer_of(response)["error"]
    assert (response.status, error["code"], error["data"]["code"]) == (status, number, code)
    assert b"secret" not in response.body


@pytest.mark.proves("handler.told")
def test_what_a_handler_means_the_peer_to_know_is_told():
    """With its message, its facts and its path; as often as the same error is raised."""
    error = TaskNotFound("no such task", path="$.payload.task_id", facts={"task_id": "t"})
    for _ in range(2):
        data = answer_of(run(Raised(error))[0])["error"]["data"]
        assert data == {
            "code": "asap:task/not_found", "error": "no such task", "path": "$.params.envelope.payload.task_id",
            "details": {"task_id": "t"},
        }  # fmt: skip
    assert error.path == "$.payload.task_id"


@pytest.mark.parametrize(
    "error",
    [
        InvalidInput("no", facts={"value": {1, 2}}),
        InvalidInput("\ud800"),
        InvalidInput("no", facts={"n": 2**64}),
        TaskNotFound("theirs", facts={"rpc_code": -32602, "data": {"secret": 1}}),
    ],
)
def test_an_error_that_can_not_or_must_not_be_told(error):
    """Facts that are no JSON, and what another peer told the handler, are a failure like any other."""
    data = answer_of(run(Raised(error))[0])["error"]["data"]
    assert data == {"code": "asap:execution/handler_failed", "error": "the handler failed", "path": "$.params.envelope"}


@pytest.mark.parametrize("value", [5, "x", [], TextPart("x"), {1: 2}, {"x": {1}}, {"x": 2**64}, {"x": "\ud800"}])
def test_a_handler_that_returns_no_answer(value):
    """What is neither an object nor a payload, or no JSON, is the handler's failure."""
    error, event = unsendable(receive(request_frame()), value)
    assert error["data"]["code"] == "asap:execution/handler_failed"
    assert (event.name, event.task_id[:5]) == ("echo", "task_")
    assert event.reason.startswith("the handler returned")


def test_a_handler_that_returns_what_is_nested_too_deep():
    """What the encoder can't write is the handler's failure too, a loop included."""
    loop = {}
    loop["loop"] = loop
    error, event = unsendable(receive(request_frame()), loop)
    assert error["code"] == -32603
    assert "no JSON" in event.reason


def test_a_handler_may_return_a_payload():
    """Of any kind; it is sent as it is, under the name that goes with the request's."""
    made = TaskResponse("mine", TaskStatus.FAILED)
    envelope = answer_of(run(Returned(made), payload_type="task_request")[0])["result"]["envelope"]
    assert (envelope["payload_type"], envelope["payload"]["task_id"]) == ("task_response", "mine")


def of_any_type(payload_type, payload):
    return receive(request_frame(payload_type=payload_type, payload=payload), server=role(handles=PAYLOADS.values()))


def handled(payload_type, payload, value):
    steps = of_any_type(payload_type, payload)
    asks(steps)
    return answer_of(end(steps, Returned(value))[0])


@pytest.mark.parametrize(
    ("name", "payload", "status"),
    [
        ("task.cancel", {"task_id": "t"}, "working"),
        ("task.update", {"task_id": "t", "update_type": "progress", "status": "input_required"}, "input_required"),
        ("state.query", {"task_id": "t"}, "working"),
    ],
)
def test_nothing_returned_for_a_payload_of_a_task(name, payload, status):
    """Is answered with where the task stands, as far as is known."""
    answer = handled(name, payload, None)["result"]["envelope"]["payload"]
    assert (answer["task_id"], answer["status"]) == ("t", status)


def test_other_payloads_have_to_be_answered():
    """Nothing, or a bare object, says nothing of a tool call."""
    call = {"request_id": "r", "tool_name": "x", "arguments": {}}
    for value in (None, {}):
        error, event = unsendable(of_any_type("mcp.tool_call", call), value)
        assert (error["code"], event.name) == (-32603, "mcp.tool_call")
    answer = handled("mcp.tool_call", call, McpToolResult("r", True, {}))["result"]["envelope"]
    assert answer["payload_type"] == "mcp.tool_result"
    assert {StateQuery, TaskUpdate, McpToolCall, McpResourceFetch} <= set(PAYLOADS.values())


def test_a_kept_failure_of_a_kind_of_the_users_own():
    """Is sent as it is; what is not in our catalogue is counted as the handler's failure."""

    class OutOfStock(InvalidInput):
        kind = Kind("shop:out_of_stock", -32602, 200, False, "Order something else.")

    member = jsonrpc.failure(OutOfStock("none left"))
    steps = receive(request_frame(key="k"))
    asks(steps)
    response, event = end(steps, Kept(member))
    assert event.code == "asap:execution/handler_failed"
    assert answer_of(response)["error"]["data"]["code"] == "shop:out_of_stock"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"sender": PEER}, "asap:auth/sender_mismatch"),
        ({}, "asap:protocol/invalid_timestamp"),
        ({"timestamp": None}, "asap:protocol/invalid_nonce"),
        ({"timestamp": None, "extensions": None}, "asap:transport/handler_not_found"),
    ],
)
def test_what_is_wrong_first_is_told_first(changes, code):
    """Sender, time, nonce, handler."""
    wrong = {"timestamp": "2001-01-01T00:00:00Z", "extensions": {"nonce": 5}, "payload_type": "x", "payload": {}}
    steps = receive(request_frame(**(wrong | changes)), caller=CALLER)
    assert error_of(steps)["data"]["code"] == code


def test_a_kept_failure_is_counted_as_a_failure():
    """The retry that is answered with it fares no better than the first."""
    member = jsonrpc.failure(HandlerFailed("no"))
    steps = receive(request_frame(key="k"))
    asks(steps)
    response, event = end(steps, Kept(member))
    assert event.code == "asap:execution/handler_failed"
    assert member in response.body
