"""A task in the hands of its handler: what it may ask, and what it is told."""

import pytest
from attrs import evolve

from asap_proto.errors import IllegalMove, InvalidValue, Overloaded, TakenOver
from asap_proto.limits import Limits
from asap_proto.model import (
    StateSnapshot,
    TaskStatus,
    TaskUpdate,
    TextPart,
)
from asap_proto.roles import (
    InputNeeded,
    ReadSnapshot,
    ReadTask,
    Suspended,
    TimedOut,
    Write,
)
from asap_proto.roles.commands import Cancelled
from asap_proto.roles.running import TaskCancelled, TaskRole, artifact_uri
from asap_proto.stores import NEVER, Change, Started, TaskEvent
from asap_testkit import (
    NOW,
    PEER,
    FixedClock,
    asks,
    error_of,
    finish,
    fixed_sources,
    told,
)
from asap_testkit.receiving import writes
from asap_testkit.records import job_of, record_of, snapshot_of
from asap_testkit.running import CALLS, WRITES, a_task, answer_by, envelope_in

AT = NOW.timestamp()
WORKING, WAITING, CANCELLED = TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED, TaskStatus.CANCELLED


class Meanwhile(Started):
    """A task of which another thread of the handler writes while its record is made."""

    @property
    def record(self):
        before = super().record
        self.job.payload.input["task"].record = evolve(before, version=2, snapshots=1)
        return before


def test_a_thread_that_looks_at_a_task_takes_nothing_back_that_another_has_written():
    """Both may find that nobody has written of it yet: what was saved then is there to be loaded all the same."""
    job = job_of()
    job.payload.input["task"] = task = TaskRole(Meanwhile(job, "one", 1015.0), PEER, fixed_sources(), Limits())
    assert not task.cancelled
    assert task.record.snapshots == 1
    assert task.job is job


# -- what a handler says ---------------------------------------------------------------------------------------------


@pytest.mark.proves("task.progress")
def test_progress_is_written_and_told():
    """As the next line of the log, and as how the task stands; with its words, where there are some."""
    task = a_task(events=3)
    change = writes(steps := task.progress(40, "nearly"))
    said = {"percent": 40, "message": "nearly"}
    assert (change.record.version, change.record.events, change.record.progress) == (2, 4, said)
    [event] = change.events
    assert (event.number, event.at, event.kind, event.status, event.data) == (4, AT, "progress", WORKING, said)
    assert finish(steps, True) == TaskUpdate("task_1", "progress", WORKING, said)
    assert writes(task.progress(0.5)).record.progress == {"percent": 0.5}


@pytest.mark.proves("payload.update-percent")
@pytest.mark.parametrize("percent", [-1, 100.5, True, "40", None, float("nan")])
def test_progress_is_a_percentage(percent):
    """Anything else is the handler's mistake, and nothing is written."""
    assert isinstance(error_of(next, a_task().progress(percent)), InvalidValue)


@pytest.mark.proves("state.save")
def test_what_is_saved_is_a_copy_with_a_version_and_an_id():
    """What the handler then does to its data is its own; a checkpoint says so."""
    task, data = a_task(snapshots=1, restored=1), {"list": [1]}
    change = writes(steps := task.save(data, checkpoint=True))
    data["list"].append(2)
    assert (change.record.snapshots, change.record.restored, change.record.events) == (2, None, 1)
    assert finish(steps, True) == change.snapshot
    id = change.snapshot.id
    assert change.snapshot == StateSnapshot(id, "task_1", 2, {"list": [1]}, NOW, True)
    said = {"snapshot_id": id, "version": 2, "checkpoint": True}
    assert change.events == (TaskEvent(1, AT, "snapshot", WORKING, said),)
    assert not writes(task.save({})).snapshot.checkpoint


@pytest.mark.proves("state.save")
@pytest.mark.parametrize("restored", [None, 3])
def test_what_is_loaded(restored):
    """The newest snapshot, or the one that the task was restored to, by whichever worker it was saved."""
    steps = a_task(snapshots=5, restored=restored).load()
    assert asks(steps) == ReadSnapshot("task_1", restored)
    assert finish(steps, snapshot_of(5)) == {"step": 5}


@pytest.mark.proves("state.save")
def test_what_was_never_saved_or_is_gone():
    """There is nothing to load; where nothing was saved the store is not even asked."""
    assert told(a_task().load()) is None
    assert told(a_task(snapshots=5).load(), None) is None


