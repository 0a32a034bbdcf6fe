"""Tasks that outlive their request: submitted, watched, cancelled, told what they asked for."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from asap_adapters.stores.sqlite import SqliteState
from asap_proto import Limits, Misuse, TaskStatus
from asap_proto.errors import (
    HandlerFailed,
    HandlerTimedOut,
    IllegalMove,
    InvalidInput,
    KeyReused,
    Overloaded,
    PeerTimedOut,
    ResourceNotFound,
    TaskFinished,
    TaskNotFound,
)
from asap_proto.model import McpResourceData, McpResourceFetch, McpToolCall, McpToolResult, TaskUpdate, TextPart
from asap_proto.roles import TaskCancelled, artifact_uri
from asap_proto.rules.retry import RetryRule
from asap_proto.stores import Change, MemoryState

from .fronts import ME, WORKER, holds

SUBMITTED, WORKING, WAITING = TaskStatus.SUBMITTED, TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED

SOON = {"seconds": 10, "every": 0.01}


class Gate:
    """Where a handler waits until it is let go, and says that it is there."""

    def __init__(self, front):
        self._front = front
        self.here = []
        self.opened = threading.Event()

    def wait(self, task):
        self.here.append(task.id)
        return self._front.until(self.opened.is_set)

    def arrived(self, count=1):
        holds(lambda: len(self.here) >= count)
        return self.here[count - 1]


@pytest.fixture
def gate(front):
    gate = Gate(front)
    yield gate
    gate.opened.set()


def test_from_submitted_to_completed(front, stack, gate):
    """A task that is submitted is answered at once, runs with nobody waiting, and its state tells of it."""
    agent = front.agent()

    @agent.skill("work")
    def work(task):
        yield task.progress(40, "nearly")
        yield gate.wait(task)
        return {"input": task.input, "runs": task.runs, "cancelled": task.cancelled}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    before = datetime.now(UTC) - timedelta(seconds=1)
    answer = client.submit("work", {"n": 1}, conversation_id="talk")
    assert (answer.status, answer.result) == (SUBMITTED, None)
    assert gate.arrived() == answer.task_id
    state = client.state(answer.task_id)
    assert (state.status, state.result, state.snapshot, state.is_final) == (WORKING, None, None, False)
    assert (state.task.conversation_id, state.task.depth, state.task.parent_task_id) == ("talk", 0, None)
    assert state.task.progress == {"percent": 40, "message": "nearly"}
    assert before < state.task.created_at <= state.task.updated_at
    with pytest.raises(PeerTimedOut):
        client.wait(answer.task_id, seconds=0.05, every=0.01)
    gate.opened.set()
    state = client.wait(answer.task_id, **SOON)
    assert (state.status, state.error) == (COMPLETED, None)
    assert state.result == {"input": {"n": 1}, "runs": 1, "cancelled": False}


def test_a_request_can_be_asked_about(front, stack):
    """What is asked for and waited for is a task too."""
    agent = front.agent()
    agent.skill("echo")(lambda task: task.input)
    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    reply = client.request("echo", {"x": 1})
    state = client.state(reply.task_id)
    assert (state.status, state.result) == (COMPLETED, {"x": 1})


def test_failure_is_kept(front, stack):
    """A task that failed says why, and no more than its request would be told."""
    agent = front.agent()

    @agent.skill("fail")
    def fail(task):
        raise ValueError("secret")

    @agent.skill("refuse")
    def refuse(task):
        raise InvalidInput("too long", path="$.payload.input.text")

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    state = client.wait(client.submit("fail", {}).task_id, **SOON)
    assert (state.status, state.result) == (FAILED, None)
    assert isinstance(state.error, HandlerFailed)
    assert "secret" not in repr(state.error) + repr(state.error.facts)
    state = client.wait(client.submit("refuse", {}).task_id, **SOON)
    assert isinstance(state.error, InvalidInput)
    assert "too long" in state.error.message


def test_submitted_twice_is_one_task(front, stack, gate):
    """The same key, the same task: while it runs, and when it is over; another request does not get it."""
    agent = front.agent()
    ran = []

    @agent.skill("work")
    def work(task):
        ran.append(task.id)
        yield gate.wait(task)
        return {"n": len(ran)}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    first = client.submit("work", {}, idempotency_key="once")
    gate.arrived()
    second = client.submit("work", {}, idempotency_key="once")
    assert (second.task_id, second.status) == (first.task_id, WORKING)
    gate.opened.set()
    assert client.wait(first.task_id, **SOON).result == {"n": 1}
    third = client.submit("work", {}, idempotency_key="once")
    assert (third.task_id, third.status, third.result) == (first.task_id, COMPLETED, {"n": 1})
    with client.stream("work", {}, idempotency_key="once") as payloads:
        *_, fourth = payloads
    assert (fourth.task_id, fourth.result) == (first.task_id, {"n": 1})
    assert len(ran) == 1
    with pytest.raises(KeyReused):
        client.submit("work", {"other": 1}, idempotency_key="once")
    assert client.submit("work", {}, idempotency_key="twice").task_id != first.task_id


def test_more_tasks_than_there_is_room_for(front, stack):
    """What was accepted runs, however many there are; who asks to be answered at once is refused at most."""
    agent = front.agent(limits=Limits(handler_threads=2, background_tasks=3, beat_seconds=0.02))
    ran = []

    def count(task):
        threading.Event().wait(0.02)
        ran.append(task.id)
        return {}

    agent.real.skill("count")(count)
    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    ids = [client.submit("count", {}).task_id for _ in range(20)]
    assert [client.wait(id, **SOON).status for id in ids] == [COMPLETED] * 20
    assert sorted(ran) == sorted(ids)


def cancel_running(front, stack, register):
    """Cancels a task that is waited for, and checks what all are told; gives the handler's last words."""
    agent = front.agent()
    started, ended = [], []
    register(agent, started, ended)
    url = stack.enter_context(front.serving(agent))
    with front.client(url) as client, front.client(url) as other, ThreadPoolExecutor(1) as threads:
        asked = threads.submit(client.request, "work", {})
        holds(lambda: started)
        answer = other.cancel(started[0], "enough")
        reply = asked.result(10)
        holds(lambda: ended)
        state = other.state(started[0])
        with pytest.raises(TaskFinished) as caught:
            other.cancel(started[0])
    assert caught.value.facts["data"]["details"]["current_status"] == "cancelled"
    assert caught.value.facts["data"]["path"] == "$.params.envelope.payload.task_id"
    assert answer.task_id == reply.task_id == started[0]
    assert (answer.status, reply.status, state.status) == (CANCELLED, CANCELLED, CANCELLED)
    assert (reply.result, state.result, state.error) == (None, None, None)
    return ended


