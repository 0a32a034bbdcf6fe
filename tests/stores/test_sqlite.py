"""What SQLite has beyond the contract: a file, calls in groups, other processes, disks that are full."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from asap_adapters.stores import sqlite_tables
from asap_adapters.stores.sqlite import SqliteState, agents
from asap_proto import Misuse
from asap_proto.rules.slot import Busy, Fresh

from .given import NOW, changed, ended, event, new_agent, nonce, record

AGENT = "urn:asap:agent:worker"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., SqliteState]]:
    """Opens the store, any number of times."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(SqliteState(path, **{"agent": AGENT, **options}))


@pytest.fixture
def state(opened: Callable[..., SqliteState]) -> SqliteState:
    return opened()


def run(state: SqliteState, statement: str) -> Any:
    """What the store's own connection answers."""
    return state.submit(lambda tables: tables._run(statement).fetchone()).result(10.0)


def held_up(state: SqliteState) -> threading.Event:
    """Has the writing thread wait, so that what comes meanwhile is done together; answers how to let it go."""
    begun, let_go = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        begun.set()
        assert let_go.wait(10.0)

    state.submit(wait)
    assert begun.wait(10.0)
    return let_go


def fail(_: object) -> None:
    raise ZeroDivisionError


# -- the file ---------------------------------------------------------------------------------------------------------


def test_readers_do_not_hold_writers(state, path):
    """In WAL mode whoever looks into the file, as an operator does, holds nobody up, and sees what was committed."""
    assert run(state, "PRAGMA journal_mode") == ("wal",)
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM task").fetchone() == (0,)
        assert state.accept(record(), None, [], now=NOW) == Fresh()
        assert reader.execute("SELECT count(*) FROM task").fetchone() == (0,)
        reader.execute("COMMIT")
        assert reader.execute("SELECT count(*) FROM task").fetchone() == (1,)


@pytest.mark.parametrize(("options", "level"), [({}, 1), ({"synchronous": "NORMAL"}, 1), ({"synchronous": "FULL"}, 2)])
def test_synchronous(opened, options, level):
    """How much a loss of power may take is the operator's to choose."""
    assert run(opened(**options), "PRAGMA synchronous") == (level,)


def test_a_file_of_a_later_release_is_refused(opened, path):
    """It may mean something else; and it is left as it is."""
    opened().close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    with pytest.raises(Misuse, match="of a later release; expected layout 1, found 2"):
        opened()
    assert path.read_bytes() == before


def test_a_file_that_is_no_store_is_refused(path, opened):
    """Neither another database nor a text is written into."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE note (text)")
    before = path.read_bytes()
    with pytest.raises(Misuse, match="no state of an agent"):
        opened()
    assert path.read_bytes() == before
    path.write_bytes(b"these are no tasks, but a text that is longer than a header" * 20)
    before = path.read_bytes()
    with pytest.raises(Misuse, match="not a database"):
        opened()
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["", "nowhere/state.db"])
def test_a_file_that_can_not_be(tmp_path, name):
    """A directory, and a file in none, are told as what they are."""
    with pytest.raises(Misuse, match="can't"):
        SqliteState(tmp_path / name, agent=AGENT)


def test_agents(opened, path):
    """Those that have tasks in the file."""
    for agent in ("urn:asap:agent:b", "urn:asap:agent:a"):
        opened(agent=agent).accept(record(), None, [], now=NOW)
    opened(agent=new_agent())
    assert agents(path) == ("urn:asap:agent:a", "urn:asap:agent:b")


# -- calls in groups --------------------------------------------------------------------------------------------------


def test_calls_that_come_together_are_committed_together(state):
    """One transaction writes them all, in the order in which they came."""
    said: list[str] = []
    let_go = held_up(state)
    state._connection.set_trace_callback(said.append)
    calls = [
        lambda tables, n=n: tables.accept(record(f"task_{n}", f"key_{n}"), None, [event(1)], now=NOW) for n in range(20)
    ]
    futures = [state.submit(call) for call in calls]
    let_go.set()
    assert [future.result(10.0) for future in futures] == [Fresh()] * 20
    state._connection.set_trace_callback(None)
    # The first COMMIT is that of the call which held the thread up.
    assert [line for line in said if line in ("BEGIN IMMEDIATE", "COMMIT")] == ["COMMIT", "BEGIN IMMEDIATE", "COMMIT"]


def test_a_call_that_fails_fails_alone(state):
    """Those that came with it are done, and it has left nothing."""

    def half(tables: Any) -> None:
        tables.accept(record("task_half", "half"), nonce(), [event(1)], now=NOW)
        raise ZeroDivisionError

    let_go = held_up(state)
    first = state.submit(lambda tables: tables.accept(record(), None, [], now=NOW))
    second = state.submit(half)
    third = state.submit(lambda tables: tables.accept(record("task_3"), None, [], now=NOW))
    let_go.set()
    assert first.result(10.0) == Fresh()
    with pytest.raises(ZeroDivisionError):
        second.result(10.0)
    assert third.result(10.0) == Busy("task_1")
    assert state.read("task_half", now=NOW) is None
    assert state.accept(None, nonce(), [], now=NOW) == Fresh()


def test_a_call_that_is_given_up_takes_nobody_with_it(state):
    """What is cancelled before its turn is not done; all that came before and after it is."""
    let_go = held_up(state)
    first = state.submit(lambda tables: tables.accept(record(), None, [], now=NOW))
    given_up = state.submit(lambda tables: tables.accept(record("task_2", "two"), None, [], now=NOW))
    alone = state.submit(fail)
    assert given_up.cancel()
    let_go.set()
    assert first.result(10.0) == Fresh()
    with pytest.raises(ZeroDivisionError):
        alone.result(10.0)
    let_go = held_up(state)
    assert state.submit(fail).cancel()
    let_go.set()
    assert [task.id for task in state.tasks()] == ["task_1"]


def test_a_closed_store_refuses_calls(state):
    """What it was handed before is done."""
    let_go = held_up(state)
    accepted = state.submit(lambda tables: tables.accept(record(), None, [], now=NOW))
    let_go.set()
    state.close()
    state.close()
    assert accepted.result(0.0) == Fresh()
    with pytest.raises(Misuse, match="closed"):
        state.read("task_1", now=NOW)


# -- other processes --------------------------------------------------------------------------------------------------


CLAIM_ALL = """
import sys
from asap_adapters.stores.sqlite import SqliteState
from asap_proto.rules.slot import Fresh
from stores.given import NOW, record

