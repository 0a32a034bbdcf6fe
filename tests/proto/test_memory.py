"""State in memory: what an agent remembers of its tasks, and that it is bounded."""

import tracemalloc
from typing import Generic, TypeVar

import pytest
from attrs import evolve

from asap_proto.errors import Overloaded
from asap_proto.limits import Limits
from asap_proto.model import TaskRequest, TaskStatus
from asap_proto.rules.quota import Allowed, RetryAfter, parse_quota
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.stores import NEVER, Change, MemoryQuotas, MemoryState, Refused, Started, TaskEvent
from asap_proto.wire.nouns import encode
from asap_testkit.records import T, changed, ended, event_of, job_of, nonce_of, record_of, snapshot_of

SUBMITTED, WORKING, WAITING = TaskStatus.SUBMITTED, TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED
FULL = Refused("tasks full")

#: What a record takes beside what was said with it.
RECORD = 2048


def accept(store, record, nonce=None, now=T):
    return store.accept(record, nonce, (event_of(1),), now=now)


def running(store, id="task_1", key=None, size=0, **changes):
    """A task that is accepted."""
    record = record_of(job_of(id, key, size=size), **{"events": 1, **changes})
    assert accept(store, record) == Fresh()
    return record


def finished(store, id, key=None, *, reply=b"", size=0, expires=T + 100.0):
    """A task that is over."""
    change = ended(running(store, id, key, size), reply=reply, expires=expires)
    assert store.write(change)
    return change.record


def ids(store):
    return [record.id for record in store.tasks()]


def begun(store, id="task_1", key=None, size=0):
    """A task that is accepted to run at once."""
    task = Started(job_of(id, key, size=size), "one", T + 15.0)
    assert store.begin(task, None) == Fresh()
    return task


def over(store, task, reply=b"reply"):
    """Whether it could be completed without its record."""
    job = task.job
    return store.end(job, encode(job.envelope), reply, now=T + 1, expires=T + 100.0)


# -- keys ------------------------------------------------------------------------------------------------------------


def test_a_key_is_busy_then_kept():
    """Its reply is there for whoever asks the same again, and for nobody else."""
    store = MemoryState()
    first, again, other = record_of(), record_of(job_of("task_2")), record_of(job_of("task_3", digest=b"other"))
    assert [accept(store, one) for one in (first, again, other)] == [Fresh(), Busy("task_1"), Reused()]
    assert store.write(ended(first, reply=b"reply"))
    assert [accept(store, again), accept(store, other)] == [Kept("task_1", b"reply"), Reused()]
    assert ids(store) == ["task_1"]


def test_a_key_is_as_old_as_its_task():
    """At its time the key is free, for the same request or another."""
    store = MemoryState()
    finished(store, "task_1", "key", expires=T + 100.0)
    assert accept(store, record_of(job_of("task_2", digest=b"other")), now=T + 99.9) == Reused()
    assert accept(store, record_of(job_of("task_2", digest=b"other")), now=T + 100.0) == Fresh()
    assert ids(store) == ["task_2"]


def test_a_task_that_has_just_expired_makes_way_for_its_retry():
    """Though what is over is looked for once a second, and it was not found yet."""
    store = MemoryState()
    finished(store, "task_1", "key", expires=T + 0.5)
    assert accept(store, record_of(job_of("task_2")), now=T + 0.5) == Fresh()
    assert ids(store) == ["task_2"]


def test_a_key_that_was_freed_is_fresh():
    """Work that another try may mend runs again; the task that failed is remembered nevertheless."""
    store = MemoryState()
    record = running(store, key="key")
    assert store.write(ended(record, job=evolve(record.job, slot=None)))
    assert accept(store, record_of(job_of("task_2"))) == Fresh()
    assert ids(store) == ["task_1", "task_2"]


def test_a_task_that_was_cut_off_makes_way_for_its_retry():
    """Once its worker's lease is over: until then it may live."""
    store = MemoryState()
    running(store, key="key", lease=T + 15.0)
    assert accept(store, record_of(job_of("task_2")), now=T + 14.9) == Busy("task_1")
    assert accept(store, record_of(job_of("task_2", digest=b"other"), lease=T + 30.0), now=T + 15.0) == Fresh()
    assert ids(store) == ["task_2"]