def test_cancel_reaches_a_handler_that_waits(front, stack):
    """A handler is cut off at its await, or at its next call; the request it served is answered ``cancelled``."""

    def register(agent, started, ended):
        @agent.skill("work")
        def work(task):
            started.append(task.id)
            try:
                while True:
                    yield front.pause(0.01 if front.name == "sync" else 60)
                    yield task.progress(1)
            except BaseException as cut:
                ended.append((type(cut).__name__, task.cancelled))
                raise

    [(name, known)] = cancel_running(front, stack, register)
    assert known
    # The async fronts cut it off by their own means, at whatever it awaits.
    assert name == {"asyncio": "CancelledError", "trio": "Cancelled", "sync": "TaskCancelled"}[front.name]


@pytest.mark.parametrize("call", ["progress", "save", "load", "need_input", "artifact", "delegate"])
def test_cancel_reaches_a_plain_function(front, stack, call):
    """A function in a thread can't be cut off: whatever it next calls on its task tells it, by no `Exception`."""

    def register(agent, started, ended):
        def work(task):
            started.append(task.id)
            try:
                for _ in range(1000):
                    threading.Event().wait(0.005)
                    try:
                        if call == "progress":
                            task.progress(1)
                        elif call == "save":
                            task.save({})
                        elif call == "artifact":
                            task.artifact("a", TextPart("x"))
                        elif call == "load":
                            task.load()
                        elif task.cancelled:
                            task.need_input("?") if call == "need_input" else task.delegate("urn:asap:agent:x", "x", {})
                    except Exception as error:
                        ended.append(error)
            except TaskCancelled:
                ended.append("told")
                raise

        agent.real.skill("work")(work)

    assert cancel_running(front, stack, register) == ["told"]