@pytest.mark.proves("task.artifact")
def test_an_artifact_is_written_with_its_parts():
    """Its ids are its own; whoever is told of it can fetch it."""
    change = writes(steps := a_task().artifact("picture", [TextPart("a house"), TextPart("a tree")]))
    artifact = finish(steps, True)
    assert (artifact.task_id, artifact.name, len(set(artifact.parts))) == ("task_1", "picture", 2)
    assert artifact.created_at == NOW
    [event] = change.events
    assert (event.number, event.at, event.kind, event.status) == (1, AT, "artifact", WORKING)
    assert event.data["artifact"]["id"] == artifact.id
    assert event.data["parts"] == [{"type": "text", "content": "a house"}, {"type": "text", "content": "a tree"}]
    assert artifact_uri("task_1", artifact.id) == f"asap:artifact:task_1/{artifact.id}"


DEEP = [[[[[]]]]]


MISTAKES = {
    "no JSON": (lambda task: task.save({"x": object()}), "a snapshot is no JSON"),
    "no text for a key": (lambda task: task.save({1: 2}), "a snapshot is no JSON"),
    "no object": (lambda task: task.save(["x"]), "a snapshot is an object"),
    "deep": (lambda task: task.save({"x": DEEP}), "nested deeper than 5 levels"),
    "large": (lambda task: task.save({"x": "x" * 93}), "101 bytes are too many for a snapshot; at most 100"),
    "deep words": (lambda task: task.progress(1, DEEP), "nested deeper than 5 levels"),
    "many words": (lambda task: task.progress(1, "x" * 100), "too many for what is said of progress"),
    "deep question": (lambda task: task.need_input({"question": DEEP}), "nested deeper than 5 levels"),
    "long question": (lambda task: task.need_input({"question": "x" * 100}), "too many for a question"),
    "large artifact": (lambda task: task.artifact("x" * 100, []), "too many for an artifact (give a FilePart"),
}


@pytest.mark.parametrize(("ask", "words"), MISTAKES.values(), ids=MISTAKES)
def test_what_can_not_be_kept_is_the_handlers_mistake(ask, words):
    """It is told at once, before anything is written: what a store or a peer could not read back is never kept."""
    error = error_of(next, ask(a_task(Limits(json_depth=5, event_bytes=100, snapshot_bytes=100))))
    assert isinstance(error, InvalidValue)
    assert words in error.message


# -- what a handler asks its caller ----------------------------------------------------------------------------------


@pytest.mark.proves("task.question")
def test_each_question_has_its_answer():
    """A handler is run again with the answers it had, in order; for the next it is looked whether there is one yet."""
    task = a_task(answers=({"input": 1}, {"input": 2}))
    assert told(task.need_input({"question": "first?"})) == {"input": 1}
    assert told(task.need_input({"question": "second?"})) == {"input": 2}
    steps = task.need_input({"question": "third?"})
    assert asks(steps) == ReadTask("task_1", AT)
    with pytest.raises(InputNeeded) as caught:
        steps.send(task.record)
    assert caught.value.question == {"question": "third?"}
    assert caught.value.args == (caught.value.question,)
    assert not isinstance(caught.value, Exception)


@pytest.mark.proves("task.question")
def test_an_answer_that_has_just_come():
    """Is found by the look."""
    task = a_task()
    steps = task.need_input({"question": "?"})
    asks(steps)
    assert finish(steps, evolve(task.record, version=2, answers=({"input": 1},))) == {"input": 1}


@pytest.mark.proves("task.question")
def test_a_run_that_ends_in_a_question():
    """Leaves a task that waits, owned by nobody, until it is told or forgotten; who asked is told the question."""
    task, question = a_task(), {"question": "where to?"}
    before = task.record
    change = writes(steps := task.settle(Suspended(question)))
    waits = {"status": WAITING, "owner": "", "lease": NEVER, "expires": AT + 86_400.0, "question": question}
    assert change == Change(
        evolve(before, version=2, updated=AT, events=1, **waits),
        (TaskEvent(1, AT, "input_required", WAITING, question),),
    )
    settled = finish(steps, True)
    assert settled.error is None
    envelope = envelope_in(settled.member)
    assert {**envelope, "payload": None} == answer_by("01KDYAK3830000000000000001", None)
    assert (envelope["payload"]["status"], envelope["payload"]["result"]) == ("input_required", question)


@pytest.mark.proves("task.question")
def test_a_question_of_a_handler_that_was_cut_off():
    """Stands once it is written: nobody has asked for a cancel, and no other worker has the task."""
    task = a_task()
    task.interrupted = True
    writes(steps := task.settle(Suspended({"question": "?"})))
    assert finish(steps, True).error is None