@pytest.mark.parametrize(
    "changes",
    [{"status": SUBMITTED, "owner": "", "lease": 0.0}, {"owner": "", "lease": 0.0}, {"status": WAITING, "lease": 0.0}],
    ids=["submitted", "given back", "asks"],
)
def test_a_task_that_nobody_runs_keeps_its_key(changes):
    """It waits for a worker with room, or for an answer: its lease says nothing."""
    store = MemoryState()
    running(store, key="key", **changes)
    assert accept(store, record_of(job_of("task_2"))) == Busy("task_1")
    assert ids(store) == ["task_1"]


def asked(store, id, size=0):
    """Whether a task of this size may wait to be told what it asks."""
    record = running(store, id, size=size)
    try:
        return store.write(Change(evolve(record, status=WAITING, owner="", version=2, expires=T + 60.0)))
    except Overloaded:
        return False


def test_half_of_the_tasks_may_wait_for_an_answer():
    """Whoever asks for more fails, and what waits for nothing goes on to be accepted; one that is told makes room."""
    store = MemoryState(Limits(tasks=6))
    assert [asked(store, f"task_{n}") for n in range(4)] == [True, True, True, False]
    assert store.read("task_3", now=T).status is WORKING
    assert accept(store, record_of(job_of("task_4"))) == Fresh()
    woken = evolve(store.read("task_0", now=T), status=WORKING, owner="one", version=3, expires=NEVER)
    assert store.write(Change(woken))
    assert store.write(Change(evolve(store.read("task_3", now=T), status=WAITING, version=2)))


def test_half_of_the_bytes_may_wait_for_an_answer():
    """Few tasks may be large."""
    store = MemoryState(Limits(task_bytes=8 * RECORD))
    assert [asked(store, "task_1", size=RECORD), asked(store, "task_2", size=RECORD)] == [True, True]
    assert [asked(store, "task_3"), accept(store, record_of(job_of("task_4")))] == [False, Fresh()]


def test_what_is_not_answered_is_forgotten_in_time():
    """At its time it is not found, its key is free, and soon its room too."""
    store = MemoryState(Limits(tasks=2))
    record = running(store, "task_1", "key")
    assert store.write(Change(evolve(record, status=WAITING, owner="", version=2, expires=T + 60.0)))
    assert accept(store, record_of(job_of("task_2")), now=T + 59.9) == Busy("task_1")
    assert store.read("task_1", now=T + 60.0) is None
    assert accept(store, record_of(job_of("task_2")), now=T + 60.0) == Fresh()
    assert ids(store) == ["task_2"]
    assert asked(store, "task_3")
    assert store.forget(now=T + 59.9) == 0
    assert store.forget(now=T + 60.0) == 1
    assert asked(store, "task_4")
    assert accept(store, record_of(job_of("task_5", "other")), now=T + 61.1) == Fresh()
    assert ids(store) == ["task_2", "task_5"]


@pytest.mark.parametrize("how", ["repeated", "nonces full", "tasks full"])
def test_nothing_goes_for_a_request_that_is_refused(how):
    """Neither a task that was cut off nor one that is over; nor is the nonce taken."""
    store = MemoryState(Limits(nonces=1, tasks=3, task_bytes=4 * RECORD))
    running(store, "task_1", "key", lease=T)
    finished(store, "task_2")
    running(store, "task_3")
    if how != "tasks full":
        store.accept(None, nonce_of("used", "a"), (), now=T)
    size = 2 * RECORD + 1 if how == "tasks full" else 0
    nonce = nonce_of("used" if how == "repeated" else "new", "a")
    assert accept(store, record_of(job_of("task_4", size=size)), nonce) == Refused(how)
    assert ids(store) == ["task_1", "task_2", "task_3"]
    assert store.accept(None, nonce_of("new", "a"), (), now=T) == (
        Fresh() if how == "tasks full" else Refused("nonces full")
    )


