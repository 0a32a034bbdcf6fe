"""`asap serve`: real processes, real sockets, real signals."""

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

RUNTIMES = ["asyncio", "trio", "sync"]


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_and_stops(asap, serving, agent_module, runtime, number):
    """What it says it listens on answers at once; a signal ends it with exit code 0."""
    with serving(agent_module(runtime)) as running:
        assert running.line == {"url": running.url, "pid": running.process.pid}
        document = asap("manifest", running.url, "--json").document
        assert document["endpoints"]["asap"] == f"{running.url}/asap"
        result = asap("send", running.url, "--skill", "echo", "--input", '{"n": 1}').document
        assert result == {"echoed": {"n": 1}}
        ended = running.stop(number)
    assert ended.exit_code == 0, ended.err
    assert (ended.out, ended.err) == ("", "")


def pid_of(asap, url):
    return asap("send", url, "--skill", "pid").document["pid"]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_workers(asap, serving, agent_module, runtime):
    """Several workers are processes of their own; all of them end with the one that started them."""
    with serving(agent_module(runtime), "--workers", "2") as running:
        worker = pid_of(asap, running.url)
        assert worker != running.process.pid
        ended = running.stop()
    assert ended.exit_code == 0, ended.err
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_ctrl_c_reaches_every_process(serving, agent_module, runtime):
    """Ctrl-C is heard by the workers too, and still all end well."""
    with serving(agent_module(runtime), "--workers", "2") as running:
        ended = running.press_ctrl_c()
    assert ended.exit_code == 0
    assert (ended.out, ended.err) == ("", "")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_workers_do_not_outlive_their_parent(serving, agent_module, runtime):
    """When the process that started them is killed, the workers end, and give the port back."""
    with serving(agent_module(runtime), "--workers", "2") as running:
        running.process.kill()
        running.process.wait()
        address = ("127.0.0.1", int(running.url.rpartition(":")[2]))
        deadline = time.monotonic() + 30
        while listens(address) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not listens(address)


def listens(address):
    """Whether a connection is taken; one that breaks while it is made met a listener that goes away."""
    try:
        socket.create_connection(address, timeout=30).close()
    except ConnectionRefusedError:
        return False
    except OSError:
        pass
    return True


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_worker_that_dies_is_replaced(asap, serving, agent_module, runtime):
    """A worker that is killed is told of, and replaced."""
    with serving(agent_module(runtime), "--workers", "2") as running:
        seen = {pid_of(asap, running.url)}
        for worker in seen:
            os.kill(worker, signal.SIGKILL)
        line = running.process.stderr.readline()
        assert "starting another" in line
        # Both are gone, so that only new ones can answer.
        deadline = time.monotonic() + 60
        while pid_of(asap, running.url) in seen and time.monotonic() < deadline:
            time.sleep(0.05)
        assert pid_of(asap, running.url) not in seen
        assert running.stop().exit_code == 0


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_workers_that_can_not_start(asap_process, agent_module, tmp_path, runtime):
    """An app that fails in each worker ends the whole, with exit code 1."""
    agent_module(runtime)
    source = (tmp_path / f"mine_{runtime}.py").read_text()
    (tmp_path / f"mine_{runtime}.py").write_text(
        source + "import multiprocessing\nassert multiprocessing.parent_process() is None\n"
    )
    ended = asap_process("serve", f"mine_{runtime}:agent", "--workers", "2", "--port", "0")
    assert ended.exit_code == 1
    assert "before it listened" in ended.err
    assert "AssertionError" in ended.err


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_settings_from_the_environment(asap, serving, agent_module, runtime):
    """The environment sets what the command line leaves out; settings left empty are none."""
    env = {
        "ASAP_RATE_LIMIT": "1/hour",
        "ASAP_MAX_REQUEST_SIZE": "2000",
        "ASAP_MAX_THREADS": "",
        "ASAP_LOG_LEVEL": "ERROR",
        "ASAP_COMPRESS": "yes",
    }
    manifest = "/.well-known/asap/manifest.json"
    with serving(agent_module(runtime), env=env) as running:
        assert "accept-encoding" in httpx.get(running.url + manifest, trust_env=False).headers
        assert asap("send", running.url, "--skill", "echo").exit_code == 0
        ended = asap("send", running.url, "--skill", "echo", "--json")
        assert ended.exit_code == 3
        assert ended.document["error"]["code"] == "asap:transport/rate_limited"
    with serving(agent_module(runtime), "--rate-limit", "none", "--no-compress", env=env) as running:
        assert "accept-encoding" not in httpx.get(running.url + manifest, trust_env=False).headers
        assert asap("send", running.url, "--skill", "echo").exit_code == 0
        assert asap("send", running.url, "--skill", "echo").exit_code == 0
        ended = asap(
            "send", running.url, "--skill", "echo", "--input", f'{{"text": "{os.urandom(2000).hex()}"}}', "--json"
        )
        assert ended.exit_code == 3
        assert ended.document["error"]["code"] == "asap:transport/too_large"


