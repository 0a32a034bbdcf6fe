"""What Redis has beyond the contract: a stream of who runs what, servers that come and go, answers that get lost."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
from coredis import Redis

from asap_adapters.stores.portal import PortalState
from asap_adapters.stores.redis import RedisState, agents
from asap_adapters.sync import Agent
from asap_proto import Limits, Misuse
from asap_proto.model import TaskStatus
from asap_proto.rules.slot import Busy, Fresh, Kept
from asap_proto.stores import Refused
from asap_testkit.nouns import ME

from .given import NOW, changed, ended, event, new_agent, nonce, record
from .servers import RedisServer


class Hosts:
    """Any number of hosts that serve one agent."""

    def __init__(self, stack: ExitStack, server: RedisServer, runtime: Any) -> None:
        self._stack = stack
        self._runtime = runtime
        self.server = server
        self.agent = new_agent()

    def __call__(self, url: str | None = None, **limits: Any) -> PortalState:
        state = RedisState(url or self.server.url, agent=self.agent, limits=Limits(**limits))
        return self._stack.enter_context(PortalState(state, backend=self._runtime))

    def ask(self, question: Callable[[Redis[bytes]], Any]) -> Any:
        """What a client of the server's own sees."""

        async def asked() -> Any:
            async with Redis.from_url(self.server.url) as client:
                return await question(client)

        return anyio.run(asked)

    def key(self, name: str) -> str:
        return f"asap:{{{self.agent}}}:{name}"

    def pending(self) -> dict[str, int]:
        """How many tasks the group has pending, by consumer."""
        told = self.ask(lambda client: client.xpending(self.key("work"), "workers"))
        return {name.decode(): count for name, count in told.consumers.items()}


@pytest.fixture(params=["asyncio", "trio"])
def hosts(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Hosts]:
    with ExitStack() as stack:
        yield Hosts(stack, redis_server, request.param)


def test_what_a_worker_runs_is_pending_for_it_until_it_is_over(hosts):
    """The stream holds what is not over; a last write acknowledges the entry and takes it out."""
    state, first = hosts(), record()
    state.accept(first, None, [], now=NOW)
    state.accept(record("task_2", "other", owner="two"), None, [], now=NOW)
    assert hosts.pending() == {"one": 1, "two": 1}
    assert state.write(ended(first))
    assert hosts.pending() == {"two": 1}
    assert hosts.ask(lambda client: client.xlen(hosts.key("work"))) == 1


def test_what_waits_for_input_is_pending_for_nobody(hosts):
    """Once told, it is in the stream again, for whoever takes it."""
    state, first = hosts(), record(status=TaskStatus.WORKING)
    state.accept(first, None, [], now=NOW)
    waits = changed(first, status=TaskStatus.INPUT_REQUIRED, owner="", lease=0.0)
    assert state.write(waits)
    assert hosts.pending() == {}
    assert state.take_over("two", now=NOW + 99.0, until=NOW + 200.0, most=9) == ()
    told = changed(waits.record, status=TaskStatus.WORKING)
    assert state.write(told)
    assert hosts.pending() == {"-": 1}
    assert [task.version for task in state.take_over("two", now=NOW, until=NOW + 15.0, most=9)] == [4]
    assert hosts.pending() == {"two": 1}


def test_a_consumer_that_has_nothing_pending_is_forgotten(hosts):
    """Each worker has a name of its own, and there is no end of them."""
    state = hosts()
    for number in range(3):
        task = record(f"task_{number}", f"key_{number}", owner=f"worker_{number}")
        state.accept(task, None, [], now=NOW)
        state.write(ended(task))
    state.accept(record("task_9"), None, [], now=NOW)
    state.forget(now=NOW)
    groups = hosts.ask(lambda client: client.xinfo_consumers(hosts.key("work"), "workers"))
    assert [group[b"name"] for group in groups] == [b"one"]


def test_renewing_sets_back_how_long_a_worker_was_idle(hosts):
    """However many tasks it has: an operator sees in the group which worker is dead."""
    state = hosts()
    for number in range(1100):
        state.accept(record(f"task_{number}", f"key_{number}"), None, [], now=NOW)
    assert state.renew("one", until=NOW + 30.0) == {f"task_{number}": 1 for number in range(1100)}
    assert state.take_over("two", now=NOW + 29.0, until=NOW + 99.0, most=9) == ()
    assert len(state.take_over("two", now=NOW + 30.0, until=NOW + 99.0, most=2000)) == 1100
    assert state.renew("one", until=NOW + 99.0) == {}
    assert hosts.pending() == {"two": 1100}


def test_a_dead_workers_task_is_taken_by_a_living_one(hosts):
    """On another host; what the dead one still writes, as it was not dead after all, is refused."""
    dead, living, first = hosts(), hosts(), record()
    dead.accept(first, nonce(), [event(1)], now=NOW)
    [taken] = living.take_over("two", now=NOW + 15.0, until=NOW + 30.0, most=9)
    assert (taken.owner, taken.lease, taken.version) == ("two", NOW + 30.0, 2)
    assert not dead.write(ended(first))
    assert dead.renew("one", until=NOW + 99.0) == {}
    assert living.write(ended(taken))
    assert dead.accept(record("task_2"), nonce("other"), [], now=NOW) == Kept("task_1", b'"result":1')


