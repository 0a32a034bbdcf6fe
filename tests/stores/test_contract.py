"""The contract, rule by rule, of every store there is: in memory, in SQLite, in Redis, in PostgreSQL.

Threads ask at the same time; what outlives its process is closed and opened again. Times are handed in, around 1000.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from asap_adapters.stores.portal import PortalState
from asap_adapters.stores.postgres import PostgresState
from asap_adapters.stores.redis import RedisState
from asap_adapters.stores.sqlite import SqliteState
from asap_proto import Limits
from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.stores import NEVER, Change, MemoryState, NonceClaim, Refused, Slot, StateStore, TaskRecord
from asap_testkit.nouns import ME, PEER

from .given import NOW, changed, ended, event, new_agent, nonce, record

SUBMITTED, WORKING, WAITING = TaskStatus.SUBMITTED, TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED
COMPLETED, FAILED, CANCELLED = TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED

DURABLE = ("sqlite", "redis", "postgres")
Opener = Callable[..., StateStore]
outliving = pytest.mark.parametrize("opener", DURABLE, indirect=True)


class Locked:
    """A store in memory as threads share it: with a lock around each call."""

    def __init__(self, limits: Limits) -> None:
        self._state = MemoryState(limits)
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._state, name)

        def call(*given: Any, **named: Any) -> Any:
            with self._lock:
                return found(*given, **named)

        return call


@pytest.fixture(params=["memory", *DURABLE])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the store of an agent, `agent` or one that is new, each time as another host would."""
    new = new_agent()
    server = request.getfixturevalue(f"{request.param}_server") if request.param in ("redis", "postgres") else None
    with ExitStack() as stack:

        def open_one(agent: str = new, **options: Any) -> StateStore:
            limits = Limits(**options)
            match request.param:
                case "memory":
                    return Locked(limits)  # type: ignore[return-value]
                case "sqlite":
                    state = SqliteState(tmp_path / "state.db", agent=agent, limits=limits)
                case "redis":
                    state = PortalState(RedisState(server.url, agent=agent, limits=limits))
                case _:
                    state = PostgresState(server.url, agent=agent, limits=limits)
            return stack.enter_context(state)

        yield open_one


@pytest.fixture
def store(opener: Opener) -> StateStore:
    """A store with nothing in it."""
    return opener()


def all_at_once(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """The answers of calls that are made at the same time, each in a thread of its own."""
    meet = threading.Barrier(len(calls))

    def call(ask: Callable[[], Any]) -> Any:
        meet.wait(20)
        return ask()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(call, calls))


def snapshot(task: TaskRecord, version: int, data: dict[str, Any] | None = None) -> StateSnapshot:
    made = datetime(2026, 1, 2, tzinfo=UTC)
    return StateSnapshot(f"snap_{version}", task.id, version, {"n": version} if data is None else data, made)


def accepted(store: StateStore, *given: Any, **changes: Any) -> TaskRecord:
    """A task that the store has accepted."""
    task = record(*given, **changes)
    assert store.accept(task, None, [], now=NOW) == Fresh()
    return task


def written(store: StateStore, before: TaskRecord, *events: Any, **changes: Any) -> TaskRecord:
    """The task after one more write."""
    change = changed(before, *events, **changes)
    assert store.write(change)
    return change.record


# -- to be accepted ---------------------------------------------------------------------------------------------------


def test_of_equal_requests_one_is_accepted(store):
    """Fifty claim one key at the same time: one has it, all others are told which task that is."""
    tasks = [record(f"task_{n:02}") for n in range(50)]
    answers = all_at_once([partial(store.accept, task, None, [event(1)], now=NOW) for task in tasks])
    assert answers.count(Fresh()) == 1
    winner = tasks[answers.index(Fresh())]
    assert answers.count(Busy(winner.id)) == 49
    assert store.tasks() == (winner,)
    assert sum(len(store.events(task.id, after=0, most=9)) for task in tasks) == 1


def test_of_equal_nonces_one_is_accepted(store):
    """Fifty requests claim one nonce at the same time: one is accepted, nothing of the others is left."""
    tasks = [record(f"task_{n:02}", f"key_{n}") for n in range(50)]
    answers = all_at_once([partial(store.accept, task, nonce(), [event(1)], now=NOW) for task in tasks])
    assert answers.count(Fresh()) == 1
    assert answers.count(Refused("repeated")) == 49
    winner = tasks[answers.index(Fresh())]
    assert store.tasks() == (winner,)
    for task in tasks:
        again = evolve(task, job=evolve(task.job, task_id=f"{task.id}_again"))
        expected = Busy(winner.id) if task is winner else Fresh()
        assert store.accept(again, None, [], now=NOW) == expected


