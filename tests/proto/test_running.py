"""A task in the hands of its handler: what it may ask, what it is told, and how its run ends."""

import pytest
from attrs import evolve

from asap_proto.errors import Fault, IllegalMove, InvalidInput, InvalidValue, Overloaded, StateUnavailable, TakenOver
from asap_proto.limits import Limits
from asap_proto.model import (
    McpToolCall,
    McpToolResult,
    StateSnapshot,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    TextPart,
)
from asap_proto.roles import (
    Failed,
    InputNeeded,
    Invoke,
    Pause,
    Raised,
    ReadSnapshot,
    ReadTask,
    Returned,
    Saturated,
    Suspended,
    TimedOut,
    Write,
)
from asap_proto.roles.commands import Cancelled
from asap_proto.roles.running import TaskCancelled, TaskRole, artifact_uri, error_id
from asap_proto.stores import NEVER, Change, Started, TaskEvent
from asap_proto.wire import jsonrpc
from asap_testkit import (
    ME,
    NOW,
    PEER,
    FixedClock,
    asks,
    error_of,
    finish,
    fixed_sources,
    letter,
    link,
    request_frame,
    told,
)
from asap_testkit.receiving import answer_of, hold, payload_of, receive, writes
from asap_testkit.records import job_of, record_of, snapshot_of

AT = NOW.timestamp()
WORKING, WAITING, CANCELLED = TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED, TaskStatus.CANCELLED


def a_task(limits=Limits(), **changes):  # noqa: B008  (frozen)
    """A task that worker `one` runs, for the first time."""
    return TaskRole(record_of(**changes), PEER, fixed_sources(), limits)


def envelope_in(member):
    """The envelope that a request is answered with."""
    return jsonrpc.read_member(member)["result"]["envelope"]


def answer_by(id, payload, name="task.response"):
    """An envelope from the agent to whoever sent `letter`, as plain JSON values."""
    return {
        "id": id, "asap_version": "0.1", "timestamp": "2026-01-02T03:04:05.123456Z", "sender": PEER, "recipient": ME,
        "payload_type": name, "payload": payload, "correlation_id": "letter-1", "trace_id": None, "extensions": None,
    }  # fmt: skip


class Meanwhile(Started):
    """A task of which another thread of the handler writes while its record is made."""

    @property
    def record(self):
        before = super().record
        self.job.payload.input["task"].record = evolve(before, version=2, snapshots=1)
        return before


CALLS = {
    "check": lambda task: task.check(),
    "progress": lambda task: task.progress(1),
    "save": lambda task: task.save({}),
    "load": lambda task: task.load(),
    "need_input": lambda task: task.need_input({"question": "?"}),
    "artifact": lambda task: task.artifact("picture", [TextPart("a house")]),
}
#: Those that write.
WRITES = ["progress", "save", "artifact"]


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


# -- where the store is away -----------------------------------------------------------------------------------------


def goes_away(steps):
    """The store fails to do what it was asked just now; what the story asks next."""
    return steps.throw(StateUnavailable("away"))


@pytest.mark.proves("recovery.store")
@pytest.mark.parametrize("name", [*WRITES, "begin", "release", "settle"])
def test_a_write_waits_for_the_store(name):
    """One that is away for a moment costs no run."""
    others = {"begin": TaskRole.begin, "release": TaskRole.release, "settle": lambda task: task.settle(TimedOut())}
    task = a_task()
    change = writes(steps := {**CALLS, **others}[name](task))
    assert goes_away(steps) == Pause(0.5)
    assert writes(steps) == change
    finish(steps, True)
    assert task.record == change.record


@pytest.mark.proves("recovery.store")
def test_a_write_waits_no_longer_than_a_lease():
    """By then others take the task for lost."""
    clock = FixedClock()
    steps = TaskRole(record_of(), PEER, fixed_sources(clock), Limits()).progress(1)
    writes(steps)
    for _ in range(30):
        clock.move(goes_away(steps).seconds)
        writes(steps)
    with pytest.raises(StateUnavailable):
        goes_away(steps)


