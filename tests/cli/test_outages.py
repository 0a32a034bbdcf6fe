"""`asap serve` while what it needs is away: it says so, and goes on by itself when that is back."""

import resource
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from stores.servers import postgres_server, redis_server

__all__ = ["postgres_server", "redis_server"]

MODULE = """
from asap_adapters.{runtime} import Agent
from asap_proto.limits import Limits

agent = Agent("urn:asap:agent:{name}", limits=Limits(beat_seconds=0.1, lease_seconds=10.0, handler_threads=2))


@agent.skill("echo")
{colour}def echo(task):
    return task.input


@agent.skill("plain")
def plain(task):
    import time
    time.sleep(task.input["seconds"])
    return task.input
"""
SOON = 30.0  # seconds; only a test that fails waits so long


@pytest.fixture
def agent(tmp_path):
    """Writes a module with an agent of this runtime; answers what to call it by."""

    def write(runtime):
        colour = "" if runtime == "sync" else "async "
        (tmp_path / "needy.py").write_text(MODULE.format(runtime=runtime, colour=colour, name=f"needy{time.time_ns()}"))
        return "needy:agent"

    return write


def ask(http, skill="echo", **input):
    envelope = {
        "asap_version": "0.1",
        "sender": "urn:asap:agent:me",
        "recipient": "urn:asap:agent:needy",
        "payload_type": "task.request",
        "payload": {"conversation_id": "c", "skill_id": skill, "input": input},
    }
    return http.post("/asap", json={"jsonrpc": "2.0", "method": "asap.send", "params": {"envelope": envelope}, "id": 1})


def soon(happened):
    """Waits until this holds."""
    until = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < until, "it does not come to hold"
        time.sleep(0.05)


def is_served(http):
    return "result" in ask(http).json()


def is_refused(answer, code):
    """Whether it is told to come again, and no more than that."""
    return (
        answer.status_code == 503
        and int(answer.headers["retry-after"]) >= 1
        and answer.json()["error"]["data"]["code"] == code
        and not any(word in answer.text.lower() for word in ("sqlite", "redis", "postgres", "disk", "connection"))
    )


def check_outage(running, outage):
    """Whoever asks is told to come again while it lasts, and served once it is over."""
    with httpx.Client(base_url=running.url, trust_env=False, timeout=SOON) as http:
        soon(lambda: is_served(http))
        with outage:
            for _ in range(3):
                assert is_refused(ask(http), "asap:state/unavailable")
                assert http.get("/health").status_code == 200
        soon(lambda: is_served(http))
    ended = running.stop()
    assert ended.exit_code == 0, ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("runtime", ["asyncio", "trio", "sync"])
def test_a_full_disk(serving, agent, runtime):
    """No file can grow: nothing is accepted that could not be kept."""

    @contextmanager
    def full():
        pid = running.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        try:
            yield
        finally:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    with serving(agent(runtime), "--state", "tasks.db") as running:
        check_outage(running, full())


@contextmanager
def killed(server):
    server.kill()
    try:
        yield
    finally:
        server.start()


@pytest.mark.parametrize("runtime", ["asyncio", "sync"])
def test_a_dead_redis(serving, agent, redis_server, runtime):
    """It is killed, and started again."""
    with serving(agent(runtime), "--state", redis_server.url) as running:
        check_outage(running, killed(redis_server))


@pytest.mark.parametrize("runtime", ["trio", "sync"])
def test_a_dead_postgres(serving, agent, postgres_server, runtime):
    """So is this."""
    with serving(agent(runtime), "--state", postgres_server.database()) as running:
        check_outage(running, killed(postgres_server))


@pytest.mark.parametrize("runtime", ["asyncio", "trio", "sync"])
def test_a_full_thread_pool(serving, agent, runtime):
    """Whoever finds no thread is told to come again; who needs none is answered meanwhile, and there is room again."""
    with (
        serving(agent(runtime)) as running,
        httpx.Client(base_url=running.url, trust_env=False, timeout=SOON) as http,
        ThreadPoolExecutor(2) as callers,
    ):
        busy = [callers.submit(ask, http, "plain", seconds=1.5) for _ in range(2)]
        soon(lambda: http.get("/.well-known/asap/health").json()["load"]["active_tasks"] == 2)
        assert is_refused(ask(http, "plain", seconds=0), "asap:transport/thread_pool_exhausted")
        assert http.get("/health").status_code == 200
        if runtime != "sync":  # there all handlers have threads
            assert is_served(http)
        assert all("result" in each.result().json() for each in busy)
        assert "result" in ask(http, "plain", seconds=0).json()
