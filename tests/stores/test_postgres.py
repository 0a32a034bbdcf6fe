"""What PostgreSQL has beyond the contract: calls in groups, transactions in each other's way, lost connections."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from asap_adapters.stores.postgres import PostgresState, agents
from asap_proto import Limits, Misuse
from asap_proto.model import TaskStatus
from asap_proto.rules.slot import Busy, Fresh, Kept
from asap_proto.stores import Refused

from .given import NOW, changed, ended, event, new_agent, nonce, record
from .servers import PostgresServer


class Hosts:
    """Any number of hosts that serve one agent."""

    def __init__(self, stack: ExitStack, server: PostgresServer) -> None:
        self._stack = stack
        self.server = server
        self.agent = new_agent()

    def __call__(self, url: str | None = None, *, connections: int = 4, **limits: Any) -> PostgresState:
        state = PostgresState(
            url or self.server.url, agent=self.agent, limits=Limits(**limits), connections=connections
        )
        return self._stack.enter_context(state)


@pytest.fixture
def hosts(postgres_server: PostgresServer) -> Iterator[Hosts]:
    with ExitStack() as stack:
        yield Hosts(stack, postgres_server)


def held_up(state: PostgresState) -> threading.Event:
    """Has the store's only thread wait, so that what comes meanwhile is done together; answers how to let it go."""
    begun, ended = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        begun.set()
        assert ended.wait(10.0)

    state.submit(wait)
    assert begun.wait(10.0)
    return ended


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
    """Whichever comes first; the others are told of it, once it is committed."""
    one, two = hosts(), hosts()
    with ThreadPoolExecutor(20) as pool:
        answers = list(
            pool.map(
                lambda number: (one, two)[number % 2].accept(record(f"task_{number}"), None, [], now=NOW), range(50)
            )
        )
    assert answers.count(Fresh()) == 1
    winner = f"task_{answers.index(Fresh())}"
    assert answers.count(Busy(winner)) == 49


def test_tasks_are_shared_out_among_those_who_take_over(hosts):
    """At the same time they skip what another is taking: each task is taken once."""
    states = [hosts(connections=1) for _ in range(4)]
    for number in range(40):
        states[0].accept(record(f"task_{number}", None, owner="", lease=0.0), None, [], now=NOW)
    with ThreadPoolExecutor(4) as pool:
        taken = list(
            pool.map(lambda state: state.take_over("two", now=NOW, until=NOW + 15.0, most=40), states, timeout=30.0)
        )
    assert sorted(task.id for tasks in taken for task in tasks) == sorted(f"task_{number}" for number in range(40))


def test_a_refused_nonce_leaves_no_task(hosts):
    """The slot is had before the nonce is looked at, and given back."""
    state = hosts()
    assert state.accept(None, nonce(), [], now=NOW) == Fresh()
    assert state.accept(record(), nonce(), [event(1)], now=NOW) == Refused("repeated")
    assert state.read("task_1", now=NOW) is None
    assert state.accept(record("task_2"), nonce("other"), [event(1)], now=NOW) == Fresh()


def test_room_for_nonces_is_counted_again_when_it_seems_gone(hosts):
    """Another host's are heard of after a second; a full store stays full for as long, or until time has passed."""
    one, two = hosts(nonces=2), hosts(nonces=2)
    assert one.accept(None, nonce("a"), [], now=NOW) == Fresh()
    assert two.accept(None, nonce("b"), [], now=NOW) == Fresh()
    assert one.accept(None, nonce("c"), [], now=NOW + 1.0) == Refused("nonces full")
    assert one.accept(None, nonce("a"), [], now=NOW + 1.0) == Refused("repeated")
    assert one.accept(None, nonce("c"), [], now=NOW + 600.0) == Fresh()


def test_calls_that_come_together_are_committed_together(hosts):
    """One transaction writes them all; the one that fails is told so alone."""
    state = hosts(connections=1)
    let_go = held_up(state)
    transactions = [state.submit(_transaction) for _ in range(3)]
    let_go.set()
    assert len({future.result() for future in transactions}) == 1
    let_go = held_up(state)
    good = state.submit(lambda tables: tables.accept(record(), None, [], now=NOW))
    bad = state.submit(_fail)
    late = state.submit(_transaction)
    let_go.set()
    assert good.result() == Fresh()
    with pytest.raises(ZeroDivisionError):
        bad.result()
    assert late.result()
    assert state.read("task_1", now=NOW) == record()


def _transaction(tables: Any) -> int:
    return tables._run("SELECT pg_current_xact_id()::text::bigint").fetchone()[0]