#: Stories that read before they do anything else, and what they are told once the store is back.
READS = {
    "check": (CALLS["check"], lambda task: task.record),
    "load": (CALLS["load"], lambda task: snapshot_of(1)),
    "need_input": (CALLS["need_input"], lambda task: evolve(task.record, answers=({"input": {}},))),
}


@pytest.mark.proves("recovery.store")
@pytest.mark.parametrize("name", READS)
def test_a_handler_that_reads_waits_for_the_store(name):
    """It asks the same again, and goes on with the answer: one that is away for a moment costs no run."""
    call, answer = READS[name]
    task = a_task(snapshots=1)
    asked = asks(steps := call(task))
    assert goes_away(steps) == Pause(0.5)
    assert asks(steps) == asked
    assert goes_away(steps) == Pause(0.5)
    assert asks(steps) == asked
    finish(steps, answer(task))


@pytest.mark.proves("recovery.store")
@pytest.mark.parametrize("name", READS)
def test_a_handler_that_reads_waits_no_longer_than_a_lease(name):
    """By then others take the task for lost."""
    clock = FixedClock()
    steps = READS[name][0](TaskRole(record_of(snapshots=1), PEER, fixed_sources(clock), Limits(lease_seconds=15.0)))
    asked = asks(steps)
    for _ in range(30):
        clock.move(goes_away(steps).seconds)
        assert asks(steps) == asked
    with pytest.raises(StateUnavailable):
        goes_away(steps)


@pytest.mark.proves("recovery.store", "task.cancel")
@pytest.mark.parametrize("name", READS)
def test_a_handler_that_is_cut_off_while_it_waits_for_the_store(name):
    """Is told so, though the store is still away."""
    task = a_task(snapshots=1)
    asks(steps := READS[name][0](task))
    goes_away(steps)
    task.interrupted = True
    with pytest.raises(TaskCancelled):
        asks(steps)


@pytest.mark.proves("recovery.store")
def test_who_was_cut_off_is_looked_up_once_the_store_is_back():
    """Whether somebody asked for that, or another worker has the task, is not known before."""
    task = a_task()
    task.interrupted = True
    steps = task.settle(Cancelled())
    assert asks(steps) == ReadTask("task_1", AT)
    assert goes_away(steps) == Pause(0.5)
    assert asks(steps) == ReadTask("task_1", AT)
    record = writes(steps, evolve(task.record, version=2, cancel="enough")).record
    assert (record.status, record.cancel) == (CANCELLED, "enough")


@pytest.mark.proves("recovery.store")
def test_a_handler_that_ended_because_its_store_was_away():
    """Has not failed: its task is given back for another run, as one of a lost worker."""
    task = a_task()
    steps = task.settle(Raised(StateUnavailable("away")))
    assert asks(steps) == ReadTask("task_1", AT)
    record = writes(steps, task.record).record
    assert (record.status, record.owner, record.reply) == ("working", "", None)
    with pytest.raises(TakenOver):
        steps.send(True)


@pytest.mark.proves("recovery.store")
def test_a_handler_that_ended_because_its_store_is_still_away():
    """Has waited for as long as a lease: nobody waits as long again, with its slot in hand, for a task it has lost."""
    steps = a_task().settle(Raised(StateUnavailable("away")))
    assert asks(steps) == ReadTask("task_1", AT)
    with pytest.raises(StateUnavailable):
        goes_away(steps)


def test_a_handler_that_was_told_that_a_peers_store_was_away():
    """Has failed as by any other exception: that was another task."""
    task = a_task()
    change = writes(task.settle(Raised(StateUnavailable("away", facts={"rpc_code": -32031}))))
    assert change.record.status == "failed"
    assert b"asap:execution/handler_failed" in change.record.reply