path, agent, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
with SqliteState(path, agent=agent) as state:
    for n in range(100):
        if state.accept(record(f"task_{n}_{name}", f"key_{n}"), None, [], now=NOW) == Fresh():
            print(f"key_{n}")
"""


def test_processes_share_a_file(path):
    """Four of them open it at the same time, while it is not there yet, and claim the same keys: each is had once."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", CLAIM_ALL, str(path), AGENT, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": paths},
        )
        for name in "abcd"
    ]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 4
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    won = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4
    assert sorted(key for keys in won for key in keys) == sorted(f"key_{n}" for n in range(100))
    with SqliteState(path, agent=AGENT) as state:
        assert len(state.tasks(most=500)) == 100


def test_a_call_waits_for_another_process(state, path):
    """While another holds the file nothing fails: it is done when the other is."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        accepted = state.submit(lambda tables: tables.accept(record(), None, [], now=NOW))
        with pytest.raises(NotYet):
            accepted.result(0.2)
        other.execute("ROLLBACK")
        assert accepted.result(10.0) == Fresh()


def test_opening_waits_for_who_creates_the_file(path):
    """SQLite fails at once where the journal mode of a locked file is changed; opening waits all the same."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other, ThreadPoolExecutor(1) as threads:
        other.execute("BEGIN IMMEDIATE")
        opened = threads.submit(SqliteState, path, agent=AGENT)
        with pytest.raises(NotYet):
            opened.result(0.2)
        other.execute("ROLLBACK")
        with opened.result(10.0) as state:
            assert state.accept(record(), None, [], now=NOW) == Fresh()


def test_opening_gives_up_in_the_end(path, monkeypatch):
    """And says that it is locked; the file is as it was."""
    monkeypatch.setattr(sqlite_tables, "_BUSY_SECONDS", 0.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Misuse, match="locked"):
            SqliteState(path, agent=AGENT)
        other.execute("ROLLBACK")
    assert path.read_bytes() == b""


# -- disks ------------------------------------------------------------------------------------------------------------


def test_a_full_disk(state):
    """What finds no room is refused and leaves nothing, what was kept stays; with room again all goes on."""
    first = record()
    state.accept(first, None, [], now=NOW)
    run(state, "PRAGMA max_page_count = 1")  # no fewer than there are
    big = record("task_2", "k" * 100_000)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        state.accept(big, nonce(), [event(1)], now=NOW)
    assert state.read("task_1", now=NOW) == first
    assert state.read("task_2", now=NOW) is None
    run(state, "PRAGMA max_page_count = 1000000")
    assert state.accept(big, nonce(), [event(1)], now=NOW) == Fresh()
    assert state.write(ended(first))


def test_a_file_that_may_only_be_read(state):
    """No call is answered, for each looks at what it may then write; when it may be written to again, all are."""
    first = record()
    state.accept(first, None, [], now=NOW)
    run(state, "PRAGMA query_only = ON")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        state.write(changed(first))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        state.read("task_1", now=NOW)
    state._connection.execute("PRAGMA query_only = OFF")
    assert state.read("task_1", now=NOW) == first
    assert state.write(changed(first))