def test_of_equal_nonces_alone_one_is_accepted(store):
    """So it is where nothing but the nonce is claimed."""
    answers = all_at_once([partial(store.accept, None, nonce(), [], now=NOW)] * 50)
    assert (answers.count(Fresh()), answers.count(Refused("repeated"))) == (1, 49)


def test_a_held_slot_claims_no_nonce(store):
    """A retry is answered by its slot: its nonce stays free, for nothing was accepted by it."""
    accepted(store)
    assert store.accept(record("task_2"), nonce("new"), [], now=NOW) == Busy("task_1")
    assert store.accept(None, nonce("new"), [], now=NOW) == Fresh()


def test_a_slot_tells_how_its_task_stands(store):
    """Busy until there is a reply, then the reply; another request under the same key is neither."""
    task = accepted(store)
    other = record("task_3")
    other = evolve(other, job=evolve(other.job, slot=Slot(ME, "key", b"another digest")))
    assert store.accept(record("task_2"), None, [], now=NOW) == Busy("task_1")
    assert store.accept(other, None, [], now=NOW) == Reused()
    assert store.write(ended(task))
    assert store.accept(record("task_2"), None, [], now=NOW) == Kept("task_1", b'"result":1')
    assert store.accept(other, None, [], now=NOW) == Reused()
    assert store.tasks() == (ended(task).record,)


def test_a_key_is_its_callers(store):
    """Two callers may use the same key, however their names and keys are cut."""
    tasks = []
    for n, (caller, key) in enumerate([("a", "bc"), ("ab", "c"), ("a:b", "c"), ("a", "b:c"), ("a", "BC")]):
        task = record(f"task_{n}")
        tasks.append(evolve(task, job=evolve(task.job, slot=Slot(caller, key, b"digest"))))
    for task in tasks:
        assert store.accept(task, None, [], now=NOW) == Fresh()
    assert store.tasks() == tuple(tasks)


def test_a_nonce_is_its_senders(store):
    """So are nonces."""
    for sender, text in [("a", "bc"), ("ab", "c"), ("a:b", "c"), ("a", "b:c"), ("a", "BC")]:
        claim = NonceClaim(sender, text, NOW + 600.0)
        assert store.accept(None, claim, [], now=NOW) == Fresh()
        assert store.accept(None, claim, [], now=NOW) == Refused("repeated")


@pytest.mark.parametrize("key", ["é" * 256, "\0", "\n", "'; DROP TABLE task", "{}", "*", "\U0001f600"])
def test_names_may_hold_any_character(store, key):
    """Keys and nonces are what a peer says they are."""
    assert store.accept(record(key=key), nonce(key), [], now=NOW) == Fresh()
    assert store.accept(record("task_2", key=key), None, [], now=NOW) == Busy("task_1")
    assert store.accept(None, nonce(key), [], now=NOW) == Refused("repeated")
    assert store.read("task_1", now=NOW).job.slot.key == key


def test_a_task_without_a_key_has_no_slot(store):
    """Each is accepted."""
    tasks = [accepted(store, f"task_{n}", None) for n in range(3)]
    assert store.tasks() == tuple(tasks)


# -- to be written ----------------------------------------------------------------------------------------------------


def test_of_writes_to_one_version_one_is_done(store):
    """Fifty write upon the same version at the same time: one is heard, and nothing of the others."""
    task = accepted(store)
    changes = [
        Change(evolve(task, version=2, progress={"percent": n}, events=1, snapshots=1), (event(n),), snapshot(task, n))
        for n in range(1, 51)
    ]
    answers = all_at_once([partial(store.write, change) for change in changes])
    assert (answers.count(True), answers.count(False)) == (1, 49)
    winner = changes[answers.index(True)]
    assert store.read("task_1", now=NOW) == winner.record
    assert store.events("task_1", after=0, most=99) == winner.events
    assert store.snapshot("task_1") == winner.snapshot