def test_nobody_else_reads_the_environment(asap_process):
    """Settings in the environment are for `serve` alone: nonsense there hurts no other command."""
    nonsense = {"ASAP_RATE_LIMIT": "nonsense", "ASAP_MAX_REQUEST_SIZE": "big", "ASAP_DEBUG": "perhaps"}
    assert asap_process("demo", env=nonsense).exit_code == 0


@pytest.mark.parametrize(
    ("env", "says"),
    [
        ({"ASAP_RATE_LIMIT": "often"}, "'10/second;100/minute'"),
        ({"ASAP_MAX_REQUEST_SIZE": "big"}, "ASAP_MAX_REQUEST_SIZE"),
        ({"ASAP_DEBUG": "perhaps"}, "ASAP_DEBUG"),
        ({"ASAP_LOG_LEVEL": "loud"}, "debug, info"),
    ],
)
def test_settings_that_are_none(asap_process, agent_module, env, says):
    """A setting that can't be used is named, with what could."""
    ended = asap_process("serve", agent_module("asyncio"), "--port", "0", env=env)
    assert ended.exit_code == 2
    assert says in ended.err


def test_url_for_the_manifest(asap, serving, agent_module):
    """--url is what the manifest tells others."""
    with serving(agent_module("asyncio"), "--url", "https://agents.example/") as running:
        assert asap("manifest", running.url, "--json").document["endpoints"]["asap"] == "https://agents.example/asap"


def test_logs(agent_module, serving, asap):
    """--debug logs to stderr alone."""
    with serving(agent_module("trio"), "--debug") as running:
        assert asap("send", running.url, "--skill", "fail").exit_code == 1
        ended = running.stop()
    assert ended.out == ""
    assert "ValueError: a secret" in ended.err


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_port_that_is_taken(asap_process, agent_module, runtime):
    """A port that is taken is told, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = asap_process("serve", agent_module(runtime), "--port", taken.getsockname()[1], "--json")
    assert ended.exit_code == 1
    assert "--port 0" in ended.document["error"]["remedy"]
    assert "in use" in ended.err


def test_port_of_another_of_ours(asap_process, serving, agent_module):
    """Two agents never share a port without knowing, whatever their server allows."""
    target = agent_module("sync")
    with serving(target) as running:
        ended = asap_process("serve", target, "--port", running.url.rpartition(":")[2])
    assert ended.exit_code == 1
    assert "in use" in ended.err


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_address_of_another_machine(asap_process, agent_module, host):
    """An address that is not ours is told, with what to do."""
    ended = asap_process("serve", agent_module("asyncio"), "--host", host, "--port", "0")
    assert ended.exit_code == 1
    assert "0.0.0.0" in ended.err


@pytest.mark.parametrize(
    ("target", "words", "says"),
    [
        ("mine_asyncio", [], "module:agent"),
        (":agent", [], "module:agent"),
        ("nowhere:agent", [], "no module nowhere"),
        ("mine_asyncio.inner:agent", [], "no module"),
        ("mine_asyncio:agnet", [], "Its agents: mine_asyncio:agent."),
        ("mine_asyncio:number", [], "of type int"),
        ("mine_asyncio:app", [], "Name the agent itself"),
        ("mine_asyncio:agent", ["--runtime", "sync"], "--runtime asyncio"),
        ("mine_asyncio:agent", ["--runtime", "trio"], "--runtime asyncio"),
        ("mine_sync:agent", ["--runtime", "trio"], "asap_adapters.trio.Agent"),
        ("json:loads", [], "It has no agent"),
        ("broken:agent", [], "ZeroDivisionError"),
        ("lacking:agent", [], "No module named 'nowhere'"),
        ("refused:agent", [], "Correct the value"),
        ("mine_asyncio:agent", ["--workers", "0"], "--workers"),
        ("mine_asyncio:agent", ["--port", "70000"], "--port"),
    ],
)
def test_target_that_is_none(asap_process, agent_module, tmp_path, target, words, says):
    """Whatever is wrong with the target, it is told with what to do, and without a traceback."""
    agent_module("asyncio")
    agent_module("sync")
    (tmp_path / "broken.py").write_text("agent = 1 / 0\n")
    (tmp_path / "lacking.py").write_text("import nowhere\n")
    (tmp_path / "refused.py").write_text("from asap_adapters.sync import Agent\nagent = Agent('me')\n")
    ended = asap_process("serve", target, *words)
    assert ended.exit_code == 2
    assert says in ended.err


def test_debug_shows_where_a_module_is_broken(asap_process, tmp_path):
    """--debug shows the traceback of the user's own module."""
    (tmp_path / "broken.py").write_text("agent = 1 / 0\n")
    ended = asap_process("serve", "broken:agent", "--debug")
    assert ended.exit_code == 2
    assert 'broken.py", line 1' in ended.err