@pytest.mark.proves("task.cancel", "task.question")
def test_a_question_that_meets_a_cancel():
    """A task that is to be cancelled does not wait to be told anything: it is cancelled."""
    task = a_task()
    steps = task.settle(Suspended({"question": "?"}))
    assert writes(steps).record.status is TaskStatus.INPUT_REQUIRED
    asks(steps, False)
    change = writes(steps, evolve(task.record, version=2, cancel="enough"))
    assert (change.record.status, change.record.version, change.record.cancel) == ("cancelled", 3, "enough")
    assert b'"cancelled"' in finish(steps, True).member


@pytest.mark.proves("task.question")
def test_a_question_that_finds_no_room():
    """Where too many tasks wait already the run has failed, and its caller may try again."""
    task = a_task()
    steps = task.settle(Suspended({"question": "?"}))
    writes(steps)
    command = steps.throw(Overloaded("too many tasks wait for an answer", facts={"retry_after": 1}))
    assert (command.change.record.status, command.change.record.job.slot) == ("failed", None)
    assert isinstance(finish(steps, True).error, Overloaded)


# -- whether it still has its task -----------------------------------------------------------------------------------


@pytest.mark.proves("task.cancel")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("how", ["interrupted", "asked"])
def test_a_cancelled_task_tells_whatever_is_called_next(name, how):
    """By no `Exception`, so that no handler catches it by accident; whether its worker was told or has read it."""
    task = a_task(cancel="enough" if how == "asked" else None)
    task.interrupted = how == "interrupted"
    assert task.cancelled
    answers = {"check": [task.record], "load": [], "need_input": []}.get(name, [True])
    with pytest.raises(TaskCancelled) as caught:
        told(CALLS[name](task), *answers)
    assert not isinstance(caught.value, Exception)
    assert caught.value.args == (task.record.cancel,)


@pytest.mark.proves("task.cancel")
@pytest.mark.parametrize("name", WRITES)
def test_a_cancel_that_another_worker_was_asked_for(name):
    """Is found by the next write, which somebody else's has overtaken; what was to be written is written first."""
    task = a_task()
    steps = CALLS[name](task)
    writes(steps)
    asks(steps, False)
    again = writes(steps, evolve(task.record, version=2, cancel="enough"))
    assert (again.record.version, again.record.cancel) == (3, "enough")
    with pytest.raises(TaskCancelled):
        steps.send(True)


@pytest.mark.proves("store.compare-and-set")
@pytest.mark.parametrize("name", WRITES)
def test_a_write_that_was_overtaken_is_made_anew(name):
    """Of what the other one wrote: both are in the log, under numbers of their own."""
    task = a_task(events=1)
    steps = CALLS[name](task)
    assert writes(steps).events[0].number == 2
    assert asks(steps, False) == ReadTask("task_1", AT)
    change = writes(steps, evolve(task.record, version=2, events=2))
    assert (change.record.version, change.record.events, change.events[0].number) == (3, 3, 3)
    finish(steps, True)
    assert task.record == change.record


LOST = {
    "forgotten": None,
    "another worker's": record_of(version=2, owner="two"),
    "ours again, for another run": record_of(version=4, runs=2),
    "given back": record_of(version=2, owner=""),
    "over": record_of(version=2, status=TaskStatus.FAILED),
}


@pytest.mark.proves("recovery.fencing")
@pytest.mark.parametrize("found", LOST.values(), ids=LOST)
@pytest.mark.parametrize("name", [*WRITES, "check", "need_input", "begin", "release", "settle"])
def test_a_run_that_has_lost_its_task_writes_nothing_more(found, name):
    """Whatever it does: the run that has it now is the one whose word counts."""
    others = {"begin": TaskRole.begin, "release": TaskRole.release, "settle": lambda task: task.settle(TimedOut())}
    steps = {**CALLS, **others}[name](a_task())
    if isinstance(next(steps), Write):
        asks(steps, False)
    with pytest.raises(TakenOver):
        steps.send(found)


@pytest.mark.proves("task.cancel")
@pytest.mark.parametrize("name", [*WRITES, "check", "need_input"])
def test_a_handler_whose_task_was_cancelled_meanwhile(name):
    """Is told that, though its task is over."""
    steps = CALLS[name](a_task())
    if isinstance(next(steps), Write):
        asks(steps, False)
    with pytest.raises(TaskCancelled) as caught:
        steps.send(record_of(version=2, status=CANCELLED, cancel="enough"))
    assert caught.value.args == ("enough",)