# -- room ------------------------------------------------------------------------------------------------------------


def test_when_full_the_oldest_finished_task_goes():
    """In the order in which they ended, and no more than have to."""
    store = MemoryState(Limits(tasks=3))
    first, second = running(store, "task_1"), running(store, "task_2")
    store.write(ended(second))
    store.write(ended(first))
    running(store, "task_3")
    running(store, "task_4")
    assert ids(store) == ["task_1", "task_3", "task_4"]


def test_when_full_of_running_work_the_next_waits():
    """Running work is never forgotten."""
    store = MemoryState(Limits(tasks=1))
    record = running(store)
    assert accept(store, record_of(job_of("task_2"))) == FULL
    assert store.write(ended(record))
    assert accept(store, record_of(job_of("task_2", "other"))) == Fresh()


def test_a_retry_takes_the_place_of_what_was_cut_off():
    """In a full store too: by their number, and by their bytes."""
    for limits in (Limits(tasks=1), Limits(task_bytes=RECORD + 10)):
        store = MemoryState(limits)
        running(store, key="key", size=10, lease=T)
        assert accept(store, record_of(job_of("task_2", "other"))) == FULL
        assert accept(store, record_of(job_of("task_2", size=10))) == Fresh()
        assert ids(store) == ["task_2"]


def test_tasks_are_bounded_by_their_bytes():
    """Those of requests, replies, logs and snapshots; the oldest that are over go until the rest fits."""
    store = MemoryState(Limits(task_bytes=4 * RECORD + 1000))
    finished(store, "task_1", reply=bytes(1000))
    record = running(store, "task_2", size=1000)
    store.write(changed(record, event_of(2, {"message": "x" * 1000}), snapshot=snapshot_of(1, {"x": "x" * 1000})))
    assert ids(store) == ["task_1", "task_2"]
    running(store, "task_3")
    assert ids(store) == ["task_2", "task_3"]
    assert accept(store, record_of(job_of("task_4", None))) == FULL


def test_a_task_that_is_over_takes_no_more_than_its_text():
    """Not the room, of kilobytes, in which the text was written."""
    store = MemoryState()
    finished(store, "task_0")
    tracemalloc.start()
    try:
        for number in range(1, 51):
            finished(store, f"task_{number}")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 50 < RECORD


def test_what_grows_beyond_the_bound_makes_the_oldest_go():
    """A task that runs may say more than there is room for; what is over has to go then."""
    store = MemoryState(Limits(task_bytes=3 * RECORD))
    finished(store, "task_1")
    finished(store, "task_2")
    record = running(store, "task_3")
    assert store.write(changed(record, snapshot=snapshot_of(1, {"x": "x" * 10})))
    assert ids(store) == ["task_2", "task_3"]
    assert store.write(changed(changed(record).record, snapshot=snapshot_of(2, {"x": "x" * 2 * RECORD})))
    assert ids(store) == ["task_3"]


def test_a_reply_larger_than_all_room_is_not_kept():
    """Nothing is remembered beyond the bound, but that it has run."""
    store = MemoryState(Limits(task_bytes=RECORD + 10))
    finished(store, "task_1", "key", reply=bytes(11))
    assert ids(store) == []
    assert accept(store, record_of(job_of("task_2", "key"))) == Refused("forgotten")
    assert accept(store, record_of(job_of("task_2", "another"))) == Fresh()


def test_a_key_stays_spent_when_its_task_had_to_go():
    """Whoever fills the store makes nothing run twice: until the reply would have expired, a retry is told."""
    store = MemoryState(Limits(tasks=1))
    finished(store, "task_1", "key", expires=T + 100.0)
    running(store, "task_2")
    assert accept(store, record_of(job_of("task_3", "key")), nonce_of("n"), now=T + 99.0) == Refused("forgotten")
    assert accept(store, None, nonce_of("n"), now=T + 99.0) == Fresh()  # nothing was claimed for what was refused
    assert accept(store, record_of(job_of("task_3", "key")), now=T + 100.0) == FULL


