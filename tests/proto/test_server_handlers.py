"""The server's story from its handler on: what that returns, raises, or fails to do."""

import pytest

from asap_proto.errors import Fault, HandlerFailed, InvalidInput, Overloaded, TaskNotFound
from asap_proto.model import (
    PAYLOADS,
    McpResourceFetch,
    McpToolCall,
    McpToolResult,
    StateQuery,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    TextPart,
)
from asap_proto.roles import Raised, Returned, Saturated, TimedOut, error_id
from asap_testkit import request_frame
from asap_testkit.receiving import answer_of, end, invokes, receive, role, run, unsendable, writes


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


def test_the_trace_of_a_failure_is_told_where_the_operator_shows_it():
    """Beside the id that finds it in the log, and for what has failed alone: what is told anyway needs no trace."""
    data = answer_of(run(Raised(ValueError("secret"), "Traceback: secret"))[0])["error"]["data"]
    assert (data["details"].keys(), data["details"]["traceback"]) == ({"error_id", "traceback"}, "Traceback: secret")
    data = answer_of(run(Raised(TaskNotFound("no such task"), "Traceback: secret"))[0])["error"]["data"]
    assert "traceback" not in data.get("details", {})


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
    assert data.pop("details").keys() == {"error_id"}
    assert data == {"code": "asap:execution/handler_failed", "error": "the handler failed", "path": "$.params.envelope"}


def test_what_is_told_has_no_secrets_in_it():
    """Neither the message, nor the facts, nor the faults of what a handler raises; the error itself stays as it was."""
    facts = {"url": "https://me:x1@host", "headers": {"cookie": "x1"}, "task_id": "t"}
    error = InvalidInput("Bearer x1", faults=[Fault("$.input", "odd", "got token=x1")], facts=facts)
    data = answer_of(run(Raised(error))[0])["error"]["data"]
    assert data["error"] == "Bearer ***"
    assert data["details"] == {"url": "https://***@host", "headers": {"cookie": "***"}, "task_id": "t"}
    assert data["validation_errors"][0]["msg"] == "got token=***"
    assert (error.message, error.facts, error.faults[0].problem) == ("Bearer x1", facts, "got token=x1")


@pytest.mark.parametrize("outcome", [Raised(ValueError("secret")), Raised(Overloaded("secret"))])
def test_a_failure_has_an_id(outcome):
    """The peer is told what finds the line of the log: the failure goes by the id of its task."""
    steps = receive(request_frame())
    command = invokes(steps)
    writes(steps, outcome)
    data = answer_of(end(steps, True)[0])["error"]["data"]
    assert data["details"] == {"error_id": error_id(command.job.task_id)}
    assert error_id("task_01K") == "err_01K"


def test_what_can_not_be_sent_has_an_id_too():
    """What was returned may not be sent: that is a failure like another."""
    error, event = unsendable(receive(request_frame()), {1: 2})
    assert error["data"]["details"] == {"error_id": error_id(event.task_id)}


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
    invokes(steps)
    writes(steps, Returned(value))
    return answer_of(end(steps, True)[0])


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
