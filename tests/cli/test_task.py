"""`asap task` and `asap state`: a store looked into, and a running agent asked."""

import json
import sqlite3
import time

import pytest
from attrs import evolve

from asap_adapters import sync as on_sync
from asap_adapters._shared.tasks import compose_request
from asap_adapters.stores.sqlite import SqliteState
from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.stores import NEVER, Change, Job, Slot, TaskEvent, TaskRecord
from asap_proto.stores.records import time_of

AGENT = "urn:asap:agent:kept"
DATA = {"so": "far"}
OTHER = "urn:asap:agent:other"

DONE, FAILED, WAITING = "task_01DONE", "task_02FAILED", "task_03WAITING"
LOST, HELD, READY, TOLD = "task_04LOST", "task_05HELD", "task_06READY", "task_07TOLD"


@pytest.fixture
def client():
    """Composes requests; nobody is reached."""
    with on_sync.Client("http://127.0.0.1:1", me="urn:asap:agent:me", peer=AGENT) as made:
        yield made


def reply_of(client, task_id, **members):
    """The member that a request was answered with."""
    payload = {"task_id": task_id, "status": "completed", **members}
    envelope = {"id": "e", "payload_type": "task.response", "payload": payload}
    return json.dumps({"result": {"envelope": envelope}})[1:-1].encode()


@pytest.fixture
def filled(tmp_path, client):
    """A store with a task in each situation; answers its file."""
    now = time.time()

    def record(id, status, *, owner="", lease=0.0, **changes):
        request = compose_request(client.role, AGENT, "sum", {"n": 1})
        job = Job(request.payload, request, id, 0, None, "sum", Slot("me", id, b"d"), now, 100)
        return TaskRecord(job, status, owner, lease, now, events=1, **changes)

    error = json.dumps({"error": {"code": -32603, "message": "Internal error", "data": {"code": "asap:x"}}})[1:-1]
    over = {"expires": now + 3600, "runs": 1}
    records = [
        record(DONE, TaskStatus.COMPLETED, reply=reply_of(client, DONE, result={"sum": 1}), **over),
        record(FAILED, TaskStatus.FAILED, reply=error.encode(), **over),
        record(WAITING, TaskStatus.INPUT_REQUIRED, lease=NEVER, question={"question": "how many?"}, runs=1),
        record(LOST, TaskStatus.WORKING, owner="worker_gone", lease=now - 1, runs=1),
        record(HELD, TaskStatus.WORKING, owner="worker_here", lease=now + 3600, runs=1),
        record(READY, TaskStatus.SUBMITTED),
    ]
    with SqliteState(tmp_path / "tasks.db", agent=AGENT) as state:
        for each in records:
            # As it came to be: accepted, then written.
            state.accept(
                evolve(each, status=TaskStatus.SUBMITTED, reply=None, expires=NEVER),
                None,
                (TaskEvent(1, now, "status_change", TaskStatus.SUBMITTED),),
                now=now,
            )
            snapshot = None
            if each.id == DONE:
                for version in (1, 2):
                    snapshot = StateSnapshot(
                        f"snap_{version}", DONE, version, {"so": "far"}, time_of(now), version == 2
                    )
                    each = evolve(each, version=each.version + 1, snapshots=version)
                    if version == 1:
                        state.write(Change(evolve(each, status=TaskStatus.SUBMITTED, expires=NEVER), (), snapshot))
                event = TaskEvent(2, now, "progress", TaskStatus.WORKING, {"percent": 50, "message": "[half]"})
                each = evolve(each, events=2)
                state.write(Change(each, (event,), snapshot))
            else:
                state.write(Change(evolve(each, version=2)))
    return "tasks.db"


def test_list(asap, filled):
    """Every task is a row: its id, skill, status, runs and owner."""
    ended = asap("task", "list", "--state", filled)
    assert ended.exit_code == 0, ended.err
    rows = [line.split() for line in ended.out.splitlines() if line.strip().startswith("task_")]
    assert [row[:3] for row in rows] == [
        [DONE, "sum", "completed"],
        [FAILED, "sum", "failed"],
        [WAITING, "sum", "input_required"],
        [LOST, "sum", "working"],
        [HELD, "sum", "working"],
        [READY, "sum", "submitted"],
    ]
    assert rows[3][-2:] == ["1", "worker_gone"]
    assert rows[5][-2:] == ["0", "-"]


