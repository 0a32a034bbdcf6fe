"""How a run of a task begins, and how it ends."""

import pytest
from attrs import evolve

from asap_proto.errors import Fault, InvalidInput
from asap_proto.limits import Limits
from asap_proto.model import (
    McpToolCall,
    McpToolResult,
    TaskResponse,
    TaskStatus,
)
from asap_proto.roles import (
    Failed,
    Invoke,
    Raised,
    Returned,
    Saturated,
    TimedOut,
    Write,
)
from asap_proto.roles.outcomes import error_id
from asap_proto.roles.running import TaskRole
from asap_proto.stores import Change, TaskEvent
from asap_proto.wire import jsonrpc
from asap_testkit import (
    NOW,
    PEER,
    asks,
    finish,
    fixed_sources,
    letter,
    link,
    request_frame,
    told,
)
from asap_testkit.receiving import answer_of, hold, payload_of, receive, writes
from asap_testkit.records import job_of, record_of
from asap_testkit.running import a_task, answer_by, envelope_in

AT = NOW.timestamp()
WORKING, WAITING = TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED


@pytest.mark.proves("lifecycle.table", "recovery.released")
def test_a_run_that_begins():
    """Is counted; a task that was submitted, or waited, moves; one that was taken over works already."""
    for status in (TaskStatus.SUBMITTED, WAITING):
        before = record_of(status=status, events=1, runs=0, question={"question": "?"})
        change = writes(TaskRole(before, PEER, fixed_sources(), Limits()).begin())
        assert change == Change(
            evolve(before, status=WORKING, lease=AT + 15.0, updated=AT, version=2, events=2, runs=1, question=None),
            (TaskEvent(2, AT, "status_change", WORKING),),
        )
    taken = writes(a_task(events=2).begin())
    assert (taken.record.status, taken.record.runs, taken.record.events, taken.events) == ("working", 2, 2, ())


@pytest.mark.proves("recovery.released")
@pytest.mark.parametrize(("begun", "runs"), [(True, 1), (False, 0)])
def test_a_task_that_is_given_back(begun, runs):
    """Nobody owns it; a run that never began does not count."""
    record = writes(a_task().release(begun=begun)).record
    assert (record.status, record.owner, record.lease, record.runs) == ("working", "", 0.0, runs)
    waiting = writes(a_task(status=TaskStatus.SUBMITTED, runs=0).release(begun=begun)).record
    assert (waiting.status, waiting.runs) == ("submitted", 0)


@pytest.mark.proves("recovery.released", "task.cancel")
def test_a_task_that_is_to_be_cancelled_is_given_back_too():
    """Whoever has it next sees to that; its handler is over, so that nobody is told."""
    task = a_task(cancel="enough")
    told(task.release(), True)
    assert (task.record.owner, task.record.cancel) == ("", "enough")


def tool_call():
    """A request to run a skill as a tool."""
    return evolve(job_of(), envelope=letter(McpToolCall("r", "echo", {})))