def test_writers_that_look_again_all_get_their_turn(store):
    """Ten writers, each of whom reads anew until it was heard, leave ten versions."""
    accepted(store)

    def insist() -> None:
        while True:
            found = store.read("task_1", now=NOW)
            if store.write(changed(found, event(found.events + 1), events=found.events + 1)):
                return

    all_at_once([insist] * 10)
    assert store.read("task_1", now=NOW).version == 11
    assert [line.number for line in store.events("task_1", after=0, most=99)] == list(range(1, 11))


@pytest.mark.parametrize("version", [0, 1, 3, 4])
def test_a_write_meets_its_version(store, version):
    """What was made of another version than the last is refused, with its events and its snapshot."""
    task = written(store, accepted(store), event(1), events=1)
    stale = evolve(task, version=version + 1 if version != 1 else 2, progress={"percent": 9})
    assert not store.write(Change(stale, (event(2),), snapshot(task, 1)))
    assert store.read("task_1", now=NOW) == task
    assert store.events("task_1", after=0, most=9) == (event(1),)
    assert store.snapshot("task_1") is None


@pytest.mark.parametrize("status", [COMPLETED, FAILED, CANCELLED])
def test_what_is_over_is_written_no_more(store, status):
    """Not even by who knows its version."""
    last = written(store, accepted(store), status=status, owner="", lease=0.0, expires=NOW + 60.0, reply=b'"result":1')
    assert not store.write(changed(last, status=WORKING))
    assert store.read("task_1", now=NOW) == last


def test_what_is_not_there_is_not_written(store):
    """A write makes no task."""
    assert not store.write(changed(record()))
    assert store.read("task_1", now=NOW) is None


def test_a_record_is_read_as_it_was_written(store):
    """Whatever it holds."""
    task = accepted(store)
    asked = written(
        store,
        task,
        status=WAITING,
        owner="",
        lease=NEVER,
        updated=NOW + 0.123456,
        events=7,
        snapshots=3,
        runs=2,
        progress={"percent": 12.5, "message": "é\u2028\U0001f600"},
        question={"question": "?", "choices": [1, None, {"a": [True]}]},
        answers=({"message_id": "m", "parts": ["p"], "input": {"x": 1}}, {"input": None}),
        restored=2,
    )
    assert store.read("task_1", now=NOW) == asked
    over = written(
        store,
        asked,
        status=CANCELLED,
        question=None,
        lease=0.0,
        cancel="",
        expires=NOW + 60.0,
        reply='"result":{"é":"\u2028"}'.encode(),
    )
    assert store.read("task_1", now=NOW) == over


def test_a_write_without_the_slot_frees_the_key(store):
    """A retry is then accepted anew; the task that failed stays."""
    task = accepted(store)
    assert store.write(Change(evolve(ended(task).record, job=evolve(task.job, slot=None), status=FAILED)))
    assert store.accept(record("task_2"), None, [], now=NOW) == Fresh()
    assert store.accept(record("task_3"), None, [], now=NOW) == Busy("task_2")
    assert store.read("task_1", now=NOW).status is FAILED


# -- to expire, and to be forgotten -----------------------------------------------------------------------------------


def test_what_has_expired_is_as_if_it_had_never_been(store):
    """A finished task and its slot hold until their time, and not at it."""
    store.write(ended(accepted(store)))
    almost, then = NOW + 3599.9, NOW + 3600.0
    assert store.read("task_1", now=almost).status is COMPLETED
    assert store.read("task_1", now=then) is None
    assert store.accept(record("task_2"), None, [], now=almost) == Kept("task_1", b'"result":1')
    assert store.accept(record("task_2", updated=then, lease=then + 15.0), None, [], now=then) == Fresh()
    assert store.accept(record("task_3"), None, [], now=then) == Busy("task_2")


def test_a_nonce_is_remembered_until_its_time(store):
    """And not at it."""
    assert store.accept(None, nonce(), [], now=NOW) == Fresh()
    assert store.accept(None, nonce(), [], now=NOW + 599.9) == Refused("repeated")
    assert store.accept(None, NonceClaim(ME, "nonce", NOW + 1200.0), [], now=NOW + 600.0) == Fresh()
    assert store.accept(None, nonce(), [], now=NOW + 600.0) == Refused("repeated")