@pytest.mark.parametrize(("keys", "answer"), [(2, Refused("forgotten")), (1, FULL), (0, FULL)])
def test_keys_that_are_spent_are_bounded(keys, answer):
    """The oldest goes first."""
    store = MemoryState(Limits(tasks=1, keys=keys))
    finished(store, "task_1", "one")
    finished(store, "task_2", "two")
    running(store, "task_3")
    assert accept(store, record_of(job_of("task_4", "one"))) == answer


@pytest.mark.parametrize(("room", "answer"), [(2 * RECORD + 6 * 450, FULL), (2 * RECORD + 7 * 450, Fresh())])
def test_a_task_takes_as_much_room_as_what_is_kept_of_it(room, answer):
    """Lines and snapshots that went give their bytes back: one that says much, and long, does not fill the store."""
    store = MemoryState(Limits(task_events=2, task_snapshots=2, task_bytes=room))
    record = running(store)
    for number in range(1, 100):
        said = {"message": "x" * 400}
        change = changed(record, event_of(number, said), snapshot=snapshot_of(number, said))
        assert store.write(change)
        record = change.record
    assert accept(store, record_of(job_of("task_2", None))) == answer


def test_what_stands_in_the_first_line_of_a_log_takes_room():
    """As all that is kept of a task does."""
    store = MemoryState(Limits(task_bytes=RECORD + 100))
    event = event_of(1, {"message": "x" * 200})
    assert store.accept(record_of(job_of("task_1")), None, (event,), now=T) == FULL


def test_a_task_that_is_over_is_read_as_it_was_written():
    """Whatever it was asked, and however it stands for it."""
    store = MemoryState()
    tool = evolve(job_of(), payload=TaskRequest("", "add", {"a": 1}))
    asked = record_of(tool, events=1)
    assert store.accept(asked, None, (event_of(1, {"percent": 1}),), now=T) == Fresh()
    change = ended(asked, reply=b'"result":{}', expires=T + 100.0)
    assert store.write(change)
    assert store.read("task_1", now=T) == change.record
    assert store.events("task_1", after=0, most=10) == (event_of(1, {"percent": 1}), *change.events)


def test_a_request_that_its_handler_has_made_no_json_is_kept_all_the_same():
    """It was given the very input, and may have put anything there."""
    store = MemoryState()
    record = running(store)
    record.job.payload.input["made"] = {1, 2}
    change = ended(record, reply=b'"result":{}', expires=T + 100.0)
    assert store.write(change)
    assert store.read("task_1", now=T) == change.record


def test_a_request_that_its_handler_has_made_deeper_than_any_that_comes_is_read_all_the_same():
    """Whatever is written can be read: else no retry would find its answer, and nobody could list the tasks."""
    store = MemoryState()
    record = running(store, key="key")
    inner = record.job.payload.input
    for _ in range(245):
        inner["deeper"] = inner = {}
    change = ended(record, reply=b"reply")
    assert store.write(change)
    assert store.tasks() == (change.record,)
    assert accept(store, record_of(job_of("task_2"))) == Kept("task_1", b"reply")


@pytest.mark.parametrize("size", [0, 100_000], ids=["taken for small", "known to be large"])
def test_a_large_request_that_is_over_is_not_read_again_for_whoever_asks_for_it(size):
    """Else a few bytes with its key, again and again, would each hold up all others for as long as megabytes take."""
    store = MemoryState()
    record = running(store, key="key", size=size)
    record.job.payload.input["pad"] = "x" * 20_000
    assert store.write(ended(record, reply=b"reply"))
    assert store.read("task_1", now=T).job is record.job


# -- tasks that end as nearly all do -----------------------------------------------------------------------------------