@pytest.mark.parametrize("kept", ["memory", "SQLite"])
def test_a_handler_that_never_stops_telling(front, stack, tmp_path, kept):
    """Its writes follow each other without a pause: others have their turn, and it is cancelled like any other."""
    state = stack.enter_context(SqliteState(tmp_path / "tasks.db", agent=WORKER)) if kept == "SQLite" else None
    agent = front.agent(store=state)
    started = []

    @agent.skill("tell")
    def tell(task):
        started.append(task.id)
        while True:
            yield task.progress(1)
            yield task.save({"n": 1})
            yield task.load()

    agent.skill("echo")(lambda task: task.input)
    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    for n in range(1, 6):
        task_id = client.submit("tell", {}).task_id
        holds(lambda n=n: len(started) == n)
        assert client.request("echo", {"n": n}).result == {"n": n}
        assert client.cancel(task_id).status is CANCELLED
    if front.name != "sync":
        with pytest.raises(HandlerTimedOut):
            client.request("tell", {}, config={"timeout": 0.05})


def test_a_handler_may_look_whether_it_is_cancelled(front, stack):
    """A function that never calls is not disturbed: it may look, and the cancel says how the task stands."""
    agent = front.agent(limits=Limits(cancel_seconds=0.1))
    started, looked = [], []

    def work(task):
        started.append(task.id)
        while not task.cancelled:
            threading.Event().wait(0.005)
        looked.append(task.id)
        threading.Event().wait(0.3)
        return {"done": True}

    agent.real.skill("work")(work)
    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    task_id = client.submit("work", {}).task_id
    holds(lambda: started)
    answer = client.cancel(task_id)
    holds(lambda: looked)
    state = client.wait(task_id, **SOON)
    if front.name == "sync":
        # Its thread went on, and came to a good end.
        assert (answer.status, state.status, state.result) == (WORKING, COMPLETED, {"done": True})
    else:
        # Nobody waits for an abandoned thread.
        assert (answer.status, state.status) == (CANCELLED, CANCELLED)


def test_cancel_before_it_runs(front, stack, gate):
    """A task that waits for room is cancelled at once, and never runs."""
    agent = front.agent(limits=Limits(background_tasks=1, handler_threads=1, beat_seconds=0.02))
    ran = []

    @agent.skill("work")
    def work(task):
        ran.append(task.id)
        yield gate.wait(task)

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    first = client.submit("work", {})
    gate.arrived()
    second = client.submit("work", {})
    assert client.state(second.task_id).status is SUBMITTED
    assert client.cancel(second.task_id).status is CANCELLED
    gate.opened.set()
    assert client.wait(first.task_id, **SOON).status is COMPLETED
    third = client.submit("work", {})
    client.wait(third.task_id, **SOON)
    assert ran == [first.task_id, third.task_id]
    assert client.state(second.task_id).status is CANCELLED


def test_cancel_of_what_is_not_there(front, stack):
    """A task that nobody knows, and one that is over."""
    agent = front.agent()
    agent.skill("echo")(lambda task: task.input)
    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    with pytest.raises(TaskNotFound):
        client.cancel("task_missing")
    done = client.request("echo", {})
    with pytest.raises(TaskFinished) as caught:
        client.cancel(done.task_id)
    assert caught.value.facts["data"]["details"]["current_status"] == "completed"


def test_a_task_is_its_callers(front, stack):
    """Where callers are known, nobody is told of another's task."""
    agent = front.agent(token_validator={"mine": ME, "theirs": "urn:asap:agent:other"}.get)

    @agent.skill("ask")
    def ask(task):
        yield task.save({"secret": 1})
        yield task.need_input("?")

    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url, token="mine"))
    other = stack.enter_context(front.client(url, token="theirs", me="urn:asap:agent:other"))
    task_id = client.request("ask", {}).task_id
    snapshot = client.state(task_id).snapshot.id
    tries = [
        lambda: other.state(task_id),
        lambda: other.cancel(task_id),
        lambda: other.tell(task_id, {}),
        lambda: other.restore(task_id, snapshot),
        lambda: next_of(other, task_id),
    ]
    for attempt in tries:
        with pytest.raises(TaskNotFound):
            attempt()
    assert client.state(task_id).status is WAITING


def next_of(client, task_id):
    with client.follow(task_id) as payloads:
        return next(payloads)