def test_forget(store):
    """What has expired goes, the oldest first and at most so much at once; with all that belongs to it."""
    for n in range(5):
        task = accepted(store, f"task_{n}", f"key_{n}")
        change = changed(task, event(1), events=1, snapshots=1, status=COMPLETED, lease=0.0, expires=NOW + 10.0 + n)
        assert store.write(evolve(change, snapshot=snapshot(task, 1)))
    lives = accepted(store, "task_9", "key_9")
    assert store.forget(now=NOW + 9.9) == 0
    assert store.forget(now=NOW + 12.0, most=2) == 2
    assert [task.id for task in store.tasks()] == ["task_2", "task_3", "task_4", "task_9"]
    assert store.forget(now=NOW + 99.0) == 3
    assert store.forget(now=NOW + 99.0) == 0
    assert store.tasks() == (lives,)
    assert store.events("task_0", after=0, most=9) == ()
    assert store.snapshot("task_0") is None


def test_what_is_not_over_is_never_forgotten(store):
    """However long ago somebody heard of it."""
    for n, status in enumerate((SUBMITTED, WORKING, WAITING)):
        accepted(store, f"task_{n}", f"key_{n}", status=status)
    assert store.forget(now=NOW + 1e9) == 0
    assert [task.status for task in store.tasks()] == [SUBMITTED, WORKING, WAITING]
    assert store.read("task_0", now=NOW + 1e9) is not None


# -- to be run, and taken over ----------------------------------------------------------------------------------------


def test_renew(store):
    """A worker holds what it runs for longer, and hears at which versions; what is over or another's is not its own."""
    first = accepted(store)
    second = written(store, accepted(store, "task_2", "two"), status=WORKING)
    accepted(store, "task_3", "three", owner="two")
    store.write(ended(accepted(store, "task_4", "four")))
    assert dict(store.renew("one", until=NOW + 99.0)) == {"task_1": 1, "task_2": 2}
    assert store.read("task_1", now=NOW) == evolve(first, lease=NOW + 99.0)
    assert store.read("task_2", now=NOW) == evolve(second, lease=NOW + 99.0)
    assert store.read("task_3", now=NOW).lease == NOW + 15.0
    assert dict(store.renew("nobody", until=NOW + 99.0)) == {}
    # A lease is no version: what was made before it was renewed is written all the same.
    assert store.write(changed(first, status=WORKING))


def test_a_lease_is_not_taken_back(store):
    """By a write of what was read before it was renewed; to give the task back is another matter."""
    task = accepted(store, status=WORKING, owner="one", lease=NOW + 15.0)
    store.renew("one", until=NOW + 30.0)
    asked = written(store, task, cancel="enough", lease=NOW + 15.0)
    found = store.read("task_1", now=NOW)
    assert found == evolve(asked, lease=NOW + 30.0)
    assert store.take_over("two", now=NOW + 29.9, until=NOW + 60.0, most=1) == ()
    prolonged = written(store, found, lease=NOW + 40.0)
    assert store.read("task_1", now=NOW) == prolonged
    released = written(store, prolonged, owner="", lease=0.0)
    assert store.read("task_1", now=NOW) == released


def test_take_over(store):
    """Of what is submitted or working, the oldest whose lease is over are given, and no more than asked for."""
    for n in range(4):
        accepted(store, f"task_{n}", f"key_{n}", status=(SUBMITTED, WORKING)[n % 2])
    accepted(store, "task_4", "key_4", status=WAITING, owner="", lease=NOW)
    accepted(store, "task_5", "key_5", lease=NOW + 16.0)
    store.write(ended(accepted(store, "task_6", "key_6")))
    assert store.take_over("two", now=NOW + 14.9, until=NOW + 40.0, most=9) == ()
    taken = store.take_over("two", now=NOW + 15.0, until=NOW + 40.0, most=3)
    assert [(task.id, task.owner, task.lease, task.version) for task in taken] == [
        (f"task_{n}", "two", NOW + 40.0, 2) for n in range(3)
    ]
    assert tuple(store.read(task.id, now=NOW) for task in taken) == taken
    rest = store.take_over("three", now=NOW + 16.0, until=NOW + 40.0, most=9)
    assert [task.id for task in rest] == ["task_3", "task_5"]
    assert store.take_over("three", now=NOW + 16.0, until=NOW + 40.0, most=9) == ()


def test_each_task_is_taken_over_once(opener):
    """Ten workers look at the same time for what a lost one has left: each task goes to one of them."""
    store = opener()
    for n in range(30):
        accepted(store, f"task_{n:02}", f"key_{n}")
    calls = [
        partial(store.take_over, f"worker_{n}", now=NOW + 15.0, until=NOW + 30.0, most=30 if n % 2 else 4)
        for n in range(10)
    ]
    given = [task.id for taken in all_at_once(calls) for task in taken]
    # Some stores pass over what another worker just then looks at.
    given += [task.id for task in store.take_over("late", now=NOW + 15.0, until=NOW + 30.0, most=30)]
    assert sorted(given) == [f"task_{n:02}" for n in range(30)]


