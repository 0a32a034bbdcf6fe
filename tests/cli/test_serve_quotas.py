"""`asap serve` behind a proxy, and with more to do than it can."""

import time

import httpx
import pytest

RUNTIMES = ["asyncio", "trio", "sync"]


def statuses(url, *headers):
    with httpx.Client(base_url=url, trust_env=False) as http:
        return [http.post("/asap", json={}, headers=one).status_code for one in headers]


def forwarded(*addresses):
    return [{"X-Forwarded-For": address} for address in addresses]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_proxy_is_believed_that_was_named(serving, agent_module, runtime):
    """Each caller behind it has its own quota."""
    env = {"ASAP_RATE_LIMIT": "1/hour", "ASAP_PROXY": "10.0.0.0/8, 127.0.0.1"}
    with serving(agent_module(runtime), env=env) as running:
        assert statuses(running.url, *forwarded("192.0.2.1", "192.0.2.2", "192.0.2.1")) == [200, 200, 429]


def test_no_other_setting_has_a_caller_believed(serving, agent_module):
    """What uvicorn reads from the environment is not asked; the command line wins over ours."""
    env = {"ASAP_RATE_LIMIT": "1/hour", "ASAP_PROXY": "127.0.0.1", "FORWARDED_ALLOW_IPS": "*"}
    with serving(agent_module("asyncio"), "--proxy", "10.0.0.1", env=env) as running:
        assert statuses(running.url, *forwarded("192.0.2.1", "192.0.2.2")) == [200, 429]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--proxy", "localhost"], "--proxy or ASAP_PROXY: 'localhost' is no address"),
        (["--proxy", "10.0.0.0/8,"], "--proxy or ASAP_PROXY: '' is no address"),
        (["--latency-target", "0"], "latency-target"),
        (["--latency-target", "soon"], "latency-target"),
    ],
)
def test_what_can_not_be_meant(asap, agent_module, words, said):
    """It is told before anything is served."""
    ended = asap("serve", agent_module("sync"), *words)
    assert ended.exit_code == 2
    assert said in ended.err


SLUGGISH = """
import time
from asap_proto.stores import MemoryState


class Sluggish(MemoryState):
    def read(self, task_id, *, now):
        time.sleep(0.5)
        return super().read(task_id, now=now)


agent.reconfigure(store=Sluggish())
"""


@pytest.mark.parametrize("runtime", ["trio", "sync"])
def test_a_late_server_turns_work_away(serving, agent_module, tmp_path, runtime):
    """Some requests, with 503 and when to come back; it says that it lives."""
    name = agent_module(runtime)
    path = tmp_path / f"mine_{runtime}.py"
    path.write_text(path.read_text() + SLUGGISH)
    with serving(name, "--latency-target", "0.25") as running, httpx.Client(base_url=running.url) as http:
        until = time.monotonic() + 30
        while (answer := http.post("/asap", json={})).status_code == 200:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert (answer.status_code, answer.json()["error"]["data"]["code"]) == (503, "asap:transport/load_shed")
        assert int(answer.headers["retry-after"]) >= 1
        assert http.get("/health").status_code == 200