def test_list_for_machines(asap, filled):
    """--status and --json: an array of records."""
    documents = asap("task", "list", "--state", f"sqlite:///{filled}", "--status", "working", "--json").document
    assert [document["id"] for document in documents] == [LOST, HELD]
    assert documents[1]["owner"] == "worker_here"
    assert documents[1]["idempotency_key"] == HELD
    assert "lease_until" in documents[1]


def test_state_from_the_environment(asap, filled):
    """ASAP_STATE names the store too; left empty it is none."""
    assert len(asap("task", "list", "--json", env={"ASAP_STATE": filled}).document) == 6
    ended = asap("task", "list", "--json", env={"ASAP_STATE": ""})
    assert ended.exit_code == 2
    assert "--state FILE or URL" in ended.err


def test_show(asap, filled):
    """A page: how it stands, its log, its snapshots, its result."""
    ended = asap("task", "show", DONE, "--state", filled)
    assert ended.exit_code == 0, ended.err
    assert f"id              {DONE}" in ended.out
    assert "status          completed" in ended.out
    assert '{"percent":50,"message":"[half]"}' in ended.out
    assert "snap_1" in ended.out
    assert "snap_2" in ended.out
    assert 'Result:\n{\n  "sum": 1\n}' in ended.out
    assert '"question":"how many?"' in asap("task", "show", WAITING, "--state", filled).out


def test_show_for_machines(asap, filled):
    """One document with the log, the snapshots, and the result or the error."""
    document = asap("task", "show", DONE, "--state", filled, "--json").document
    assert document["status"] == "completed"
    assert document["request"]["input"] == {"n": 1}
    assert [line["kind"] for line in document["log"]] == ["status_change", "progress"]
    assert [snapshot["version"] for snapshot in document["snapshots"]] == [1, 2]
    assert document["result"] == {"sum": 1}
    assert asap("task", "show", FAILED, "--state", filled, "--json").document["error"]["code"] == -32603


@pytest.mark.parametrize("command", ["task show", "task cancel", "task resume", "task export", "state"])
def test_task_that_is_not_there(asap, filled, command):
    """A task that nobody knows is exit code 1."""
    ended = asap(*command.split(), "task_none", "--state", filled, "--json")
    assert ended.exit_code == 1
    assert ended.document["error"]["code"] == "asap:task/not_found"
    assert "task_none" in ended.err


@pytest.mark.parametrize("task_id", [WAITING, LOST, READY])
def test_cancel_what_nobody_runs(asap, filled, task_id):
    """What waits, what was never begun and what lost its worker is cancelled at once, with its reason."""
    ended = asap("task", "cancel", task_id, "--state", filled, "--reason", "enough")
    assert ended.exit_code == 0, ended.err
    assert ended.out == f"{task_id} is cancelled\n"
    document = asap("task", "show", task_id, "--state", filled, "--json").document
    assert document["status"] == "cancelled"
    assert document["cancel"] == "enough"
    assert document["log"][-1]["status"] == "cancelled"


def test_cancel_what_runs(asap, filled, tmp_path):
    """A worker that runs a task is asked to stop it: it finds the flag at its next beat."""
    ended = asap("task", "cancel", HELD, "--state", filled, "--reason", "enough", "--wait", "0.1")
    assert ended.exit_code == 0, ended.err
    assert ended.out == f"{HELD} is working; its worker was asked to stop it\n"
    with SqliteState(tmp_path / filled, agent=AGENT) as state:
        record = state.read(HELD, now=time.time())
    assert (record.cancel, record.owner) == ("enough", "worker_here")


@pytest.mark.parametrize("task_id", [DONE, FAILED])
def test_cancel_what_is_over(asap, filled, task_id):
    """What is over can't be cancelled: exit code 1."""
    ended = asap("task", "cancel", task_id, "--state", filled, "--json")
    assert ended.exit_code == 1
    assert ended.document["error"]["code"] == "asap:task/already_completed"