def test_who_has_lost_its_task_writes_no_more(store):
    """A worker that was slow, not dead, is refused whatever it still writes, and holds the task no more."""
    slow = written(store, accepted(store), event(1), status=WORKING, events=1)
    [taken] = store.take_over("two", now=NOW + 15.0, until=NOW + 30.0, most=9)
    assert (taken.owner, taken.version) == ("two", 3)
    assert dict(store.renew("one", until=NOW + 99.0)) == {}
    assert not store.write(ended(slow))
    assert not store.write(changed(slow, event(2), events=2))
    assert store.read("task_1", now=NOW) == taken
    assert store.events("task_1", after=0, most=9) == (event(1),)
    assert store.write(ended(taken))


@outliving
def test_a_slot_outlives_its_worker(opener):
    """A task whose lease is over is not asked anew: it is taken over, and its key stands for it still."""
    store = opener()
    accepted(store)
    assert store.accept(record("task_2"), None, [], now=NOW + 1000.0) == Busy("task_1")


# -- logs, snapshots, lists -------------------------------------------------------------------------------------------


def test_events_are_numbered_and_bounded(opener):
    """Read from any number on, so many at once; of a long log the oldest are gone, exactly those beyond the limit."""
    store = opener(task_events=5)
    task = accepted(store)
    for n in range(1, 6):
        task = written(store, task, event(n), events=n)
    assert [line.number for line in store.events("task_1", after=0, most=99)] == [1, 2, 3, 4, 5]
    task = written(store, task, event(6), events=6)
    assert [line.number for line in store.events("task_1", after=0, most=99)] == [2, 3, 4, 5, 6]
    written(store, task, event(7), event(8), events=8)
    assert store.events("task_1", after=0, most=99) == tuple(event(n) for n in range(4, 9))
    assert store.events("task_1", after=5, most=2) == (event(6), event(7))
    assert store.events("task_1", after=8, most=9) == ()
    assert store.events("task_none", after=0, most=9) == ()


def test_events_come_with_their_task(store):
    """What a task begins with is there as soon as it is, and not where it was refused."""
    task = record()
    assert store.accept(task, nonce(), [event(1), event(2)], now=NOW) == Fresh()
    assert store.events("task_1", after=0, most=9) == (event(1), event(2))
    assert store.accept(record("task_2", "other"), nonce(), [event(1)], now=NOW) == Refused("repeated")
    assert store.events("task_2", after=0, most=9) == ()


def test_snapshots_are_found_and_bounded(opener):
    """The newest, one by its version, one by its id; the oldest beyond the limit are gone."""
    store = opener(task_snapshots=3)
    task = accepted(store)
    assert store.snapshot("task_1") is None
    for version in range(1, 4):
        task = evolve(task, version=task.version + 1, snapshots=version)
        assert store.write(Change(task, (), snapshot(task, version)))
    assert store.snapshot("task_1", 1) == snapshot(task, 1)
    task = evolve(task, version=task.version + 1, snapshots=4)
    assert store.write(Change(task, (), snapshot(task, 4)))
    assert store.snapshot("task_1") == snapshot(task, 4)
    for version in (2, 3, 4):
        assert store.snapshot("task_1", version) == snapshot(task, version)
        assert store.snapshot("task_1", f"snap_{version}") == snapshot(task, version)
    for which in (1, 5, 0, "snap_1", "4", "", "snap_none"):
        assert store.snapshot("task_1", which) is None
    assert store.snapshot("task_none") is None


def test_a_snapshot_is_read_as_it_was_written(store):
    """A large one too, with whatever JSON can say; what is then done to the data changes nothing."""
    data = {"text": "é\u2028\0" * 100_000, "deep": [{"a": [None, True, 1.5, -1]}], "": {}}
    task = accepted(store)
    kept = evolve(snapshot(task, 1, data), checkpoint=True)
    assert store.write(Change(evolve(task, version=2, snapshots=1), (), kept))
    found = store.snapshot("task_1")
    assert found == kept
    found.data["text"] = ""
    assert store.snapshot("task_1") == kept