def test_a_task_that_is_begun_and_ended_is_told_like_one_that_is_written():
    """While it runs and when it is over: its record, its log, its key, and the room that it takes."""
    straight, told = MemoryState(), MemoryState()
    task, written = begun(straight, key="key", size=7), running(told, key="key", size=7)
    for store in (straight, told):
        assert store.read("task_1", now=T) == written
        assert store.tasks(status=WORKING) == (written,)
        assert store.events("task_1", after=0, most=9) == (event_of(1),)
        assert store.snapshot("task_1") is None
        assert accept(store, record_of(job_of("task_2"))) == Busy("task_1")
        assert store._bytes == RECORD + 7
    assert over(straight, task)
    line = TaskEvent(2, T + 1, "status_change", TaskStatus.COMPLETED)
    change = ended(written, reply=b"reply", updated=T + 1, events=2)
    assert told.write(Change(change.record, (line,)))
    for store in (straight, told):
        assert store.read("task_1", now=T) == told.read("task_1", now=T)
        assert store.events("task_1", after=0, most=9) == (event_of(1), line)
        assert store.snapshot("task_1") is None
        assert accept(store, record_of(job_of("task_2"))) == Kept("task_1", b"reply")
        assert store._bytes == store._done_bytes == RECORD + 7 + 5
        assert store.read("task_1", now=T + 100.0) is None


@pytest.mark.parametrize(
    "touch",
    [
        lambda store, record: store.write(changed(record, event_of(2, {"percent": 1}))),
        lambda store, record: store.take_over("two", now=T + 15.0, until=T + 30.0, most=1),
        lambda store, record: store.write(ended(record)),
        lambda store, record: store.forget(now=T) or store._drop("task_1"),
    ],
    ids=["written", "taken over", "over", "gone"],
)
def test_a_task_that_others_wrote_of_is_not_ended_past_them(touch):
    """It has to be written, against the version that is there."""
    store = MemoryState()
    task = begun(store)
    touch(store, task.record)
    before = store.tasks()
    assert not over(store, task)
    assert store.tasks() == before


def test_a_task_that_is_begun_is_renewed():
    """And is ended all the same: nobody has written of it."""
    store = MemoryState()
    task = begun(store)
    assert store.renew("one", until=T + 60.0) == {"task_1": 1}
    assert store.read("task_1", now=T) == evolve(task.record, lease=T + 60.0)
    assert over(store, task)


def test_a_request_that_can_not_be_kept_as_a_text_is_left_to_be_written():
    """Where its handler has made it no JSON, or it is large, or so is what its handler has made of it."""
    store = MemoryState()
    wild, large, grown = begun(store, "task_1"), begun(store, "task_2", size=100_000), begun(store, "task_3")
    wild.job.payload.input["made"] = {1, 2}
    grown.job.payload.input["pad"] = "x" * 20_000
    assert [over(store, task) for task in (wild, large, grown)] == [False, False, False]
    assert [store.write(ended(task.record)) for task in (wild, large, grown)] == [True, True, True]


def test_a_log_that_may_have_but_one_line_is_left_to_be_written():
    """It is shortened then."""
    store = MemoryState(Limits(task_events=1))
    task = begun(store)
    assert not over(store, task)
    assert store.write(changed(task.record, event_of(2)))
    assert store.events("task_1", after=0, most=9) == (event_of(2),)


def test_what_ends_makes_the_oldest_go():
    """Where its reply is more than there is room for."""
    store = MemoryState(Limits(task_bytes=3 * RECORD))
    assert over(store, begun(store, "task_1"))
    task = begun(store, "task_2")
    assert over(store, task, bytes(RECORD + 1))
    assert ids(store) == ["task_2"]
    assert store._bytes == store._done_bytes == 2 * RECORD + 1


def test_a_task_that_went_straight_takes_no_more_than_its_text():
    """Not the room, of kilobytes, in which the text was written, nor the objects that were read of it."""
    store = MemoryState()
    over(store, begun(store, "task_0"))
    tracemalloc.start()
    try:
        for number in range(1, 51):
            assert over(store, begun(store, f"task_{number}"))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 50 < RECORD


class Accepting(MemoryState):
    """A store of somebody's own, who does more with what is accepted."""

    asked = ()

    def accept(self, record, nonce, events, *, now):
        self.asked = (*self.asked, record)
        return super().accept(record, nonce, events, now=now)


