"""Workers that are killed, without a word, in the midst of their work: what was accepted is neither lost nor redone."""

import os
import signal
import time

import pytest

from crash.harness import Crowd, fleet, free_ports, prove, report, seeded


@pytest.mark.parametrize("runtime", ["asyncio", "trio", "sync"])
def test_a_server_that_is_killed_five_times(tmp_path, runtime):
    """200 tasks in one SQLite file, five kills with a restart: all end, once, and every key tells the same."""
    chance = seeded()
    (port,) = free_ports(1)
    with fleet(tmp_path, str(tmp_path / "tasks.db"), runtime) as servers:
        servers.start(port)
        crowd = Crowd(servers.agent, [port], 200, lambda: chance.uniform(0.05, 0.8))
        crowd.begin()
        for _ in range(5):
            time.sleep(chance.uniform(0.2, 1.2))
            servers.kill(port)
            servers.start(port)
        crowd.end()
        figures = prove(servers, crowd, port)
    report(f"{runtime} on SQLite, 5 kills:", figures)
    assert figures["runs"] >= 200


@pytest.mark.parametrize("runtime", ["asyncio", "trio", "sync"])
def test_a_server_that_is_stopped_under_load(tmp_path, runtime):
    """SIGTERM ends a busy server within its grace, with exit code 0; the next one goes on with what was given back."""
    chance = seeded()
    (port,) = free_ports(1)
    with fleet(tmp_path, str(tmp_path / "tasks.db"), runtime, "--grace", "0.5") as servers:
        servers.start(port)
        crowd = Crowd(servers.agent, [port], 60, lambda: chance.uniform(0.1, 3.0), pause=0.1)
        crowd.begin()
        time.sleep(chance.uniform(0.5, 1.0))
        code, took = servers.stop(port)
        servers.start(port)
        crowd.end()
        figures = prove(servers, crowd, port)
    report(f"{runtime}, stopped under load in {took:.1f} s:", figures)
    assert code == 0, servers.said()
    assert took < 0.5 + 2.0  # and what Python takes to end


def test_workers_that_are_killed_one_by_one(tmp_path):
    """Of three workers of one `asap serve` each is killed at some time; what it ran the others take over."""
    chance = seeded()
    (port,) = free_ports(1)
    with fleet(tmp_path, str(tmp_path / "tasks.db"), "asyncio", "--workers", "3") as servers:
        servers.start(port)
        crowd = Crowd(servers.agent, [port], 100, lambda: chance.uniform(0.05, 0.8), pause=0.04)
        crowd.begin()
        for _ in range(3):
            time.sleep(chance.uniform(0.3, 0.6))
            os.kill(chance.choice(sorted(servers.workers(port))), signal.SIGKILL)
        crowd.end()
        figures = prove(servers, crowd, port)
        code, _ = servers.stop(port)
    report("three workers on SQLite, 3 kills:", figures)
    assert code == 0, servers.said()


@pytest.mark.parametrize("server", ["redis_server", "postgres_server"])
def test_two_of_three_that_are_killed_and_stay_away(tmp_path, server, request):
    """200 tasks, three servers on one store, of which two are killed for good: the third ends what they began."""
    chance = seeded()
    ports = free_ports(3)
    with fleet(tmp_path, request.getfixturevalue(server).url, "asyncio") as servers:
        for port in ports:
            servers.start(port)
        crowd = Crowd(servers.agent, ports, 200, lambda: chance.uniform(0.05, 0.8), pause=0.05)
        crowd.begin()
        for port in ports[1:]:
            time.sleep(chance.uniform(0.4, 1.2))
            servers.kill(port)
        crowd.end()
        figures = prove(servers, crowd, ports[0])
    report(f"three servers on {server}, 2 killed:", figures)


@pytest.mark.parametrize(("server", "runtime"), [("redis_server", "trio"), ("postgres_server", "sync")])
def test_a_server_on_a_database_that_is_killed_five_times(tmp_path, server, runtime, request):
    """As on SQLite, with a database server that stays up."""
    chance = seeded()
    (port,) = free_ports(1)
    with fleet(tmp_path, request.getfixturevalue(server).url, runtime) as servers:
        servers.start(port)
        crowd = Crowd(servers.agent, [port], 100, lambda: chance.uniform(0.05, 0.8), pause=0.15)
        crowd.begin()
        for _ in range(5):
            time.sleep(chance.uniform(0.2, 1.0))
            servers.kill(port)
            servers.start(port)
        crowd.end()
        figures = prove(servers, crowd, port)
    report(f"{runtime} on {server}, 5 kills:", figures)


@pytest.mark.parametrize("server", ["redis_server", "postgres_server"])
def test_a_database_that_is_killed(tmp_path, server, request):
    """The database is killed under load, twice, and started again: its servers go on, and nothing is lost."""
    chance = seeded()
    ports, database = free_ports(2), request.getfixturevalue(server)
    with fleet(tmp_path, database.url, "asyncio") as servers:
        for port in ports:
            servers.start(port)
        crowd = Crowd(servers.agent, ports, 100, lambda: chance.uniform(0.05, 0.8), pause=0.1)
        crowd.begin()
        for _ in range(2):
            time.sleep(chance.uniform(0.4, 0.8))
            database.kill()
            time.sleep(chance.uniform(0.0, 0.4))
            database.start()
        crowd.end()
        figures = prove(servers, crowd, ports[0], stale=True)
    report(f"{server} killed twice:", figures)