def test_what_waits_for_an_answer_is_forgotten_in_time(store):
    """What was told by then goes on, and is not forgotten at that time."""
    tasks = [accepted(store, f"task_{n}", f"key_{n}") for n in (1, 2)]
    waits = [written(store, task, status=WAITING, owner="", lease=NEVER, expires=NOW + 60.0) for task in tasks]
    told = written(store, waits[1], status=WORKING, owner="one", lease=NOW + 15.0, expires=NEVER)
    assert store.forget(now=NOW + 59.9) == 0
    assert store.accept(record("task_3", "key_1"), None, [], now=NOW + 59.9) == Busy("task_1")
    assert store.read("task_1", now=NOW + 60.0) is None
    assert store.forget(now=NOW + 60.0) == 1
    assert [task.id for task in store.tasks()] == ["task_2"]
    assert store.accept(record("task_3", "key_1"), None, [], now=NOW + 60.0) == Fresh()
    assert store.write(ended(told))


def test_tasks_are_listed_by_age(store):
    """All of them or those of a status, a page at a time; a page that is full is gone on with after its last."""
    statuses = [SUBMITTED, WORKING, WAITING, COMPLETED, FAILED, CANCELLED]
    made = []
    for n in (3, 0, 5, 1, 4, 2):
        task = accepted(store, f"task_{n}", f"key_{n}")
        over = {"expires": NOW + 60.0} if n >= 3 else {}
        made.append(written(store, task, status=statuses[n], **over))
    made.sort(key=lambda task: task.id)
    assert store.tasks() == tuple(made)
    for task in made:
        assert store.tasks(status=task.status) == (task,)
    assert store.tasks(most=4) == tuple(made[:4])
    assert store.tasks(after="task_3", most=4) == tuple(made[4:])
    assert store.tasks(status=SUBMITTED, after="task_0") == ()
    back = written(store, made[2], status=WORKING, owner="one")
    assert store.tasks(status=WORKING) == (made[1], back)
    assert store.tasks(status=WAITING) == ()


# -- limits -----------------------------------------------------------------------------------------------------------


def test_nonces_at_their_limit(opener):
    """As many as the limit are remembered, and one more is refused until one is over; none goes early.

    Some stores count once a second, so it may be a second later that there is room.
    """
    store = opener(nonces=3)
    for n in range(3):
        claim = NonceClaim(ME, f"nonce_{n}", NOW + 10.0 + n)
        assert store.accept(None, claim, [], now=NOW) == Fresh()
    assert store.accept(record(), nonce("more"), [], now=NOW) == Refused("nonces full")
    assert store.tasks() == ()
    assert store.accept(None, NonceClaim(ME, "nonce_0", NOW + 10.0), [], now=NOW) == Refused("repeated")
    assert store.accept(None, nonce("more"), [], now=NOW + 8.9) == Refused("nonces full")
    assert store.accept(record(), nonce("more"), [], now=NOW + 10.0) == Fresh()
    assert store.accept(None, nonce("yet another"), [], now=NOW + 10.0) == Refused("nonces full")


def test_nonces_of_one_sender_at_their_limit(opener):
    """One that sends nonces without end locks itself out, until one of its own is over, and nobody else."""
    store = opener(nonces=10, nonces_each=3)
    for n in range(3):
        claim = NonceClaim(ME, f"nonce_{n}", NOW + 10.0 + n)
        assert store.accept(None, claim, [], now=NOW) == Fresh()
    assert store.accept(record(), nonce("more"), [], now=NOW) == Refused("nonces full")
    for n in range(3):
        assert store.accept(None, NonceClaim(PEER, f"nonce_{n}", NOW + 20.0), [], now=NOW) == Fresh()
    assert store.accept(None, NonceClaim(PEER, "more", NOW + 20.0), [], now=NOW) == Refused("nonces full")
    assert store.accept(None, NonceClaim(ME, "nonce_1", NOW + 30.0), [], now=NOW) == Refused("repeated")
    assert store.accept(record(), nonce("more"), [], now=NOW + 10.0) == Fresh()
    assert store.accept(None, nonce("yet another"), [], now=NOW + 10.0) == Refused("nonces full")
    assert store.accept(None, NonceClaim(PEER, "yet another", NOW + 30.0), [], now=NOW + 10.0) == Refused("nonces full")