@pytest.mark.proves("recovery.store", "store.compare-and-set")
def test_a_write_that_was_made_though_the_store_could_not_say_so():
    """Is not made twice, and not taken for somebody else's; its lease may have been renewed since."""
    task = a_task()
    change = writes(steps := task.progress(1))
    goes_away(steps)
    writes(steps)
    assert asks(steps, False) == ReadTask("task_1", AT)
    finish(steps, evolve(change.record, lease=change.record.lease + 1.0))
    assert task.record == change.record


@pytest.mark.proves("store.compare-and-set")
def test_a_write_that_was_overtaken_by_one_just_like_it():
    """Is made anew: two threads of a handler may say the same, and both said it."""
    change = writes(steps := a_task().progress(1))
    asks(steps, False)
    again = writes(steps, change.record)
    assert (again.record.version, again.record.events) == (3, 2)


@pytest.mark.proves("recovery.store", "store.compare-and-set")
def test_a_write_that_was_overtaken_while_the_store_was_away():
    """Is made anew of what the other one wrote, or not at all."""
    task = a_task()
    writes(steps := task.progress(1))
    goes_away(steps)
    writes(steps)
    asks(steps, False)
    goes_away(steps)
    assert writes(steps).record.version == 2
    asks(steps, False)
    assert writes(steps, evolve(task.record, version=2, events=1)).record.version == 3
    finish(steps, True)
    steps = task.progress(2)
    writes(steps)
    goes_away(steps)
    writes(steps)
    asks(steps, False)
    with pytest.raises(TakenOver):
        steps.send(None)


@pytest.mark.proves("recovery.store")
@pytest.mark.parametrize("outcome", [Returned({"ok": True}), Raised(ValueError())])
def test_the_end_of_a_run_waits_for_the_store(outcome):
    """What was done is not lost because the store is away for a while: it is told once it is written."""
    wire = link()
    steps = hold(wire, request_frame(key="k"))
    wire.reach(steps, Write, outcome)
    if isinstance(outcome, Returned):  # nearly every run ends by a shorter way
        assert isinstance(goes_away(steps), Write)
    reply = answer_of(wire.run(steps, wire.perform(goes_away(steps))))
    assert reply == answer_of(wire.post(request_frame(key="k")))
    assert "error" in reply or reply["result"]["envelope"]["payload"]["result"] == {"ok": True}


# -- how a run begins and ends ---------------------------------------------------------------------------------------


@pytest.mark.proves("lifecycle.table", "recovery.released")
def test_a_run_that_begins():
    """Is counted; a task that was submitted, or waited, moves; one that was taken over works already."""
    for status in (TaskStatus.SUBMITTED, WAITING):
        before = record_of(status=status, events=1, runs=0, question={"question": "?"})
        change = writes(TaskRole(before, PEER, fixed_sources(), Limits()).begin())
        assert change == Change(
            evolve(before, status=WORKING, lease=AT + 15.0, updated=AT, version=2, events=2, runs=1, question=None),
            (TaskEvent(2, AT, "status_change", WORKING),),
        )
    taken = writes(a_task(events=2).begin())
    assert (taken.record.status, taken.record.runs, taken.record.events, taken.events) == ("working", 2, 2, ())


@pytest.mark.proves("recovery.released")
@pytest.mark.parametrize(("begun", "runs"), [(True, 1), (False, 0)])
def test_a_task_that_is_given_back(begun, runs):
    """Nobody owns it; a run that never began does not count."""
    record = writes(a_task().release(begun=begun)).record
    assert (record.status, record.owner, record.lease, record.runs) == ("working", "", 0.0, runs)
    waiting = writes(a_task(status=TaskStatus.SUBMITTED, runs=0).release(begun=begun)).record
    assert (waiting.status, waiting.runs) == ("submitted", 0)