def _fail(_: object) -> None:
    raise ZeroDivisionError


def test_groups_do_not_wait_for_each_other_in_a_ring(hosts):
    """A group that meets rows another holds makes its calls apart: nobody waits until a deadlock is found."""
    one, two = hosts(connections=1), hosts(connections=1)
    tasks = [record(f"task_{number}", None) for number in range(2)]
    for task in tasks:
        one.accept(task, None, [], now=NOW)
    meet, still_to_meet = threading.Barrier(2), [*tasks]
    answers = []
    for state, order in ((one, tasks), (two, tasks[::-1])):
        let_go = held_up(state)
        first, last = order

        def begin(tables: Any, first: Any = first) -> bool:
            done = tables.write(changed(first, status=TaskStatus.WORKING))
            if first in still_to_meet:
                still_to_meet.remove(first)
                meet.wait(5.0)
            return done

        answers.append(state.submit(begin))
        answers.append(state.submit(lambda tables, last=last: tables.write(changed(last, status=TaskStatus.WORKING))))
        let_go.set()
    assert sorted(answer.result(10.0) for answer in answers) == [False, False, True, True]


def test_what_was_accepted_survives_the_server(hosts):
    """It is killed and started again; the store connects anew by itself, on every connection."""
    state, first = hosts(), record()
    state.accept(first, nonce(), [event(1)], now=NOW)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: state.read("task_1", now=NOW), range(8))) == [first] * 8
        hosts.server.kill()
        hosts.server.start()
        assert list(pool.map(lambda _: state.read("task_1", now=NOW), range(8))) == [first] * 8
    assert state.accept(None, nonce(), [], now=NOW) == Refused("repeated")
    assert state.write(ended(first))


def test_a_call_whose_answer_is_lost_is_not_done_twice(hosts):
    """Its second try finds the mark of the first, and answers the same."""
    with hosts.server.lossy() as (url, line):
        state = hosts(url)

        def losing(call: Callable[[], Any]) -> Any:
            line.loses = True
            answer = call()
            assert not line.loses
            return answer

        first = record()
        assert losing(lambda: state.accept(first, nonce(), [event(1)], now=NOW)) == Fresh()
        assert losing(lambda: state.accept(record("task_2", None), None, [], now=NOW)) == Fresh()
        assert losing(lambda: state.accept(None, nonce("alone"), [], now=NOW)) == Fresh()
        taken, _ = losing(lambda: state.take_over("two", now=NOW + 15.0, until=NOW + 30.0, most=9))
        assert (taken.owner, taken.version) == ("two", 2)
        assert losing(lambda: state.write(changed(taken, event(2), events=2)))
        assert state.events("task_1", after=0, most=9) == (event(1), event(2))
        assert state.accept(None, nonce("alone"), [], now=NOW) == Refused("repeated")


def test_names_may_hold_what_a_text_in_the_database_can_not(hosts):
    """A key or a nonce is what a peer says it is; an id with such a character is nobody's."""
    state = hosts()
    assert state.accept(record(key="a\0b"), nonce("\0"), [], now=NOW) == Fresh()
    assert state.accept(record("task_2", key="a\0b"), None, [], now=NOW) == Busy("task_1")
    assert state.accept(None, nonce("\0"), [], now=NOW) == Refused("repeated")
    assert state.read("task_1\0", now=NOW) is None
    assert state.snapshot("task_1\0", "\0") is None
    assert state.events("\0", after=0, most=9) == ()


def test_hosts_may_open_an_empty_database_at_the_same_time(hosts):
    """One of them makes the tables."""
    url = hosts.server.database()
    with ThreadPoolExecutor(4) as pool:
        states = list(pool.map(lambda _: hosts(url, connections=1), range(4)))
    assert states[0].accept(record(), None, [], now=NOW) == Fresh()
    assert states[3].read("task_1", now=NOW) == record()
    assert agents(url) == (hosts.agent,)


def test_tables_of_a_later_release_are_refused(hosts):
    """They may mean something else."""
    url = hosts.server.database()
    hosts(url)
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE asap_layout SET version = 2")
    with pytest.raises(Misuse, match="expected layout 1, found 2"):
        hosts(url)


def test_a_closed_store_refuses_calls(hosts):
    """What it was handed before is done."""
    state = hosts()
    accepted = state.submit(lambda tables: tables.accept(record(), None, [], now=NOW))
    state.close()
    state.close()
    assert accepted.result(0.0) == Fresh()
    with pytest.raises(Misuse, match="closed"):
        state.read("task_1", now=NOW)