@pytest.mark.parametrize(("task_id", "words"), [(LOST, []), (READY, []), (HELD, ["--force"])])
def test_resume(asap, filled, tmp_path, task_id, words):
    """A task whose worker is lost is free for the next one to take over."""
    ended = asap("task", "resume", task_id, "--state", filled, *words)
    assert ended.exit_code == 0, ended.err
    with SqliteState(tmp_path / filled, agent=AGENT) as state:
        record = state.read(task_id, now=time.time())
        assert (record.owner, record.lease) == ("", 0.0)
        taken = state.take_over("worker_new", now=time.time(), until=time.time() + 9, most=10)
    assert task_id in {each.id for each in taken}


@pytest.mark.parametrize(
    ("task_id", "says"),
    [(DONE, "asap task export"), (FAILED, "asap task export"), (WAITING, "waits for input"), (HELD, "--force")],
)
def test_resume_what_can_not_be(asap, filled, task_id, says):
    """What is over, what waits for input and what a worker holds is not resumed; it is told what to do."""
    ended = asap("task", "resume", task_id, "--state", filled)
    assert ended.exit_code == 1
    assert says in ended.err


def test_export(asap, filled, tmp_path):
    """All of a task in one document, to stdout or to a file."""
    document = asap("task", "export", DONE, "--state", filled).document
    assert set(document) == {"task", "request", "snapshots", "log", "result"}
    assert document["task"]["status"] == "completed"
    assert document["snapshots"][1]["checkpoint"] is True
    ended = asap("task", "export", DONE, "--state", filled, "--output", "out.json")
    assert (ended.exit_code, ended.out) == (0, "")
    assert json.loads((tmp_path / "out.json").read_text()) == document
    assert "error" in asap("task", "export", FAILED, "--state", filled).document
    ended = asap("task", "export", DONE, "--state", filled, "--output", "nowhere/out.json")
    assert ended.exit_code == 1
    assert "can't write nowhere/out.json" in ended.err


def test_state(asap, filled):
    """The data of the newest snapshot, or of another; with --json the whole snapshot."""
    assert asap("state", DONE, "--state", filled).document == {"so": "far"}
    assert asap("state", DONE, "--state", filled, "--version", "1", "--json").document["id"] == "snap_1"
    assert asap("state", DONE, "--state", filled, "--json").document["version"] == 2
    ended = asap("state", DONE, "--state", filled, "--version", "3")
    assert ended.exit_code == 1
    assert "no snapshot of version 3" in ended.err
    assert "saved no snapshot" in asap("state", READY, "--state", filled).err


def test_several_agents(asap, filled, tmp_path, client):
    """Where a store holds several agents, --agent says which; one that is not there is told, with those that are."""
    request = compose_request(client.role, OTHER, "sum", {})
    job = Job(request.payload, request, TOLD, 0, None, "sum", None, time.time(), 1)
    with SqliteState(tmp_path / filled, agent=OTHER) as state:
        state.accept(TaskRecord(job, TaskStatus.SUBMITTED, "", 0.0, time.time()), None, (), now=time.time())
    ended = asap("task", "list", "--state", filled)
    assert ended.exit_code == 2
    assert f"--agent: {AGENT}, {OTHER}" in ended.err
    documents = asap("task", "list", "--state", filled, "--agent", OTHER, "--json").document
    assert [document["id"] for document in documents] == [TOLD]
    ended = asap("task", "list", "--state", filled, "--agent", "urn:asap:agent:nobody")
    assert ended.exit_code == 1
    assert f"{AGENT}, {OTHER}" in ended.err
    assert asap("task", "list", "--state", filled, "--agent", "nobody").exit_code == 2