@pytest.mark.parametrize("at_once", [True, False], ids=["submitted", "requested"])
def test_questions(front, stack, at_once):
    """A handler that asks is run again from its start, with the answers it had; each question gets its own."""
    agent = front.agent()
    starts = []

    @agent.skill("book")
    def book(task):
        starts.append(task.runs)
        where = yield task.need_input("where to?", choices=["Rome", "Oslo"])
        when = yield task.need_input("when?")
        return {"where": where["input"], "when": when, "runs": task.runs}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    asked = (client.submit if at_once else client.request)("book", {})
    if at_once:
        state = client.wait(asked.task_id, **SOON)
    else:
        assert (asked.status, asked.result) == (WAITING, {"question": "where to?", "choices": ["Rome", "Oslo"]})
        state = client.state(asked.task_id)
    assert (state.status, state.result) == (WAITING, None)
    assert state.question == {"question": "where to?", "choices": ["Rome", "Oslo"]}
    answer = client.tell(asked.task_id, {"city": "Oslo"})
    assert (answer.task_id, answer.status) == (asked.task_id, WORKING)
    state = client.wait(asked.task_id, **SOON)
    assert state.question == {"question": "when?"}
    client.tell(asked.task_id, parts=("part_1", "part_2"))
    state = client.wait(asked.task_id, **SOON)
    assert (state.status, state.question) == (COMPLETED, None)
    assert state.result["where"] == {"city": "Oslo"}
    message = state.result["when"]
    assert message.pop("message_id").startswith("msg_")
    assert message == {"sender": ME, "role": "user", "parts": ["part_1", "part_2"], "input": None}
    assert state.result["runs"] == 3
    assert starts == [1, 2, 3]
    with pytest.raises(TaskFinished):
        client.tell(asked.task_id, {})


def test_questions_of_a_plain_function(front, stack):
    """So does a plain function, in its thread."""
    agent = front.agent()

    def ask(task):
        try:
            answer = task.need_input("name?")
        except Exception:
            return {"caught": True}
        return {"hello": answer["input"]["name"]}

    agent.real.skill("ask")(ask)
    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    asked = client.request("ask", {})
    assert asked.status is WAITING
    client.tell(asked.task_id, {"name": "Ann"})
    assert client.wait(asked.task_id, **SOON).result == {"hello": "Ann"}


def test_a_message_to_a_task_that_waits_for_none(front, stack, gate):
    """A task that is running takes no message, and is not disturbed by one."""
    agent = front.agent()

    @agent.skill("work")
    def work(task):
        yield gate.wait(task)
        return {}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    task_id = client.submit("work", {}).task_id
    gate.arrived()
    with pytest.raises(IllegalMove) as caught:
        client.tell(task_id, {"x": 1})
    details = caught.value.facts["data"]["details"]
    assert details == {"task_id": task_id, "from_state": "working", "to_state": "working"}
    gate.opened.set()
    assert client.wait(task_id, **SOON).status is COMPLETED


def test_a_question_that_is_never_answered(front, stack):
    """A task that waits may be cancelled."""
    agent = front.agent()

    @agent.skill("ask")
    def ask(task):
        yield task.need_input("?")

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    task_id = client.request("ask", {}).task_id
    assert client.cancel(task_id).status is CANCELLED
    state = client.state(task_id)
    assert (state.status, state.question) == (CANCELLED, None)
    with pytest.raises(TaskFinished):
        client.tell(task_id, {})


def test_callers_that_walk_away_leave_room_for_others(front, stack):
    """Half of the tasks may wait to be answered; one more fails, and all other work goes on."""
    agent = front.agent(limits=Limits(tasks=6))

    @agent.skill("ask")
    def ask(task):
        yield task.need_input("?")

    @agent.skill("echo")
    def echo(task):
        return task.input

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent)), retry=RetryRule(attempts=1)))
    waiting = [client.request("ask", {}).task_id for _ in range(3)]
    with pytest.raises(Overloaded, match="wait for an answer"):
        client.request("ask", {})
    assert [client.request("echo", {"n": n}).result for n in range(10)] == [{"n": n} for n in range(10)]
    client.cancel(waiting[0])
    assert client.request("ask", {}).status is WAITING


def test_artifacts(front, stack):
    """What a task has made is told of, and fetched from its agent, by its URI."""
    agent = front.agent()

    @agent.skill("draw")
    def draw(task):
        made = yield task.artifact("picture", TextPart("a house"), TextPart("a tree"))
        return {"artifact": made.id, "name": made.name, "parts": len(made.parts)}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    with client.stream("draw", {}) as payloads:
        told = list(payloads)
    [notice] = [payload for payload in told if type(payload).__name__ == "ArtifactNotify"]
    reply = told[-1]
    assert (notice.task_id, notice.name) == (reply.task_id, "picture")
    assert reply.result == {"artifact": notice.artifact_id, "name": "picture", "parts": 2}
    uri = artifact_uri(notice.task_id, notice.artifact_id)
    answer = client.send(client.role.compose(WORKER, McpResourceFetch(uri))).payload
    assert isinstance(answer, McpResourceData)
    assert answer.resource_uri == uri
    assert [part["content"] for part in answer.content["parts"]] == ["a house", "a tree"]
    assert answer.content["artifact"]["name"] == "picture"
    for wrong in (uri + "x", artifact_uri("task_x", notice.artifact_id), "file:///etc/passwd", "x" + uri):
        with pytest.raises(ResourceNotFound):
            client.send(client.role.compose(WORKER, McpResourceFetch(wrong)))