class Writing(MemoryState):
    """The same with what is written."""

    asked = ()

    def write(self, change):
        self.asked = (*self.asked, change.record)
        return super().write(change)


def test_a_store_with_an_accept_of_its_own_hears_of_each_task():
    """Those that run at once too."""
    store = Accepting()
    task = begun(store)
    assert store.asked == (task.record,)


def test_a_store_with_a_write_of_its_own_hears_of_each_end():
    """What ends as nearly all do is left to be written."""
    store = Writing()
    task = begun(store)
    assert not over(store, task)
    assert store.write(ended(task.record))
    assert store.asked == (ended(task.record).record,)


class Listening:
    """More that is done with either, for any store."""

    asked = ()

    def __init_subclass__(cls, *, called="", **named):
        super().__init_subclass__(**named)
        cls.called = called

    def accept(self, record, nonce, events, *, now):
        self.asked = (*self.asked, record)
        return super().accept(record, nonce, events, now=now)

    def write(self, change):
        self.asked = (*self.asked, change.record)
        return super().write(change)


class Listened(Listening, MemoryState):
    pass


class Listener(Listened):
    pass


@pytest.mark.parametrize("kind", [Listened, Listener])
def test_a_store_that_inherits_an_accept_and_a_write_beside_ours_hears_of_each_task(kind):
    """Its own class has neither."""
    store = kind()
    task = begun(store)
    assert not over(store, task)
    assert store.write(ended(task.record))
    assert store.asked == (task.record, ended(task.record).record)


class Shortcut(Listened):
    """A store that knows of the shorter way, and hears of what takes it."""

    def accept(self, record, nonce, events, *, now):
        return super().accept(record, nonce, events, now=now)

    def begin(self, task, nonce):
        self.asked = (*self.asked, task)
        return MemoryState.begin(self, task, nonce)

    def write(self, change):
        return super().write(change)

    def end(self, job, envelope, reply, *, now, expires):
        self.asked = (*self.asked, reply)
        return MemoryState.end(self, job, envelope, reply, now=now, expires=expires)


def test_a_store_with_a_begin_and_an_end_of_its_own_is_asked_by_these():
    """Though it has an accept and a write of its own as well."""
    store = Shortcut()
    task = begun(store)
    assert over(store, task)
    assert store.asked == (task, b"reply")


K = TypeVar("K")


def test_a_store_may_have_other_bases_that_hear_of_their_subclasses():
    """What is said of the class is theirs to read."""

    class Named(MemoryState, Listening, Generic[K], called="memory"):
        pass

    assert Named.called == "memory"
    assert Named[int]().tasks() == ()
    store = Named()
    assert over(store, begun(store))  # ours come first: theirs are never asked


def test_an_answer_takes_room():
    """What a task is told is kept with it."""
    store = MemoryState(Limits(task_bytes=3 * RECORD))
    finished(store, "task_1")
    record = running(store, "task_2")
    assert store.write(changed(record, answers=({"a": "x" * 800},)))
    assert ids(store) == ["task_1", "task_2"]
    more = changed(record, answers=({"a": "x" * 800},)).record
    assert store.write(changed(more, answers=(*more.answers, {"a": [0] * 12})))
    assert ids(store) == ["task_2"]


# -- reading and writing ---------------------------------------------------------------------------------------------


def test_a_task_is_read_until_its_time():
    """What is unknown, or over for long enough, is nothing."""
    store = MemoryState()
    record = finished(store, "task_1", expires=T + 100.0)
    assert store.read("task_1", now=T + 99.9) == record
    assert store.read("task_1", now=T + 100.0) is None
    assert store.read("task_9", now=T) is None


def test_a_write_that_was_overtaken_is_refused():
    """So is one to a task that is over, or that nobody knows: nothing of it is kept."""
    store = MemoryState()
    record = running(store)
    first, second = changed(record, event_of(2), progress={"percent": 1}), changed(record, event_of(2))
    assert [store.write(first), store.write(second), store.write(first)] == [True, False, False]
    assert store.read("task_1", now=T) == first.record
    assert len(store.events("task_1", after=0, most=10)) == 2
    last = ended(first.record)
    assert [store.write(last), store.write(changed(last.record))] == [True, False]
    assert store.write(changed(record_of(job_of("task_9")))) is False


