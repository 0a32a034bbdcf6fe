"""What a task knows: saved by its handler, asked for by its caller, gone on from."""

import pytest

from asap_proto import Limits, Misuse, TaskStatus
from asap_proto.errors import IllegalMove, SkillNotFound, SnapshotNotFound, TaskNotFound

from .fronts import WORKER, holds

COMPLETED, WAITING = TaskStatus.COMPLETED, TaskStatus.INPUT_REQUIRED
OTHER = "urn:asap:agent:other"
SOON = {"seconds": 10, "every": 0.01}


def counting(front, urn=WORKER, **options):
    """An agent that counts on from what it knows to ``to``, and saves each step; the last is a checkpoint."""
    agent = front.agent(urn, **options)

    @agent.skill("count")
    def count(task):
        known = yield task.load()
        start = known["n"] if known else 0
        for n in range(start + 1, task.input["to"] + 1):
            yield task.save({"n": n}, checkpoint=n == task.input["to"])
        return {"start": start, "by": task.caller, "runs": task.runs}

    return agent


@pytest.fixture
def client(front, stack):
    return stack.enter_context(front.client(stack.enter_context(front.serving(counting(front)))))


def test_save_and_load(front, stack):
    """What is saved has a version and an id, and is what is loaded; what the handler then does to it is its own."""
    agent = front.agent()

    @agent.skill("know")
    def know(task):
        assert (yield task.load()) is None
        data = {"list": [1, {"a": None}], "text": "\u2028"}
        first = yield task.save(data)
        data["list"].append(2)
        loaded = yield task.load()
        loaded["list"].append(3)
        second = yield task.save({"n": 2}, checkpoint=True)
        return {
            "versions": [first.version, second.version],
            "checkpoints": [first.checkpoint, second.checkpoint],
            "ids": [first.id, second.id],
            "loaded": loaded,
        }

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    reply = client.request("know", {})
    assert reply.result["versions"] == [1, 2]
    assert reply.result["checkpoints"] == [False, True]
    assert reply.result["loaded"] == {"list": [1, {"a": None}, 3], "text": "\u2028"}
    first, second = client.state(reply.task_id, 1).snapshot, client.state(reply.task_id).snapshot
    assert [first.id, second.id] == reply.result["ids"]
    assert first.data == {"list": [1, {"a": None}], "text": "\u2028"}
    assert (second.data, second.checkpoint, second.task_id) == ({"n": 2}, True, reply.task_id)


def test_query(client):
    """The newest snapshot, or that of a version; one that is not there is told, with the newest that is."""
    task_id = client.request("count", {"to": 3}).task_id
    state = client.state(task_id)
    assert (state.status, state.snapshot.version, state.snapshot.data) == (COMPLETED, 3, {"n": 3})
    assert (state.snapshot.checkpoint, state.request.skill_id, state.request.input) == (True, "count", {"to": 3})
    for version in (1, 2, 3):
        assert client.state(task_id, version).snapshot.data == {"n": version}
    for version in (4, 99):
        with pytest.raises(SnapshotNotFound) as caught:
            client.state(task_id, version)
        assert caught.value.facts["data"]["details"] == {"version": version, "newest": 3}
        assert caught.value.facts["data"]["path"] == "$.params.envelope.payload.version"
    with pytest.raises(TaskNotFound):
        client.state("task_missing")
    nothing = client.request("count", {"to": 0}).task_id
    assert client.state(nothing).snapshot is None
    with pytest.raises(SnapshotNotFound):
        client.state(nothing, 1)


def test_old_snapshots_go(front, stack):
    """As many are kept as the limit says."""
    agent = counting(front, limits=Limits(task_snapshots=2))
    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    task_id = client.request("count", {"to": 5}).task_id
    assert client.state(task_id, 4).snapshot.data == {"n": 4}
    with pytest.raises(SnapshotNotFound):
        client.state(task_id, 3)