def test_what_is_too_large_to_be_told(front, stack):
    """A line of the log is bounded: of progress, a question, an artifact; so is a snapshot. The handler is told."""
    agent = front.agent(limits=Limits(event_bytes=300, snapshot_bytes=300))
    caught = []
    large = "x" * 300

    @agent.skill("boast")
    def boast(task):
        for attempt in (
            lambda: task.progress(1, large),
            lambda: task.need_input(large),
            lambda: task.artifact("a", TextPart(large)),
            lambda: task.save({"x": large}),
            lambda: task.save({"x": object()}),
        ):
            try:
                yield attempt()
            except Misuse as error:
                caught.append(error)
        return {}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    assert client.request("boast", {}).status is COMPLETED
    assert len(caught) == 5


def test_delegate(front, stack):
    """A part that is handed on names its parent, one level deeper, in the same conversation and trace."""
    end = front.agent("urn:asap:agent:end")
    seen = []

    @end.skill("part")
    def part(task):
        seen.append((task.payload.parent_task_id, task.depth, task.payload.conversation_id, task.envelope.trace_id))
        return {"by": task.caller}

    first = front.agent(peers={"urn:asap:agent:end": stack.enter_context(front.serving(end))})

    @first.skill("whole")
    def whole(task):
        reply = yield task.delegate("urn:asap:agent:end", "part", {}, config={"a": 1})
        return {"me": task.id, "by": reply.result["by"], "part": reply.task_id}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(first))))
    reply = client.request("whole", {}, conversation_id="talk", trace_id="thread")
    assert reply.result["by"] == WORKER
    assert seen == [(reply.task_id, 1, "talk", "thread")]
    # The part is the other agent's task.
    with pytest.raises(TaskNotFound):
        client.state(reply.result["part"])


def test_a_subtask_is_heard_by_whoever_follows_its_parent(front, stack):
    """What a subtask tells its parent's agent reaches the parent's log, though that agent has no handler for it."""
    boss_urn = "urn:asap:agent:boss"
    boss, worker = front.agent(boss_urn), front.agent()

    @worker.skill("part")
    def part(task):
        yield task.progress(30, "in part")
        yield task.artifact("thing", TextPart("x"))
        return {}

    @boss.skill("whole")
    def whole(task):
        reply = yield task.delegate(WORKER, "part", {})
        return {"part": reply.task_id}

    boss_url = stack.enter_context(front.serving(boss))
    worker.real.reconfigure(peers={boss_urn: boss_url})
    boss.real.reconfigure(peers={WORKER: stack.enter_context(front.serving(worker))})
    client = stack.enter_context(front.client(boss_url))
    with client.stream("whole", {}) as payloads:
        told = list(payloads)
    part_id = told[-1].result["part"]
    heard = [payload for payload in told if isinstance(payload, TaskUpdate) and payload.progress]
    assert [payload.task_id for payload in heard] == [told[-1].task_id]
    subtask = heard[0].progress["subtask"]
    assert (subtask["task_id"], subtask["progress"]) == (part_id, {"percent": 30, "message": "in part"})


def test_config_timeout(front, stack):
    """A caller may ask for less time than the agent gives: the handler knows, and is cut off where that can be."""
    agent = front.agent(limits=Limits(handler_seconds=30))
    deadlines = []

    @agent.skill("work")
    def work(task):
        deadlines.append((task.deadline - datetime.now(UTC)).total_seconds())
        yield front.pause(0.3 if task.config["timeout"] < 1 else 0)
        return {"done": True}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    if front.name == "sync":
        assert client.request("work", {}, config={"timeout": 0.05}).result == {"done": True}
    else:
        with pytest.raises(HandlerTimedOut):
            client.request("work", {}, config={"timeout": 0.05})
        state = client.wait(client.submit("work", {}, config={"timeout": 0.05}).task_id, **SOON)
        assert isinstance(state.error, HandlerTimedOut)
    assert client.request("work", {}, config={"timeout": 9}).result == {"done": True}
    assert client.request("work", {}, config={"timeout": 900}).result == {"done": True}
    assert 0 < deadlines[0] <= 0.05
    assert 8 < deadlines[-2] <= 9
    assert 29 < deadlines[-1] <= 30