def test_app_dir(serving, asap, agent_module, tmp_path):
    """--app-dir is where the module is looked for."""
    target = agent_module("asyncio")
    (tmp_path / "inner").mkdir()
    (tmp_path / "mine_asyncio.py").rename(tmp_path / "inner" / "mine_asyncio.py")
    with serving(target, "--app-dir", "inner", "--workers", "2") as running:
        assert asap("manifest", running.url).exit_code == 0


LASTING = """
from asap_adapters.{runtime} import Agent
from asap_proto.limits import Limits
{imports}

agent = Agent("urn:asap:agent:lasting", limits=Limits(lease_seconds=1.0, beat_seconds=0.1))


@agent.skill("count")
{colour}def count(task):
    known = {wait}task.load() or {{"runs": 0}}
    {wait}task.save({{"runs": known["runs"] + 1}})
    {wait}sleep(task.input.get("seconds", 0) if task.runs == 1 else 0)
    {wait}task.progress(100)  # where a plain function hears that it is cancelled
    return {{"runs": known["runs"] + 1}}
"""
SLEEP = {"asyncio": "from asyncio import sleep", "trio": "from trio import sleep", "sync": "from time import sleep"}


@pytest.fixture
def lasting(tmp_path):
    """Writes a module with an agent whose tasks save what they know; answers what to call it by."""

    def write(runtime):
        words = {"colour": "", "wait": ""} if runtime == "sync" else {"colour": "async ", "wait": "await "}
        source = LASTING.format(runtime=runtime, imports=SLEEP[runtime], **words)
        (tmp_path / f"lasting_{runtime}.py").write_text(source)
        return f"lasting_{runtime}:agent"

    return write


def settled(asap, task_id):
    """The task, once it is over."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        document = asap("task", "show", task_id, "--state", "tasks.db", "--json").document
        if document["status"] in ("completed", "failed", "cancelled"):
            return document
        time.sleep(0.1)
    raise AssertionError(document)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_state_outlives_the_server(asap, serving, lasting, runtime, workers):
    """What runs when the grace is over is given back; the next server goes on with it before anybody asks."""
    words = [lasting(runtime), "--state", "tasks.db", "--workers", workers, "--grace", "0.3"]
    with serving(*words) as running:
        submit = ["send", running.url, "--skill", "count", "--submit", "--input"]
        long = asap(*submit, '{"seconds": 60}').out.strip()
        while not asap("task", "show", long, "--state", "tasks.db", "--json").document["snapshots"]:
            time.sleep(0.1)
        short = asap(*submit, '{"seconds": 0}').out.strip()
        assert settled(asap, short)["result"] == {"runs": 1}
        started = time.monotonic()
        ended = running.stop()
        assert ended.exit_code == 0, ended.err
        assert time.monotonic() - started < 5
    assert asap("task", "show", long, "--state", "tasks.db", "--json").document["status"] == "working"
    with serving(*words[:-2], env={"ASAP_GRACE": "0.3"}) as running:
        assert settled(asap, long)["result"] == {"runs": 2}
        assert asap("task", "show", short, "--url", running.url, "--json").document["result"] == {"runs": 1}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_running_work_ends_within_the_grace(asap, serving, lasting, runtime):
    """Work that ends within the grace is not cut off: it is completed by the server that was told to stop."""
    with serving(lasting(runtime), "--grace", "30", env={"ASAP_STATE": "sqlite:///tasks.db"}) as running:
        task_id = asap("send", running.url, "--skill", "count", "--submit", "--input", '{"seconds": 1.5}').out.strip()
        assert running.stop().exit_code == 0
    document = asap("task", "show", task_id, "--state", "tasks.db", "--json").document
    assert (document["status"], document["runs"]) == ("completed", 1)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_request_that_outlasts_the_grace(asap, asap_process, serving, lasting, runtime):
    """Who waits for work that is given back, or follows it, is told to come again; and the server's log is silent."""
    with (
        serving(lasting(runtime), "--state", "tasks.db", "--grace", "0.5") as running,
        ThreadPoolExecutor(2) as threads,
    ):
        send = ["send", running.url, "--skill", "count", "--input", '{"seconds": 60}', "--json"]
        asked = threads.submit(asap_process, *send)
        followed = threads.submit(asap_process, *send, "--stream")
        while asap("task", "list", "--state", "tasks.db").exit_code != 0:
            time.sleep(0.05)
        while sum(row["snapshots"] for row in asap("task", "list", "--state", "tasks.db", "--json").document) < 2:
            time.sleep(0.05)
        started = time.monotonic()
        ended = running.stop()
        assert time.monotonic() - started < 5
        answers = [asked.result(30), followed.result(30)]
    assert (ended.exit_code, ended.out, ended.err) == (0, "", "")
    assert [answer.exit_code for answer in answers] == [3, 3]
    codes = [json.loads(answer.out[answer.out.index('{\n  "error"') :])["error"]["code"] for answer in answers]
    assert codes == ["asap:transport/thread_pool_exhausted", "asap:transport/unreachable"]
    rows = asap("task", "list", "--state", "tasks.db", "--json").document
    assert [row["status"] for row in rows] == ["working"] * 2
    assert not any("lease_until" in row for row in rows)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_cancel_in_the_store_reaches_the_worker(asap, serving, lasting, runtime):
    """`asap task cancel --state` stops a handler that runs in another process."""
    with serving(lasting(runtime), "--state", "tasks.db", "--grace", "0.1") as running:
        task_id = asap("send", running.url, "--skill", "count", "--submit", "--input", '{"seconds": 3}').out.strip()
        ended = asap("task", "cancel", task_id, "--state", "tasks.db", "--wait", "30")
        assert ended.out == f"{task_id} is cancelled\n", ended.err
        assert running.stop().exit_code == 0