def test_what_is_no_store(asap, tmp_path):
    """A file that is not there, is no store, or is newer than we are is exit code 2; nothing is made by looking."""
    (tmp_path / "notes.txt").write_text("these are no tasks, but a text that is longer than a header" * 20)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE note (text)")
    other.close()
    with sqlite3.connect(tmp_path / "newer.db") as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    for name, says in [
        ("none.db", "there is no file"),
        ("notes.txt", "not a database"),
        ("other.db", "no state of an agent"),
        ("newer.db", "of a later release"),
        ("memory", "--url"),
        ("ftp://x", "redis://HOST"),
    ]:
        ended = asap("task", "list", "--state", name)
        assert (ended.exit_code, ended.out) == (2, ""), name
        assert says in ended.err
    assert not (tmp_path / "none.db").exists()
    empty = tmp_path / "empty.db"
    SqliteState(empty, agent=AGENT).close()
    ended = asap("task", "list", "--state", "empty.db")
    assert ended.exit_code == 1
    assert "holds no tasks" in ended.err


def test_a_store_that_fails_on_the_way(asap, filled, tmp_path):
    """What befalls a store that could be opened is told in words too, and is no error of ours."""
    with sqlite3.connect(tmp_path / filled) as broken:
        broken.execute("DROP TABLE snapshot")
    broken.close()
    for words in (["task", "show", DONE], ["state", DONE], ["task", "export", DONE]):
        ended = asap(*words, "--state", filled)
        assert (ended.exit_code, ended.out) == (1, "")
        assert f"can't use {tmp_path / filled}: no such table: snapshot" in ended.err


@pytest.fixture(scope="module")
def url():
    """A running agent with tasks in memory."""
    agent = on_sync.Agent(AGENT)

    @agent.skill("sum")
    def add(task):
        task.save({"so": "far"})
        task.save({"so": "good"})
        return {"sum": 1}

    @agent.skill("ask")
    def ask(task):
        return task.need_input("how many?")

    with on_sync.serving(agent.app()) as url:
        yield url
    agent.close()


def test_over_http(asap, url):
    """`show`, `cancel` and `state` ask a running agent, with --url."""
    done = asap("send", url, "--skill", "sum", "--submit").out.strip()
    while asap("task", "show", done, "--url", url, "--json").document["status"] != "completed":
        time.sleep(0.05)
    document = asap("task", "show", done, "--url", url, "--json").document
    assert document["skill"] == "sum"
    assert document["result"] == {"sum": 1}
    assert 'Result:\n{\n  "sum": 1\n}' in asap("task", "show", done, "--url", url).out
    assert asap("state", done, "--url", url).document == {"so": "good"}
    assert asap("state", done, "--url", url, "--version", "1").document == {"so": "far"}
    assert asap("state", done, "--url", url, "--version", "7").exit_code == 1
    waiting = json.loads(asap("send", url, "--skill", "ask", "--json").out)["payload"]["task_id"]
    assert "how many?" in asap("task", "show", waiting, "--url", url).out
    ended = asap("state", waiting, "--url", url)
    assert ended.exit_code == 1
    assert "saved no snapshot" in ended.err
    assert asap("task", "cancel", waiting, "--url", url, "--json").document == {"id": waiting, "status": "cancelled"}
    assert asap("task", "cancel", waiting, "--url", url).exit_code == 1
    ended = asap("task", "show", "task_none", "--url", url, "--json")
    assert ended.exit_code == 1
    assert ended.document["error"]["code"] == "asap:task/not_found"


def test_a_network_of_ones_own_is_no_dead_end(asap, url):
    """Whoever asks a running agent inside is refused, is told which option it takes, and is heard with it."""
    inside = url.replace("127.0.0.1", "0.0.0.0")  # it leads to the agent, and is not for everybody
    task = asap("send", url, "--skill", "ask", "--json").document["payload"]["task_id"]
    at = ["--url", inside, "--allow-http"]
    for words in (
        ["task", "show", task, *at],
        ["openapi", inside, "--allow-http"],
        ["task", "cancel", task, *at],
    ):
        refused = asap(*words)
        assert (refused.exit_code, refused.out) == (3, "")
        assert "--targets" in refused.err
        assert asap(*words, "--targets", "public, 0.0.0.0").exit_code == 0
    refused = asap("state", task, *at)
    assert refused.exit_code == 3
    heard = asap("state", task, *at, "--targets", "any")
    assert heard.exit_code == 1
    assert "saved no snapshot" in heard.err