@pytest.mark.proves("recovery.released", "task.cancel")
def test_a_task_that_is_to_be_cancelled_is_given_back_too():
    """Whoever has it next sees to that; its handler is over, so that nobody is told."""
    task = a_task(cancel="enough")
    told(task.release(), True)
    assert (task.record.owner, task.record.cancel) == ("", "enough")


def tool_call():
    """A request to run a skill as a tool."""
    return evolve(job_of(), envelope=letter(McpToolCall("r", "echo", {})))


RESPONSE = {"task_id": "task_1", "status": "completed", "result": {"n": 1}, "final_state": None, "metrics": None}
ENDS = {
    "a result": (job_of(), Returned({"n": 1}), "completed", "task.response", RESPONSE),
    "a tool's": (
        tool_call(), Returned({"n": 1}), "completed", "mcp.tool_result",
        {"request_id": "r", "success": True, "result": {"n": 1}, "error": None},
    ),
    "a tool's failure": (
        tool_call(), Raised(InvalidInput("no")), "failed", "mcp.tool_result",
        {"request_id": "r", "success": False, "result": None, "error": "no"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("job", "outcome", "status", "name", "payload"), ENDS.values(), ids=ENDS)
def test_the_end_of_a_run(job, outcome, status, name, payload):
    """Its answer goes by the id of its task; what else was known of that stays."""
    known = {"snapshots": 2, "progress": {"percent": 40}, "answers": ({"input": 1},), "cancel": "", "restored": 1}
    before = record_of(job, events=3, **known)
    steps = TaskRole(before, PEER, fixed_sources(), Limits()).settle(outcome)
    change = writes(steps)
    member = finish(steps, True).member
    assert envelope_in(member) == answer_by("1", payload, name)
    over = {"status": TaskStatus(status), "lease": 0.0, "expires": AT + Limits().task_seconds, "reply": member}
    assert change == Change(
        evolve(before, updated=AT, version=2, events=4, **over),
        (TaskEvent(4, AT, "status_change", TaskStatus(status)),),
    )


def test_a_run_that_ends_by_the_shorter_way():
    """Is answered, and written down, by the same bytes."""
    task = a_task()
    change = writes(steps := task.settle(Returned({"n": 1})))
    assert a_task().reply({"n": 1}) == (finish(steps, True).member, AT)
    assert a_task().ended(task.record.reply, AT) == change


@pytest.mark.parametrize(
    ("outcome", "code", "facts"),
    [
        (Saturated(), "asap:transport/thread_pool_exhausted", {"retry_after": 1}),
        (TimedOut(), "asap:execution/timed_out", {"most_seconds": 600.0}),
    ],
)
def test_a_run_that_the_worker_ended(outcome, code, facts):
    """Its caller is told when to come back, or how long a handler may take."""
    writes(steps := a_task().settle(outcome))
    error = finish(steps, True).error
    assert (error.code, error.facts) == (code, facts)
    assert error.message


def test_a_front_whose_handlers_end_in_no_outcome():
    """Has a bug, and hears of it; the request has failed."""
    steps = hold(link(), request_frame())
    assert writes(steps, 5).record.status is TaskStatus.FAILED
    with pytest.raises(TypeError, match="Invoke was answered with int"):
        steps.send(True)


def test_what_is_wrong_with_the_input_is_told_by_its_places():
    """Each with its kind, seen from the request."""
    writes(steps := a_task().settle(Raised(InvalidInput("no", faults=[Fault("$.input", "odd", "is odd")]))))
    assert finish(steps, True).error.faults == (Fault("$.params.envelope.input", "odd", "is odd"),)


@pytest.mark.parametrize("value", [5, {"x": object()}], ids=["no object", "no JSON"])
def test_an_operator_is_told_why_a_result_could_not_be_sent(value):
    """In the words that the peer hears, and those of the encoder, where it has failed."""
    steps = a_task().settle(Returned(value))
    event = asks(steps).event
    writes(steps)
    error = finish(steps, True).error
    cause = [str(error.__cause__)] if error.__cause__ else []
    assert bool(cause) == isinstance(value, dict)
    assert event == Failed("echo", "task_1", " ".join([error.message, *cause]))


@pytest.mark.proves("store.compare-and-set")
def test_the_end_of_a_run_that_somebody_overtakes():
    """What a subtask has told meanwhile stays; the end is written after it."""
    wire = link()
    steps = hold(wire, request_frame())
    write = wire.reach(steps, Write, Returned({"ok": True}))
    news = {"task_id": "task_x", "update_type": "progress", "status": "working", "progress": {"percent": 1}}
    task_id = write.change.record.id
    extensions = {"parent_task_id": task_id}
    wire.post(request_frame(id=2, payload_type="task.update", payload=news, extensions=extensions))
    assert payload_of(wire.run(steps, wire.perform(write)))["result"] == {"ok": True}
    log = wire.state.events(task_id, after=0, most=10)
    assert [(event.number, event.kind) for event in log] == [(1, "status_change"), (2, "subtask"), (3, "status_change")]
    assert wire.state.read(task_id, now=AT).status is TaskStatus.COMPLETED


@pytest.mark.proves("task.cancel")
def test_a_run_that_ends_well_though_it_was_to_be_cancelled():
    """What is done is done: the task is completed, and who cancelled it is told so."""
    wire = link()
    steps = hold(wire, request_frame())
    write = wire.reach(steps, Write, Returned({"ok": True}))
    cancel = receive(
        request_frame(id=2, payload_type="task.cancel", payload={"task_id": write.change.record.id}), server=wire.server
    )
    asked = wire.reach(cancel, Write)
    assert wire.perform(asked)
    assert payload_of(wire.run(steps, wire.perform(write)))["status"] == "completed"
    assert payload_of(wire.run(cancel, True))["status"] == "completed"


@pytest.mark.proves("recovery.fencing")
def test_a_request_whose_task_another_worker_has_by_now():
    """Whoever asked is asked to come back with the same key; the one that has the task answers then."""
    wire = link(server={"worker": "a", "durable": True})
    steps = hold(wire, request_frame(key="k"))
    wire.clock.move(15.0)
    [record] = wire.state.take_over("b", now=wire.clock.now().timestamp(), until=AT + 100.0, most=10)
    response = wire.run(steps, Returned({"ok": True}))
    assert (response.status, response.headers["retry-after"]) == (503, "1")
    assert answer_of(response)["error"]["data"]["code"] == "asap:task/taken_over"
    assert wire.state.read(record.id, now=AT) == record


@pytest.mark.proves("lifecycle.table")
@pytest.mark.parametrize(
    ("status", "recorded"),
    [("completed", "completed"), ("failed", "failed"), ("cancelled", "cancelled"), ("working", "completed")],
)
def test_a_handler_may_say_how_its_task_ended(status, recorded):
    """By a response of its own, with its metrics; whatever it says, the run is over."""
    task = a_task()
    response = TaskResponse("task_1", TaskStatus(status), metrics={"tokens": 1})
    change = writes(steps := task.settle(Returned(response)))
    assert change.record.status == recorded
    payload = jsonrpc.read_member(finish(steps, True).member)["result"]["envelope"]["payload"]
    assert (payload["status"], payload["metrics"]) == (status, {"tokens": 1})


def test_a_result_as_deep_as_can_be_written_can_be_asked_for():
    """What was answered once is told again, though it nests deeper than any request may."""
    value = {}
    for _ in range(251):
        value = {"x": value}
    wire = link(skills={"echo": lambda job: value})
    answer = payload_of(wire.post(request_frame()))
    assert answer["result"] == value
    query = request_frame(payload_type="state.query", payload={"task_id": answer["task_id"]})
    assert payload_of(wire.post(query))["result"] == value


# -- skills as tools -------------------------------------------------------------------------------------------------


def call(wire, tool="echo", **arguments):
    payload = {"request_id": "r", "tool_name": tool, "arguments": arguments}
    return answer_of(wire.post(request_frame(key="k", payload_type="mcp.tool_call", payload=payload)))


@pytest.mark.proves("mcp.tool")
@pytest.mark.parametrize(("value", "result"), [({"sum": 3}, {"sum": 3}), (None, {})])
def test_a_skill_as_a_tool(value, result):
    """A tool call runs the skill of its name with its arguments, and has its result."""
    wire = link(skills={"echo": lambda job: value})
    envelope = call(wire, n=1)["result"]["envelope"]
    assert envelope["payload_type"] == "mcp.tool_result"
    assert envelope["payload"] == {"request_id": "r", "success": True, "result": result, "error": None}
    assert (wire.ran[0].name, wire.ran[0].payload.input) == ("echo", {"n": 1})


@pytest.mark.proves("mcp.tool")
def test_a_tool_that_fails():
    """Answers with a failed result, without the handler's words, which a retry has too; the task has failed."""

    def fail(job):
        raise ValueError("secret")

    wire = link(skills={"echo": fail})
    payload = call(wire)["result"]["envelope"]["payload"]
    words = f"the handler failed ({error_id(wire.ran[0].task_id)})"
    assert (payload["success"], payload["result"], payload["error"]) == (False, None, words)
    assert call(wire)["result"]["envelope"]["payload"] == payload
    assert len(wire.ran) == 1
    assert wire.state.read(wire.ran[0].task_id, now=AT).status is TaskStatus.FAILED


@pytest.mark.proves("mcp.tool")
def test_a_tool_may_tell_what_is_wrong():
    """As a skill may; and answer with a result of its own."""

    def refuse(job):
        raise InvalidInput("too long")

    assert call(link(skills={"echo": refuse}))["result"]["envelope"]["payload"]["error"] == "too long"
    own = McpToolResult("r", True, {"own": 1})
    assert call(link(skills={"echo": lambda job: own}))["result"]["envelope"]["payload"]["result"] == {"own": 1}


@pytest.mark.proves("mcp.tool")
def test_a_tool_that_finds_no_thread_is_asked_for_again():
    """It never ran: a failed result would have the caller believe that it did."""
    wire = link()
    steps = hold(
        wire,
        request_frame(payload_type="mcp.tool_call", payload={"request_id": "r", "tool_name": "echo", "arguments": {}}),
    )
    response = wire.run(steps, Saturated())
    assert (response.status, answer_of(response)["error"]["data"]["code"]) == (
        503,
        "asap:transport/thread_pool_exhausted",
    )


@pytest.mark.proves("mcp.tool")
def test_a_tool_that_is_no_skill():
    """Is a failed result, as tools have it, not an error of the protocol."""
    wire = link()
    payload = call(wire, tool="missing")["result"]["envelope"]["payload"]
    assert payload == {"request_id": "r", "success": False, "result": None, "error": "no such tool"}
    assert wire.ran == []


# -- how long a handler may run --------------------------------------------------------------------------------------


@pytest.mark.proves("task.timeout")
@pytest.mark.parametrize(
    ("config", "seconds"),
    [
        (None, 600.0),
        ({}, 600.0),
        ({"timeout": 5}, 5),
        ({"timeout_seconds": 0.5}, 0.5),
        ({"timeout": 5, "timeout_seconds": 6}, 5),
        ({"timeout": 601}, 600.0),
        ({"timeout": 0}, 600.0),
        ({"timeout": -1}, 600.0),
        ({"timeout": "5"}, 600.0),
        ({"timeout": True}, 600.0),
    ],
)
def test_a_caller_may_ask_for_less_time(config, seconds):
    """A number of seconds above 0; anything else, and anything beyond the agent's limit, is passed over."""
    payload = {"conversation_id": "c", "skill_id": "echo", "input": {}, "config": config}
    wire = link()
    assert wire.reach(receive(request_frame(payload=payload), server=wire.server), Invoke).timeout == seconds