@pytest.mark.parametrize(("runtime", "workers"), [("asyncio", "1"), ("trio", "2"), ("sync", "1")])
def test_state_that_can_not_be(asap_process, lasting, tmp_path, runtime, workers):
    """A store that can't be used ends the command before it listens, with exit code 2, whatever serves."""
    (tmp_path / "notes.txt").write_text("these are no tasks, but a text that is longer than a header" * 20)
    for where, says in [("notes.txt", "not a database"), ("nowhere/tasks.db", "can't use")]:
        ended = asap_process("serve", lasting(runtime), "--port", "0", "--state", where, "--workers", workers)
        assert ended.exit_code == 2
        assert says in ended.err
        assert ended.out == ""


@pytest.mark.parametrize(
    ("words", "exit_code", "says"),
    [
        (["--state", "ftp://x"], 2, "redis://HOST"),
        (["--state", "sqlite://"], 2, "no file is named"),
        (["--grace", "-1"], 2, "--grace"),
    ],
)
def test_state_and_grace_that_are_none(asap_process, lasting, words, exit_code, says):
    """What names no store, and no time, is told with what would."""
    ended = asap_process("serve", lasting("asyncio"), "--port", "0", *words)
    assert ended.exit_code == exit_code
    assert says in ended.err


def test_memory_is_no_store(asap, serving, lasting):
    """--state memory keeps nothing, whatever the environment says."""
    with serving(lasting("asyncio"), "--state", "memory", env={"ASAP_STATE": "tasks.db"}) as running:
        assert asap("send", running.url, "--skill", "count").document == {"runs": 1}
        assert asap("manifest", running.url, "--json").document["capabilities"]["state_persistence"] is False
    assert asap("task", "list", "--state", "tasks.db").exit_code == 2


@pytest.mark.parametrize("runtime", ["asyncio", "trio"])
def test_app_that_can_not_start(asap_process, tmp_path, runtime):
    """A store of the agent's own that can't be opened ends the command with exit code 1; nothing is served without."""
    (tmp_path / "hopeless.py").write_text(f"""
from asap_adapters.{runtime} import Agent

class Store:
    async def __aenter__(self):
        raise OSError("no server there")

    async def __aexit__(self, *_):
        pass

agent = Agent("urn:asap:agent:hopeless", store=Store())
""")
    ended = asap_process("serve", "hopeless:agent", "--port", "0")
    assert ended.exit_code == 1
    assert "the store can't be opened: OSError: no server there" in ended.err
    assert ended.out == ""