#: What is done with a task around its handler.
AROUND = {
    "begin": TaskRole.begin,
    "release": TaskRole.release,
    "settle": lambda task: task.settle(TimedOut()),
    "give up": lambda task: task.settle(Cancelled()),
    "suspend": lambda task: task.settle(Suspended({"question": "?"})),
}


@pytest.mark.proves("recovery.fencing", "task.cancel")
@pytest.mark.parametrize("name", AROUND)
def test_a_run_whose_task_was_cancelled_meanwhile(name):
    """Has no task any more: there is no handler left to be told of the cancel, be it found now or known before."""
    steps = AROUND[name](a_task())
    if isinstance(next(steps), Write):
        asks(steps, False)
    over = record_of(version=2, status=CANCELLED, cancel="enough")
    error = error_of(steps.send, over)
    assert isinstance(error, TakenOver)
    assert error.message
    assert isinstance(error_of(next, AROUND[name](a_task(status=CANCELLED, cancel="enough"))), TakenOver)


@pytest.mark.proves("lifecycle.table")
@pytest.mark.parametrize(("name", "status"), [("settle", "failed"), ("suspend", "input_required")])
def test_a_run_that_never_began_does_not_end(name, status):
    """The table has no such move; the error names the task."""
    error = error_of(next, AROUND[name](a_task(status=TaskStatus.SUBMITTED)))
    assert isinstance(error, IllegalMove)
    assert error.facts == {"from_state": "submitted", "to_state": status, "task_id": "task_1"}


@pytest.mark.proves("recovery.fencing")
@pytest.mark.parametrize("name", WRITES)
def test_a_thread_that_goes_on_after_its_task_was_given_back(name):
    """It can't be stopped, but what it says is not written: its task is another run's by now, or soon."""
    task = a_task()
    told(task.release(), True)
    with pytest.raises(TakenOver):
        next(CALLS[name](task))


@pytest.mark.proves("task.cancel")
@pytest.mark.parametrize("name", WRITES)
def test_a_thread_that_goes_on_after_its_task_was_cancelled(name):
    """Is told so by whatever it calls next."""
    task = a_task()
    told(task.settle(Cancelled()), evolve(task.record, cancel="enough"), True)
    with pytest.raises(TaskCancelled):
        next(CALLS[name](task))


@pytest.mark.proves("recovery.lease")
def test_a_write_never_shortens_the_lease():
    """Its worker renews it beside us."""
    assert writes(a_task(lease=AT + 1.0).progress(1)).record.lease == AT + 15.0
    assert writes(a_task(lease=AT + 100.0).progress(1)).record.lease == AT + 100.0


@pytest.mark.proves("recovery.fencing")
def test_a_handler_that_was_cut_off_for_another_worker():
    """That has given the task back since: nobody asked for it to be cancelled, so it goes to whoever is next."""
    task = a_task()
    task.interrupted = True
    steps = task.settle(Cancelled())
    assert asks(steps) == ReadTask("task_1", AT)
    record = writes(steps, evolve(task.record, version=5)).record
    assert (record.status, record.owner, record.version) == ("working", "", 6)
    with pytest.raises(TakenOver) as caught:
        steps.send(True)
    assert caught.value.message


@pytest.mark.proves("recovery.fencing", "task.cancel")
def test_a_handler_that_was_cut_off_for_another_worker_just_before_a_cancel():
    """What is to be cancelled is not given back: there is nobody to go on with it."""
    task = a_task()
    task.interrupted = True
    steps = task.settle(Cancelled())
    asks(steps)
    assert writes(steps, evolve(task.record, version=5)).record.owner == ""
    asks(steps, False)
    record = writes(steps, evolve(task.record, version=6, cancel="enough")).record
    assert (record.status, record.version, record.cancel) == ("cancelled", 7, "enough")
    assert finish(steps, True).error is None


@pytest.mark.proves("task.cancel")
def test_a_handler_that_gives_up_by_itself():
    """Its task is cancelled, though nobody asked for that, at the time that its answer says."""
    clock = FixedClock()
    task = TaskRole(record_of(), PEER, fixed_sources(clock), Limits())
    steps = task.settle(Cancelled())
    assert asks(steps) == ReadTask("task_1", AT)
    clock.move(1.0)
    change = writes(steps, task.record)
    assert (change.record.status, change.record.updated, change.events[0].at) == (CANCELLED, AT, AT)
    payload = {"task_id": "task_1", "status": "cancelled", "result": None, "final_state": None, "metrics": None}
    assert envelope_in(finish(steps, True).member) == answer_by("1", payload)
