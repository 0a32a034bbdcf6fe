"""A store that fails for a while: whoever asks is told to come again, and what runs comes to its end all the same."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from asap_adapters.stores.sqlite import SqliteState
from asap_proto import Limits, TaskStatus
from asap_proto.errors import StateUnavailable
from asap_proto.rules.retry import RetryRule
from asap_proto.stores import MemoryState

from .fronts import WORKER, holds
from .test_streams import frame
from .test_tasks import Gate

COMPLETED, SUBMITTED = TaskStatus.COMPLETED, TaskStatus.SUBMITTED
SOON = {"seconds": 20, "every": 0.02}
ONCE = RetryRule(attempts=1)
PATIENT = RetryRule(attempts=50, base_seconds=0.05, most_seconds=0.1)


@pytest.fixture
def gate(front):
    gate = Gate(front)
    yield gate
    gate.opened.set()


@pytest.fixture
def state(stack, tmp_path):
    # Open for longer than the server that the test opens after it.
    return stack.enter_context(SqliteState(tmp_path / "tasks.db", agent=WORKER))


@contextmanager
def outage(state):
    """The file can't be written to while the block runs, as where its disk was mounted anew to be read only."""
    state._connection.execute("PRAGMA query_only = ON")
    try:
        yield
    finally:
        state._connection.execute("PRAGMA query_only = OFF")


class Forgetful:
    """A store of one's own, whose methods answer at once, or fail; what has failed is noted."""

    def __init__(self):
        self.inner, self.fails, self.failed = MemoryState(), False, []

    def __getattr__(self, name):
        if not self.fails:
            return getattr(self.inner, name)

        def fail(*given, **_):
            self.failed.append((name, given[:1]))
            raise OSError("password=hunter2: no space left")

        return fail


def test_a_store_of_ones_own_may_fail(front, stack, caplog):
    """Whoever asks is told to come again, and no more; then the same request is served."""
    state = Forgetful()
    agent = front.agent(store=state)
    agent.skill("echo")(lambda task: task.input)
    url = stack.enter_context(front.serving(agent))
    http = stack.enter_context(httpx.Client(base_url=url, trust_env=False))
    state.fails = True
    answer = http.post("/asap", json=frame("echo", key="once"))
    state.fails = False
    assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (503, "asap:state/unavailable")
    assert "hunter2" not in answer.text + caplog.text
    assert "the store failed to Accept: OSError" in caplog.text
    assert "result" in http.post("/asap", json=frame("echo", key="once")).json()


def test_whoever_asks_is_told_to_come_again(front, stack, state, caplog):
    """503 with Retry-After, in words of ours; then the same request is served, once."""
    agent, ran = front.agent(store=state), []
    agent.skill("count")(lambda task: ran.append(task.id) or {"n": len(ran)})
    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url, retry=ONCE))
    http = stack.enter_context(httpx.Client(base_url=url, trust_env=False))
    task_id = client.request("count", {}).task_id
    with outage(state):
        for path in ("/asap", "/asap/stream"):
            answer = http.post(path, json=frame("count", key="once"))
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["error"]["data"]["code"] == "asap:state/unavailable"
            assert "sqlite" not in answer.text.lower()
        for ask in (client.state, client.cancel):
            with pytest.raises(StateUnavailable):
                ask(task_id)
        with pytest.raises(StateUnavailable), client.follow(task_id) as payloads:
            next(payloads)
        assert http.get("/health").status_code == 200
    assert "the store failed to Accept: OperationalError: attempt to write a readonly database" in caplog.text
    for _ in range(2):
        answer = http.post("/asap", json=frame("count", key="once"))
        assert answer.json()["result"]["envelope"]["payload"]["result"] == {"n": 2}
    assert client.state(task_id).result == {"n": 1}