def test_a_log_is_read_from_a_number_on():
    """Oldest first, as many lines as are wanted; the oldest of a long one are gone."""
    store = MemoryState(Limits(task_events=3))
    lines = [event_of(number) for number in range(2, 6)]
    store.write(changed(running(store), *lines))
    assert store.events("task_1", after=0, most=10) == tuple(lines[1:])
    assert store.events("task_1", after=3, most=1) == (lines[2],)
    assert store.events("task_1", after=5, most=10) == ()
    assert store.events("task_9", after=0, most=10) == ()


def test_snapshots_are_found_by_version_by_id_or_as_the_newest():
    """The oldest of many are gone; a task that saved nothing has none."""
    store = MemoryState(Limits(task_snapshots=2))
    record = running(store)
    assert store.snapshot("task_1") is None
    for version in (1, 2, 3):
        change = changed(record, snapshot=snapshot_of(version))
        assert store.write(change)
        record = change.record
    assert [store.snapshot("task_1", which) for which in (None, 3, 2, "snap_2")] == [
        snapshot_of(version) for version in (3, 3, 2, 2)
    ]
    assert [store.snapshot("task_1", which) for which in (1, "snap_1", "3")] == [None] * 3
    assert store.snapshot("task_9") is None


def test_a_snapshot_is_a_copy():
    """What a handler goes on to do with its data changes nothing in the store."""
    store = MemoryState()
    data = {"step": 1}
    store.write(changed(running(store), snapshot=snapshot_of(1, data)))
    data["step"] = 2
    assert store.snapshot("task_1").data == {"step": 1}


def test_tasks_are_listed_by_id():
    """After an id, of a status, as many as are wanted; those that run and those that are over."""
    store = MemoryState()
    running(store, "task_3")
    finished(store, "task_2")
    running(store, "task_1", status=SUBMITTED)
    assert ids(store) == ["task_1", "task_2", "task_3"]
    assert [record.id for record in store.tasks(after="task_1", most=1)] == ["task_2"]
    assert [record.id for record in store.tasks(status=WORKING)] == ["task_3"]
    assert [record.id for record in store.tasks(status=SUBMITTED, after="task_1")] == []


def test_what_is_over_is_forgotten():
    """As many as are wanted; what runs never is."""
    store = MemoryState()
    running(store, "task_0")
    for number in (1, 2, 3):
        finished(store, f"task_{number}", expires=T + number)
    assert store.forget(now=T + 2.0, most=1) == 1
    assert store.forget(now=T + 2.0) == 1
    assert ids(store) == ["task_0", "task_3"]
    assert store.forget(now=NEVER) == 1


def test_what_is_over_goes_as_others_come():
    """Even if nobody ever tells the store to forget: looked for once a second."""
    store = MemoryState()
    finished(store, "task_1", expires=T + 1.0)
    running(store, "task_2")
    assert accept(store, record_of(job_of("task_3", None)), now=T + 0.9) == Fresh()
    assert ids(store) == ["task_1", "task_2", "task_3"]
    assert accept(store, record_of(job_of("task_4", None)), now=T + 1.0) == Fresh()
    assert ids(store) == ["task_2", "task_3", "task_4"]


# -- leases ----------------------------------------------------------------------------------------------------------


def test_a_worker_renews_what_it_holds():
    """It learns the versions, which stay as they are; what waits for an answer is nobody's."""
    store = MemoryState()
    running(store, "task_1")
    running(store, "task_2", owner="two")
    running(store, "task_3", version=5)
    running(store, "task_4", status=WAITING)
    finished(store, "task_5")
    assert store.renew("one", until=T + 30.0) == {"task_1": 1, "task_3": 5}
    assert [store.read(id, now=T).lease for id in ("task_1", "task_2", "task_4")] == [T + 30.0, T + 15.0, T + 15.0]