def test_restore_what_is_over(client):
    """Nothing leads out of a final status: the work goes on as a new task, with the same input, from what was known."""
    done = client.request("count", {"to": 3}, conversation_id="talk")
    second = client.state(done.task_id, 2).snapshot
    again = client.restore(done.task_id, second.id)
    assert (again.task_id != done.task_id, again.status) == (True, TaskStatus.SUBMITTED)
    state = client.wait(again.task_id, **SOON)
    assert (state.status, state.result["start"], state.result["runs"]) == (COMPLETED, 2, 1)
    assert state.task.conversation_id == "talk"
    # Its own versions begin with what it was given.
    assert [client.state(again.task_id, version).snapshot.data for version in (1, 2)] == [{"n": 2}, {"n": 3}]
    assert client.state(done.task_id).result == done.result


def test_restore_what_is_not_there(client):
    """A task or a snapshot that nobody knows is told by its path."""
    task_id = client.request("count", {"to": 1}).task_id
    with pytest.raises(TaskNotFound):
        client.restore("task_missing", "snap_missing")
    with pytest.raises(SnapshotNotFound) as caught:
        client.restore(task_id, "snap_missing")
    assert caught.value.facts["data"]["path"] == "$.params.envelope.payload.snapshot_id"
    other = client.request("count", {"to": 1}).task_id
    with pytest.raises(SnapshotNotFound):
        client.restore(task_id, client.state(other).snapshot.id)


def test_restore_what_runs(front, stack):
    """A task that is running is not turned back under its handler's hands."""
    agent = front.agent()
    over = []

    @agent.skill("work")
    def work(task):
        yield task.save({"n": 1})
        yield front.until(lambda: over)
        return {}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    task_id = client.submit("work", {}).task_id
    holds(lambda: client.state(task_id).snapshot is not None)
    with pytest.raises(IllegalMove):
        client.restore(task_id, client.state(task_id).snapshot.id)
    over.append(1)
    assert client.wait(task_id, **SOON).status is COMPLETED


def test_restore_what_waits(front, stack):
    """A task that waits for input may be turned back: the same task goes on from the snapshot that is named."""
    agent = front.agent()

    @agent.skill("ask")
    def ask(task):
        known = yield task.load()
        if known != {"n": 1}:
            yield task.save({"n": 1})
            yield task.save({"n": 2})
            yield task.need_input("?")
        return {"known": known}

    client = stack.enter_context(front.client(stack.enter_context(front.serving(agent))))
    task_id = client.request("ask", {}).task_id
    assert client.state(task_id).snapshot.data == {"n": 2}
    answer = client.restore(task_id, client.state(task_id, 1).snapshot.id)
    assert answer.task_id == task_id
    state = client.wait(task_id, **SOON)
    assert (state.status, state.result) == (COMPLETED, {"known": {"n": 1}})


def test_restore_elsewhere(front, stack, client):
    """What one agent knew, another goes on from, where the caller brings it along."""
    other = stack.enter_context(front.client(stack.enter_context(front.serving(counting(front, OTHER)))))
    task_id = client.request("count", {"to": 5}).task_id
    brought = client.state(task_id, 2)
    answer = other.restore(task_id, brought.snapshot.id, brought=brought)
    assert answer.task_id != task_id
    assert other.wait(answer.task_id, **SOON).result["start"] == 2
    with pytest.raises(TaskNotFound):
        other.restore(task_id, brought.snapshot.id)
    with pytest.raises(SnapshotNotFound):
        other.restore(task_id, "snap_other", brought=brought)
    empty = client.state(client.request("count", {"to": 0}).task_id)
    with pytest.raises(Misuse):
        other.restore(empty.task_id, "snap_none", brought=empty)


def test_restore_where_nobody_can(front, stack, client):
    """An agent without the skill says so."""
    other = stack.enter_context(front.client(stack.enter_context(front.serving(front.agent(OTHER)))))
    brought = client.state(client.request("count", {"to": 1}).task_id)
    with pytest.raises(SkillNotFound):
        other.restore(brought.task_id, brought.snapshot.id, brought=brought)
