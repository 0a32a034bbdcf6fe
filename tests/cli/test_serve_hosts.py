"""`asap serve` is asked by its own names, and by pages of these."""

import httpx
import pytest

RUNTIMES = ["asyncio", "trio", "sync"]


def statuses(url, *hosts, **headers):
    """The answers to a look at its health, by each of these names."""
    with httpx.Client(base_url=url, trust_env=False) as http:
        return [http.get("/health", headers={"host": host, **headers}).status_code for host in hosts]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_on_a_loopback_address_it_is_asked_by_names_of_this_machine(serving, agent_module, runtime):
    """And by the name in its URL, which a gateway may hand on; by no other name, and from no other's page."""
    with serving(agent_module(runtime), "--url", "https://served.example/a") as running:
        named = ["localhost:1", "127.0.0.1", "[::1]", "served.example", "evil.example"]
        assert statuses(running.url, *named) == [200, 200, 200, 200, 421]
        assert statuses(running.url, "localhost", origin="http://localhost:3000") == [200]
        assert statuses(running.url, "localhost", origin="https://evil.example") == [403]


def test_on_other_addresses_it_is_asked_by_any_name(serving, agent_module):
    """Which names lead to it, only its operator knows."""
    with serving(agent_module("asyncio"), "--host", "0.0.0.0") as running:
        url = running.url.replace("0.0.0.0", "127.0.0.1")
        assert statuses(url, "localhost", "served.example") == [200, 200]
        assert statuses(url, "localhost", origin="https://another.example") == [200]


@pytest.mark.parametrize(
    ("words", "env", "expected"),
    [
        (["--hosts", "Served.example, 192.0.2.1:80"], {"ASAP_HOSTS": "any"}, [421, 200, 200]),
        ([], {"ASAP_HOSTS": "served.example"}, [421, 200, 421]),
        (["--hosts", "any"], {}, [200, 200, 200]),
    ],
)
def test_the_operator_says_its_names(serving, agent_module, words, env, expected):
    """These, and not those of the machine; the command line wins."""
    with serving(agent_module("asyncio"), *words, env=env) as running:
        assert statuses(running.url, "localhost", "served.example", "192.0.2.1") == expected


def test_names_that_are_none(asap_process, agent_module):
    """What can't be meant is told before anything is served."""
    ended = asap_process("serve", agent_module("sync"), "--hosts", "localhost,http://a")
    assert ended.exit_code == 2
    assert "--hosts or ASAP_HOSTS: 'http://a' is no host" in ended.err