def test_a_lease_that_was_renewed_is_not_taken_back():
    """By its worker's next write, of a record that was read before; whoever gives the task back ends it."""
    store = MemoryState()
    record = running(store, "task_1")
    store.renew("one", until=T + 30.0)
    assert store.write(changed(record, lease=T + 20.0))
    assert store.read("task_1", now=T).lease == T + 30.0
    assert store.write(changed(store.read("task_1", now=T), owner="", lease=0.0))
    assert store.read("task_1", now=T).lease == 0.0


def test_what_nobody_runs_is_taken_over():
    """The oldest first, as many as are wanted, once their lease is over; what waits for an answer is not."""
    store = MemoryState()
    running(store, "task_1", lease=T + 5.0)
    running(store, "task_2", status=SUBMITTED, owner="", lease=0.0)
    running(store, "task_3", status=WAITING, owner="", lease=0.0)
    running(store, "task_4", lease=T + 4.9)
    running(store, "task_5", lease=T + 5.1)
    finished(store, "task_6")
    assert store.take_over("two", now=T + 5.0, until=T + 20.0, most=0) == ()
    taken = store.take_over("two", now=T + 5.0, until=T + 20.0, most=2)
    assert [(record.id, record.owner, record.lease, record.version) for record in taken] == [
        ("task_1", "two", T + 20.0, 2),
        ("task_2", "two", T + 20.0, 2),
    ]
    assert [record.id for record in store.take_over("two", now=T + 5.0, until=T + 20.0, most=2)] == ["task_4"]
    assert store.read("task_1", now=T) == taken[0]


def test_who_lost_a_task_can_not_write_it():
    """What its last worker still says, if it lives, is refused."""
    store = MemoryState()
    record = running(store, "task_1")
    (taken,) = store.take_over("two", now=T + 15.0, until=T + 30.0, most=1)
    assert store.write(ended(record)) is False
    assert store.write(ended(taken)) is True


# -- quotas ----------------------------------------------------------------------------------------------------------


def test_a_quota_is_each_callers_own():
    """What one caller spends, another still has."""
    store = MemoryQuotas(parse_quota("1/second"))
    assert isinstance(store.spend("a", 1, now=0.0), Allowed)
    assert store.spend("a", 1, now=0.0).seconds == 1.0
    assert isinstance(store.spend("b", 1, now=0.0), Allowed)


def test_the_caller_unseen_for_longest_is_forgotten():
    """Only so many callers are remembered; a forgotten one finds full buckets."""
    store = MemoryQuotas(parse_quota("1/day"), Limits(callers=2))
    for caller in "aba":
        store.spend(caller, 1, now=0.0)
    store.spend("c", 1, now=0.0)
    assert isinstance(store.spend("a", 1, now=0.0), RetryAfter)
    assert isinstance(store.spend("b", 1, now=0.0), Allowed)


def test_who_has_spent_nothing_makes_nobody_be_forgotten():
    """A look at full buckets leaves them full, and so does what is given back; as a caller never seen has them."""
    store = MemoryQuotas(parse_quota("1/second"), Limits(callers=1))
    store.spend("a", 1, now=0.0)
    store.spend("b", 0, now=0.0)
    store.spend("c", -1, now=0.0)
    assert isinstance(store.spend("a", 1, now=0.0), RetryAfter)
    assert isinstance(store.spend("b", 1, now=0.0), Allowed)


def test_no_number_of_addresses_makes_an_agent_be_forgotten():
    """Who has spent its quota could else have it back by guessing at credentials from many addresses."""
    store = MemoryQuotas(parse_quota("1/day"), Limits(callers=2))
    store.spend("urn:asap:agent:a", 1, now=0.0)
    for n in range(9):
        store.spend(f"guesses from 192.0.2.{n}", 1, now=0.0)
        store.spend(f"192.0.2.{n}", 1, now=0.0)
    assert isinstance(store.spend("urn:asap:agent:a", 1, now=0.0), RetryAfter)