def test_room_for_nonces_is_not_lost(opener):
    """What was claimed and is over makes room, ten times over."""
    store = opener(nonces=2)
    for turn in range(10):
        now = NOW + turn * 10.0
        for n in range(2):
            assert store.accept(None, NonceClaim(ME, f"{turn}-{n}", now + 10.0), [], now=now) == Fresh()
        assert store.accept(None, NonceClaim(ME, f"{turn}-2", now + 10.0), [], now=now) == Refused("nonces full")


@pytest.mark.parametrize("opener", ["memory"], indirect=True)
def test_tasks_at_their_limit_in_memory(opener):
    """What survives has a disk for its limit; in memory one more than the limit waits until another is over."""
    store = opener(tasks=2)
    first = accepted(store, "task_1", "one")
    accepted(store, "task_2", "two")
    assert store.accept(record("task_3", "three"), None, [], now=NOW) == Refused("tasks full")
    assert store.write(ended(first))
    accepted(store, "task_3", "three")
    assert store.read("task_1", now=NOW) is None
    assert store.accept(record("task_4", "four"), None, [], now=NOW) == Refused("tasks full")


# -- what outlives the process ----------------------------------------------------------------------------------------


@outliving
def test_what_was_kept_is_there_when_opened_again(opener):
    """Every part of it; and it goes on from there."""
    store = opener(nonces=1)
    task = record()
    assert store.accept(task, nonce(), [event(1)], now=NOW) == Fresh()
    known = evolve(task, version=2, status=WORKING, events=2, snapshots=1, runs=1)
    assert store.write(Change(known, (event(2),), snapshot(task, 1)))
    over = ended(accepted(store, "task_2", "two"))
    assert store.write(over)
    store.close()
    again = opener(nonces=1)
    assert again.read("task_1", now=NOW) == known
    assert again.tasks() == (known, over.record)
    assert again.events("task_1", after=0, most=9) == (event(1), event(2))
    assert again.snapshot("task_1") == snapshot(task, 1)
    assert again.accept(record("task_3"), None, [], now=NOW) == Busy("task_1")
    assert again.accept(record("task_3", "two"), None, [], now=NOW) == Kept("task_2", b'"result":1')
    assert again.accept(None, nonce(), [], now=NOW) == Refused("repeated")
    assert again.accept(None, nonce("more"), [], now=NOW) == Refused("nonces full")
    [taken] = again.take_over("two", now=NOW + 15.0, until=NOW + 30.0, most=9)
    assert again.write(ended(taken))


@outliving
def test_hosts_share_an_agent(opener):
    """Fifty claim one key, and fifty one version, at two hosts: one is heard."""
    hosts = [opener(), opener()]
    tasks = [record(f"task_{n:02}") for n in range(50)]
    calls = [partial(hosts[n % 2].accept, task, nonce(), [], now=NOW) for n, task in enumerate(tasks)]
    answers = all_at_once(calls)
    assert answers.count(Fresh()) == 1
    winner = tasks[answers.index(Fresh())]
    assert answers.count(Busy(winner.id)) == 49
    changes = [changed(winner, event(n), events=1) for n in range(1, 51)]
    answers = all_at_once([partial(hosts[n % 2].write, change) for n, change in enumerate(changes)])
    assert answers.count(True) == 1
    assert hosts[0].events(winner.id, after=0, most=9) == changes[answers.index(True)].events


@outliving
def test_agents_do_not_see_each_other(opener):
    """One store keeps the tasks of many agents, each its own: ids, keys, nonces, leases, limits."""
    one, two = opener(nonces=1), opener(new_agent(), nonces=1)
    task = record()
    for store in (one, two):
        assert store.accept(task, nonce(), [event(1)], now=NOW) == Fresh()
    assert one.write(changed(task, event(2), events=2))
    assert two.read("task_1", now=NOW) == task
    assert two.events("task_1", after=0, most=9) == (event(1),)
    assert dict(one.renew("one", until=NOW + 99.0)) == {"task_1": 2}
    assert [taken.id for taken in two.take_over("two", now=NOW + 15.0, until=NOW + 30.0, most=9)] == ["task_1"]
    assert one.take_over("two", now=NOW + 15.0, until=NOW + 30.0, most=9) == ()
    [taken] = two.tasks()
    assert two.write(ended(taken))
    assert one.forget(now=NOW + 1e6) == 0
    assert two.forget(now=NOW + 1e6) == 1
    assert one.read("task_1", now=NOW).version == 2