@pytest.mark.parametrize("how", ["request", "submit", "stream"])
def test_what_was_done_is_not_lost(front, stack, state, gate, caplog, how):
    """A handler that ends while the store is away is not run again: what it returned is kept when that is back."""
    agent = front.agent(store=state, limits=Limits(beat_seconds=0.1, lease_seconds=10.0))

    @agent.skill("work")
    def work(task):
        yield gate.wait(task)
        return {"runs": task.runs}

    url = stack.enter_context(front.serving(agent))
    client, other = (stack.enter_context(front.client(url, retry=PATIENT)) for _ in range(2))

    def ask():
        if how == "request":
            return client.request("work", {}).result
        if how == "submit":
            return client.wait(client.submit("work", {}).task_id, **SOON).result
        with client.stream("work", {}) as payloads:
            return [*payloads][-1].result

    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask)
        task_id = gate.arrived()
        with outage(state):
            gate.opened.set()
            holds(lambda: "the store failed to Write" in caplog.text)
        assert asked.result(20) == {"runs": 1}
    assert other.wait(task_id, **SOON).result == {"runs": 1}


def test_what_is_saved_waits_for_the_store(front, stack, state, gate, caplog):
    """A handler that saves, or tells of its progress, while the store is away goes on when that is back."""
    agent = front.agent(store=state)

    @agent.skill("work")
    def work(task):
        yield gate.wait(task)
        yield task.save({"n": 1})
        yield task.progress(50)
        known = yield task.load()
        return {"known": known}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    task_id = client.submit("work", {}).task_id
    gate.arrived()
    with outage(state):
        gate.opened.set()
        holds(lambda: "the store failed to Write" in caplog.text)
    assert client.wait(task_id, **SOON).result == {"known": {"n": 1}}


@pytest.mark.parametrize(("call", "asked"), [("load", "snapshot"), ("need_input", "read")])
def test_what_is_read_waits_for_the_store(front, stack, gate, call, asked):
    """A handler that loads, or looks for an answer, while the store is away goes on in the same run when it is back."""
    state = Forgetful()
    agent = front.agent(store=state)

    @agent.skill("work")
    def work(task):
        yield task.save({"n": 1})
        yield gate.wait(task)
        known = (yield task.load()) if call == "load" else (yield task.need_input("How many?"))["input"]
        return {"runs": task.runs, "known": known}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    task_id = client.submit("work", {}).task_id
    gate.arrived()
    state.fails = True
    gate.opened.set()
    holds(lambda: (asked, (task_id,)) in state.failed)
    state.fails = False
    if call == "need_input":
        holds(lambda: client.state(task_id).question == {"question": "How many?"})
        client.tell(task_id, {"n": 1})
    assert client.wait(task_id, **SOON).result == {"runs": 1 if call == "load" else 2, "known": {"n": 1}}


def test_a_handler_whose_store_was_away_for_too_long_is_run_again(front, stack, state, gate):
    """It goes on from what it had saved: that its store was away is no failure of its task."""
    agent, ended = front.agent(store=state, limits=Limits(beat_seconds=0.1, lease_seconds=0.4)), []

    @agent.skill("work")
    def work(task):
        if task.runs == 1:
            yield task.save({"n": 1})
            yield gate.wait(task)
            try:
                yield task.save({"n": 2})
            except StateUnavailable:
                ended.append(task.id)
                raise
        known = yield task.load()
        return {"runs": task.runs, "known": known}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent)), retry=PATIENT))
    task_id = client.submit("work", {}).task_id
    gate.arrived()
    with outage(state):
        gate.opened.set()
        holds(lambda: ended == [task_id])
    assert client.wait(task_id, **SOON).result == {"runs": 2, "known": {"n": 1}}


def test_a_stream_goes_on_after_an_outage(front, stack, state, gate, caplog):
    """Its reader is sent away, asks again, and misses nothing."""
    agent = front.agent(store=state, limits=Limits(stream_beat_seconds=0.05))

    @agent.skill("work")
    def work(task):
        yield task.progress(1)
        yield gate.wait(task)
        yield task.progress(2)
        return {}

    url = stack.enter_context(front.serving(agent))
    client = stack.enter_context(front.client(url, retry=PATIENT))
    told = []
    with client.stream("work", {}) as payloads:
        for payload in payloads:
            told.append(payload)
            if getattr(payload, "progress", None) == {"percent": 1}:
                with outage(state):
                    holds(lambda: "the store failed to Read" in caplog.text)
                gate.opened.set()
    assert [payload.progress["percent"] for payload in told[:-1] if payload.progress] == [1, 2]
    assert told[-1].status is COMPLETED