def test_a_skill_as_a_tool(front, stack):
    """A tool call runs the skill of its name: with its arguments, and its result or its failure as a tool's."""
    agent = front.agent()

    @agent.skill("add")
    def add(task):
        return {"sum": sum(task.input["terms"])}

    @agent.skill("fail")
    def fail(task):
        raise ValueError("secret")

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))

    def call(name, **arguments):
        reply = client.send(client.role.compose(WORKER, McpToolCall("call-1", name, arguments)))
        assert isinstance(reply.payload, McpToolResult)
        assert reply.payload.request_id == "call-1"
        return reply.payload

    assert (call("add", terms=[1, 2]).success, call("add", terms=[1, 2]).result) == (True, {"sum": 3})
    for name in ("fail", "missing"):
        result = call(name)
        assert (result.success, result.result) == (False, None)
        assert result.error
        assert "secret" not in result.error


def test_a_stop_lets_tasks_end(front):
    """What runs when the server is told to stop may end, within the grace it is given."""
    agent = front.agent(limits=Limits(grace_seconds=10))
    ended, started = [], []

    @agent.skill("work")
    def work(task):
        started.append(task.id)
        yield front.pause(0.3)
        yield task.save({"n": 1})
        ended.append(task.id)
        return {}

    with front.serving(agent) as url, front.client(url) as client:
        task_id = client.submit("work", {}).task_id
        holds(lambda: started)
    assert ended == [task_id]


def test_a_stop_does_not_wait_for_ever(front, stack):
    """What does not end in time is cut off where that can be, and never holds up the stop."""
    agent = front.agent(limits=Limits(grace_seconds=0.1))
    cut, started = [], []
    over = threading.Event()
    stack.callback(over.set)

    @agent.skill("work")
    def work(task):
        started.append(task.id)
        try:
            yield front.until(over.is_set)
        except BaseException as error:
            cut.append(type(error).__name__)
            raise

    begun = datetime.now(UTC)
    with front.serving(agent) as url, front.client(url) as client:
        client.submit("work", {})
        holds(lambda: started)
    assert datetime.now(UTC) - begun < timedelta(seconds=5)
    assert cut == {"asyncio": ["CancelledError"], "trio": ["Cancelled"], "sync": []}[front.name]


class Overtaking(MemoryState):
    """Where the first task is cancelled just before its run is written down."""

    overtaken = False

    def write(self, change):
        held = self.read(change.record.job.task_id, now=0.0)
        if not self.overtaken and (held.status, change.record.status) == (SUBMITTED, WORKING):
            self.overtaken = True
            over = {"status": CANCELLED, "cancel": "", "owner": "", "expires": held.updated + 60}
            assert super().write(Change(evolve(held, version=held.version + 1, **over)))
        return super().write(change)


def test_cancelled_as_it_begins(front, stack):
    """A task that is cancelled just as it begins never runs, and takes nothing else down with it."""
    agent = front.agent(store=Overtaking())
    ran = []

    @agent.skill("work")
    def work(task):
        ran.append(task.id)
        return {}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    first = client.submit("work", {})
    assert client.wait(first.task_id, **SOON).status is CANCELLED
    second = client.submit("work", {})
    assert client.wait(second.task_id, **SOON).status is COMPLETED
    assert ran == [second.task_id]


def test_a_waiting_task_is_patient(front, stack):
    """What was submitted waits for a thread, where a request would be refused; and is cancelled while it does."""
    agent = front.agent(limits=Limits(handler_threads=1))
    started, over = [], threading.Event()
    stack.callback(over.set)

    def work(task):
        started.append(task.id)
        assert over.wait(10)
        return {}

    agent.real.skill("work")(work)
    url = stack.enter_context(front.serving(agent))
    client, other = (stack.enter_context(front.client(url, retry=RetryRule(attempts=1))) for _ in range(2))
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(other.request, "work", {})
        holds(lambda: started)
        patient, cancelled = (client.submit("work", {}).task_id for _ in range(2))
        with pytest.raises(Overloaded):
            client.request("work", {})
        assert client.cancel(cancelled).status is CANCELLED
        over.set()
        assert asked.result(10).status is COMPLETED
        assert client.wait(patient, **SOON).status is COMPLETED
    assert sorted(started) == sorted([asked.result().task_id, patient])