RESPONSE = {"task_id": "task_1", "status": "completed", "result": {"n": 1}, "final_state": None, "metrics": None}
ENDS = {
    "a result": (job_of(), Returned({"n": 1}), "completed", "task.response", RESPONSE),
    "a tool's": (
        tool_call(), Returned({"n": 1}), "completed", "mcp.tool_result",
        {"request_id": "r", "success": True, "result": {"n": 1}, "error": None},
    ),
    "a tool's failure": (
        tool_call(), Raised(InvalidInput("no")), "failed", "mcp.tool_result",
        {"request_id": "r", "success": False, "result": None, "error": "no"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("job", "outcome", "status", "name", "payload"), ENDS.values(), ids=ENDS)
def test_the_end_of_a_run(job, outcome, status, name, payload):
    """Its answer goes by the id of its task; what else was known of that stays."""
    known = {"snapshots": 2, "progress": {"percent": 40}, "answers": ({"input": 1},), "cancel": "", "restored": 1}
    before = record_of(job, events=3, **known)
    steps = TaskRole(before, PEER, fixed_sources(), Limits()).settle(outcome)
    change = writes(steps)
    member = finish(steps, True).member
    assert envelope_in(member) == answer_by("1", payload, name)
    over = {"status": TaskStatus(status), "lease": 0.0, "expires": AT + Limits().task_seconds, "reply": member}
    assert change == Change(
        evolve(before, updated=AT, version=2, events=4, **over),
        (TaskEvent(4, AT, "status_change", TaskStatus(status)),),
    )


def test_a_run_that_ends_by_the_shorter_way():
    """Is answered, and written down, by the same bytes."""
    task = a_task()
    change = writes(steps := task.settle(Returned({"n": 1})))
    assert a_task().reply({"n": 1}) == (finish(steps, True).member, AT)
    assert a_task().ended(task.record.reply, AT) == change


@pytest.mark.parametrize(
    ("outcome", "code", "facts"),
    [
        (Saturated(), "asap:transport/thread_pool_exhausted", {"retry_after": 1}),
        (TimedOut(), "asap:execution/timed_out", {"most_seconds": 600.0}),
    ],
)
def test_a_run_that_the_worker_ended(outcome, code, facts):
    """Its caller is told when to come back, or how long a handler may take."""
    writes(steps := a_task().settle(outcome))
    error = finish(steps, True).error
    assert (error.code, error.facts) == (code, facts)
    assert error.message


def test_a_front_whose_handlers_end_in_no_outcome():
    """Has a bug, and hears of it; the request has failed."""
    steps = hold(link(), request_frame())
    assert writes(steps, 5).record.status is TaskStatus.FAILED
    with pytest.raises(TypeError, match="Invoke was answered with int"):
        steps.send(True)


def test_what_is_wrong_with_the_input_is_told_by_its_places():
    """Each with its kind, seen from the request."""
    writes(steps := a_task().settle(Raised(InvalidInput("no", faults=[Fault("$.input", "odd", "is odd")]))))
    assert finish(steps, True).error.faults == (Fault("$.params.envelope.input", "odd", "is odd"),)


@pytest.mark.parametrize("value", [5, {"x": object()}], ids=["no object", "no JSON"])
def test_an_operator_is_told_why_a_result_could_not_be_sent(value):
    """In the words that the peer hears, and those of the encoder, where it has failed."""
    steps = a_task().settle(Returned(value))
    event = asks(steps).event
    writes(steps)
    error = finish(steps, True).error
    cause = [str(error.__cause__)] if error.__cause__ else []
    assert bool(cause) == isinstance(value, dict)
    assert event == Failed("echo", "task_1", " ".join([error.message, *cause]))


@pytest.mark.proves("store.compare-and-set")
def test_the_end_of_a_run_that_somebody_overtakes():
    """What a subtask has told meanwhile stays; the end is written after it."""
    wire = link()
    steps = hold(wire, request_frame())
    write = wire.reach(steps, Write, Returned({"ok": True}))
    news = {"task_id": "task_x", "update_type": "progress", "status": "working", "progress": {"percent": 1}}
    task_id = write.change.record.id
    extensions = {"parent_task_id": task_id}
    wire.post(request_frame(id=2, payload_type="task.update", payload=news, extensions=extensions))
    assert payload_of(wire.run(steps, wire.perform(write)))["result"] == {"ok": True}
    log = wire.state.events(task_id, after=0, most=10)
    assert [(event.number, event.kind) for event in log] == [(1, "status_change"), (2, "subtask"), (3, "status_change")]
    assert wire.state.read(task_id, now=AT).status is TaskStatus.COMPLETED


@pytest.mark.proves("task.cancel")
def test_a_run_that_ends_well_though_it_was_to_be_cancelled():
    """What is done is done: the task is completed, and who cancelled it is told so."""
    wire = link()
    steps = hold(wire, request_frame())
    write = wire.reach(steps, Write, Returned({"ok": True}))
    cancel = receive(
        request_frame(id=2, payload_type="task.cancel", payload={"task_id": write.change.record.id}), server=wire.server
    )
    asked = wire.reach(cancel, Write)
    assert wire.perform(asked)
    assert payload_of(wire.run(steps, wire.perform(write)))["status"] == "completed"
    assert payload_of(wire.run(cancel, True))["status"] == "completed"


@pytest.mark.proves("recovery.fencing")
def test_a_request_whose_task_another_worker_has_by_now():
    """Whoever asked is asked to come back with the same key; the one that has the task answers then."""
    wire = link(server={"worker": "a", "durable": True})
    steps = hold(wire, request_frame(key="k"))
    wire.clock.move(15.0)
    [record] = wire.state.take_over("b", now=wire.clock.now().timestamp(), until=AT + 100.0, most=10)
    response = wire.run(steps, Returned({"ok": True}))
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert answer_of(response)["error"]["data"]["code"] == "asap:task/taken_over"
    assert wire.state.read(record.id, now=AT) == record


@pytest.mark.proves("lifecycle.table")
@pytest.mark.parametrize(
    ("status", "recorded"),
    [("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled"), ("working", "completed")],
)
def test_a_handler_may_say_how_its_task_ended(status, recorded):
    """By a response of its own, with its metrics; whatever it says, the run is over."""
    task = a_task()
    response = TaskResponse("task_1", TaskStatus(status), metrics={"tokens": 1})
    change = writes(steps := task.settle(Returned(response)))
    assert change.record.status == recorded
    payload = jsonrpc.read_member(finish(steps, True).member)["result"]["envelope"]["payload"]
    assert (payload["status"], payload["metrics"]) == (status, {"tokens": 1})


def test_a_result_as_deep_as_can_be_written_can_be_asked_for():
    """What was answered once is told again, though it nests deeper than any request may."""
    value = {}
    for _ in range(251):
        value = {"x": value}
    wire = link(skills={"echo": lambda job: value})
    answer = payload_of(wire.post(request_frame()))
    assert answer["result"] == value
    query = request_frame(payload_type="state.query", payload={"task_id": answer["task_id"]})
    assert payload_of(wire.post(query))["result"] == value


# -- skills as tools -------------------------------------------------------------------------------------------------


def call(wire, tool="echo", **arguments):
    payload = {"request_id": "r", "tool_name": tool, "arguments": arguments}
    return answer_of(wire.post(request_frame(key="k", payload_type="mcp.tool_call", payload=payload)))


@pytest.mark.proves("mcp.tool")
@pytest.mark.parametrize(("value", "result"), [({"sum": 3}, {"sum": 3}), (None, {})])
def test_a_skill_as_a_tool(value, result):
    """A tool call runs the skill of its name with its arguments, and has its result."""
    wire = link(skills={"echo": lambda job: value})
    envelope = call(wire, n=1)["result"]["envelope"]
    assert envelope["payload_type"] == "mcp.tool_result"
    assert envelope["payload"] == {"request_id": "r", "success": True, "result": result, "error": None}
    assert (wire.ran[0].name, wire.ran[0].payload.input) == ("echo", {"n": 1})


@pytest.mark.proves("mcp.tool")
def test_a_tool_that_fails():
    """Answers with a failed result, without the handler's words, which a retry has too; the task has failed."""

    def fail(job):
        raise ValueError("secret")

    wire = link(skills={"echo": fail})
    payload = call(wire)["result"]["envelope"]["payload"]
    words = f"the handler failed ({error_id(wire.ran[0].task_id)})"
    assert (payload["success"], payload["result"], payload["error"]) == (False, None, words)
    assert call(wire)["result"]["envelope"]["payload"] == payload
    assert len(wire.ran) == 1
    assert wire.state.read(wire.ran[0].task_id, now=AT).status is TaskStatus.FAILED


@pytest.mark.proves("mcp.tool")
def test_a_tool_may_tell_what_is_wrong():
    """As a skill may; and answer with a result of its own."""

    def refuse(job):
        raise InvalidInput("too long")

    assert call(link(skills={"echo": refuse}))["result"]["envelope"]["payload"]["error"] == "too long"
    own = McpToolResult("r", True, {"own": 1})
    assert call(link(skills={"echo": lambda job: own}))["result"]["envelope"]["payload"]["result"] == {"own": 1}


@pytest.mark.proves("mcp.tool")
def test_a_tool_that_finds_no_thread_is_asked_for_again():
    """It never ran: a failed result would have the caller believe that it did."""
    wire = link()
    steps = hold(
        wire,
        request_frame(payload_type="mcp.tool_call", payload={"request_id": "r", "tool_name": "echo", "arguments": {}}),
    )
    response = wire.run(steps, Saturated())
    assert (response.status, answer_of(response)["error"]["data"]["code"]) == (
        503,
        "asap:transport/thread_pool_exhausted",
    )


@pytest.mark.proves("mcp.tool")
def test_a_tool_that_is_no_skill():
    """Is a failed result, as tools have it, not an error of the protocol."""
    wire = link()
    payload = call(wire, tool="missing")["result"]["envelope"]["payload"]
    assert payload == {"request_id": "r", "success": False, "result": None, "error": "no such tool"}
    assert wire.ran == []


# -- how long a handler may run --------------------------------------------------------------------------------------


@pytest.mark.proves("task.timeout")
@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (None, 600.0),
        ({}, 600.0),
        ({"timeout": 5}, 5),
        ({"timeout_seconds": 0.5}, 0.5),
        ({"timeout": 5, "timeout_seconds": 6}, 5),
        ({"timeout": 601}, 600.0),
        ({"timeout": 0}, 600.0),
        ({"timeout": -1}, 600.0),
        ({"timeout": "5"}, 600.0),
        ({"timeout": True}, 600.0),
    ],
)
def test_a_caller_may_ask_for_less_time(config, seconds):
    """A number of seconds above 0; anything else, and anything beyond the agent's limit, is passed over."""
    payload = {"conversation_id": "c", "skill_id": "echo", "input": {}, "config": config}
    wire = link()
    assert wire.reach(receive(request_frame(payload=payload), server=wire.server), Invoke).timeout == seconds