def test_of_equal_requests_on_two_hosts_one_is_accepted(hosts):
    """Whichever comes first; the others are told of it."""
    one, two = hosts(), hosts()
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(
                lambda number: (one, two)[number % 2].accept(record(f"task_{number}"), None, [], now=NOW), range(50)
            )
        )
    assert answers.count(Fresh()) == 1
    winner = f"task_{answers.index(Fresh())}"
    assert answers.count(Busy(winner)) == 49


def test_what_was_accepted_survives_the_server(hosts):
    """It is killed and started again; the store connects anew by itself."""
    state, first = hosts(), record()
    state.accept(first, nonce(), [event(1)], now=NOW)
    hosts.server.kill()
    hosts.server.start()
    assert state.read("task_1", now=NOW) == first
    assert state.accept(None, nonce(), [], now=NOW) == Refused("repeated")
    assert state.write(ended(first))
    assert hosts.pending() == {}


def test_a_call_whose_answer_is_lost_is_not_done_twice(hosts):
    """Its second try finds the mark of the first, and answers the same."""
    with hosts.server.lossy() as (url, line):
        state = hosts(url)
        # The server must know the scripts already: else what is lost is that it does not.
        known = record("task_0", "zero", lease=0.0)
        state.accept(known, None, [], now=NOW)
        [known] = state.take_over("one", now=NOW, until=NOW + 15.0, most=9)
        state.write(ended(known))

        def losing(call: Callable[[], Any]) -> Any:
            line.loses = True
            answer = call()
            assert not line.loses
            return answer

        first = record()
        assert losing(lambda: state.accept(first, nonce(), [event(1)], now=NOW)) == Fresh()
        assert losing(lambda: state.accept(None, nonce("alone"), [], now=NOW)) == Fresh()
        [taken] = losing(lambda: state.take_over("two", now=NOW + 15.0, until=NOW + 30.0, most=9))
        assert (taken.owner, taken.version) == ("two", 2)
        assert losing(lambda: state.write(changed(taken, event(2), events=2)))
        assert state.events("task_1", after=0, most=9) == (event(1), event(2))
        assert state.accept(None, nonce("alone"), [], now=NOW) == Refused("repeated")


def test_what_is_over_goes_by_itself(hosts):
    """Redis expires it, should no worker be left to forget it; what runs stays for ever."""
    state, first = hosts(), record()
    state.accept(first, nonce(), [event(1)], now=NOW)
    task = hosts.key("task:task_1")
    assert hosts.ask(lambda client: client.pttl(task)) == -1
    state.write(ended(first))
    slot = hosts.key(f"slot:{len(ME)}:{ME}:key")
    for key in (task, hosts.key("log:task_1"), slot):
        assert 3_500_000 < hosts.ask(lambda client, key=key: client.pttl(key)) <= 3_600_000
    for key in (hosts.key(f"nonce:{len(ME)}:{ME}:nonce"), hosts.key(f"nonces:{ME}")):
        assert 500_000 < hosts.ask(lambda client, key=key: client.pttl(key)) <= 600_000
    hosts.ask(lambda client: client.delete([hosts.key(f"nonces:{ME}")]))
    hosts.ask(lambda client: client.delete([task, slot]))
    assert state.tasks() == ()
    assert state.forget(now=NOW + 3600.0) == 1
    assert set(hosts.ask(lambda client: client.keys(hosts.key("*").replace("{", "?")))) == {
        hosts.key("layout").encode(),
        hosts.key("work").encode(),
    }


def test_keys_of_a_later_release_are_refused(hosts):
    """They may mean something else."""
    hosts.ask(lambda client: client.set(hosts.key("layout"), "2"))
    with pytest.raises(Misuse, match="expected layout 1, found 2"):
        hosts()


def test_agents_are_those_that_have_tasks(hosts):
    """Not those that only opened a store."""
    hosts()
    assert hosts.agent not in agents(hosts.server.url)
    hosts().accept(record(), None, [], now=NOW)
    assert hosts.agent in agents(hosts.server.url)


def test_a_store_that_is_not_open_says_so(redis_server):
    """Before its app was started, and after."""
    state = RedisState(redis_server.url, agent=new_agent())

    async def look() -> None:
        for ask in (lambda: state.read("task_1", now=NOW), state.tasks):
            with pytest.raises(Misuse, match="not open"):
                await ask()

    async def main() -> None:
        await look()
        async with state:
            assert await state.tasks() == ()
            with pytest.raises(Misuse, match="open already"):
                await state.__aenter__()
        await look()

    anyio.run(main)


def test_threads_are_given_no_store_that_has_to_be_awaited(redis_server):
    """It is told when the app is made, with what to do."""
    agent = Agent("urn:asap:agent:worker", store=RedisState(redis_server.url, agent="urn:asap:agent:worker"))
    with pytest.raises(Misuse, match=r"PortalState\(RedisState"):
        agent.app()
