"""What must hold, held against all that stores and callers were told, in a book that no agent writes in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson
from attrs import define, evolve, field

from asap_proto.errors import CATALOGUE, HandlerInterrupted, InvalidNonce, InvalidTimestamp, KeyReused
from asap_proto.http import HttpResponse
from asap_proto.limits import TASK_DEPTH
from asap_proto.model import Envelope, StateRestore, StateSnapshot, TaskRequest, TaskResponse, TaskStatus
from asap_proto.roles import Accept, Invoke, ReadEvents, ReadTask, Renew, StoreCommand, TakeOver, Write
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.stores import Refused, TaskEvent, TaskRecord

if TYPE_CHECKING:
    from .agents import Run, Worker
    from .world import World

__all__ = ["Book", "Entry", "Ledger", "short"]

_WAITING, _CANCELLED = TaskStatus.INPUT_REQUIRED, TaskStatus.CANCELLED

#: Written down once more: the core's own table is among what is checked here.
_MOVES = {
    TaskStatus.SUBMITTED: {TaskStatus.WORKING, TaskStatus.CANCELLED},
    TaskStatus.WORKING: {TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED, TaskStatus.INPUT_REQUIRED},
    TaskStatus.INPUT_REQUIRED: {TaskStatus.WORKING, TaskStatus.CANCELLED},
    TaskStatus.COMPLETED: set(),
    TaskStatus.FAILED: set(),
    TaskStatus.CANCELLED: set(),
}

_INTERRUPTED = HandlerInterrupted.kind.code

#: What a request may be refused with before anybody looks whether it was asked before.
_UNHEARD = frozenset(error.kind.code for error in (InvalidNonce, InvalidTimestamp, KeyReused))


@define(eq=False)
class Entry:
    """What the ledger knows of one task: the record as it was last written, and all that led to it."""

    record: TaskRecord
    lease: float
    #: Since when its owner has it.
    since: float
    log: list[TaskEvent]
    #: The version that the newest run was begun with.
    run: int = 1
    snapshots: dict[int, StateSnapshot] = field(factory=dict)
    #: How often a handler was started, by the number of answers that the task had.
    starts: Counter[int] = field(factory=Counter)
    #: How often it was made to go on from a snapshot while it waited.
    restores: int = 0
    #: When somebody asked for it to be cancelled.
    asked_to_stop: float | None = None

    @property
    def is_request(self) -> bool:
        """Whether it runs a handler, and is no answer of the agent itself."""
        return isinstance(self.record.job.payload, TaskRequest)

    def copy(self) -> Entry:
        return evolve(self, log=[*self.log], snapshots={**self.snapshots}, starts=Counter(self.starts))


@define(eq=False)
class Book:
    """What one agent has promised."""

    entries: dict[str, Entry] = field(factory=dict)
    #: Which of them are not over.
    open: dict[str, None] = field(factory=dict)
    #: The task that a caller's key stands for.
    slots: dict[tuple[str, str], str] = field(factory=dict)
    #: Keys that were given back, for another try to run: what they had stood for counts no more.
    freed: set[tuple[str, str]] = field(factory=set)
    nonces: set[tuple[str, str]] = field(factory=set)
    messages: set[str] = field(factory=set)
    #: Answers of the agent itself that it could not keep, or for all it knows: what was done is told all the same.
    unkept: set[str] = field(factory=set)

    def copy(self) -> Book:
        return Book(
            {id: entry.copy() for id, entry in self.entries.items()},
            {**self.open},
            {**self.slots},
            {*self.freed},
            {*self.nonces},
            {*self.messages},
            {*self.unkept},
        )


class Ledger:
    """Every task of every agent. An assertion fails as soon as something happens that must not.

    What a store may lose that says so goes from its book too, back to when it was last synced; all else stays.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._books: defaultdict[str, Book] = defaultdict(Book)
        self._synced: defaultdict[str, Book] = defaultdict(Book)
        #: Tasks of which something was lost that a store may lose: what was told of that counts no more.
        self._undone: set[tuple[str, str]] = set()

    def find(self, agent: str, task_id: str) -> Entry | None:
        return self._books[agent].entries.get(task_id)

    def is_undone(self, agent: str, task_id: str) -> bool:
        return (agent, task_id) in self._undone

    def sync(self, agent: str) -> None:
        """Nothing is lost from here on of what stands in this book now."""
        self._synced[agent] = self._books[agent].copy()

    def lose(self, agent: str) -> None:
        """All is lost that was written since."""
        before, after = self._books[agent], self._synced[agent].copy()
        for id, entry in before.entries.items():
            if id not in after.entries or after.entries[id].record.version != entry.record.version:
                self._undone.add((agent, id))
        self._books[agent] = after

    # -- what the stores are asked -------------------------------------------------------------------------------------

    def accepted(self, worker: Worker, command: Accept, answer: Any) -> None:
        book, record = self._books[worker.agent.urn], command.record
        if command.nonce is not None:
            nonce = (command.nonce.sender, command.nonce.nonce)
            assert answer != Fresh() or nonce not in book.nonces, f"a nonce was taken twice: {nonce}"
            assert answer != Refused("repeated") or nonce in book.nonces, f"a nonce was not new at once: {nonce}"
            if answer == Fresh():
                book.nonces.add(nonce)
        if record is None or isinstance(answer, Refused):
            return
        slot = record.job.slot
        key = (slot.caller, slot.key) if slot else None
        held = book.entries[book.slots[key]] if key in book.slots else None
        if isinstance(answer, Fresh):
            assert held is None, f"one key for two tasks, {record.id} beside the first: {key}"
            assert record.id not in book.entries, f"{record.id} is there twice"
            assert record.status in (TaskStatus.SUBMITTED, TaskStatus.WORKING), f"{record.id} begins as {record.status}"
            assert (record.version, record.owner) == (1, worker.name), f"{record.id} begins as {short(record)}"
            assert 0 <= record.job.depth <= TASK_DEPTH, f"{record.id} is at depth {record.job.depth}"
            numbers = [event.number for event in command.events]
            assert numbers == list(range(1, record.events + 1)), f"{record.id} begins with the events {numbers}"
            self._check_depth(record)
            book.entries[record.id] = Entry(record, record.lease, self._world.now, [*command.events])
            book.open[record.id] = None
            if key:
                book.slots[key] = record.id
            return
        if held is None or slot is None or held.record.job.slot is None:
            raise AssertionError(f"{key} stands for nothing, and was answered {answer}")
        same = slot.digest == held.record.job.slot.digest
        if isinstance(answer, Reused):
            assert not same, f"{key} stands for this very request, and was answered {answer}"
        elif isinstance(answer, Busy | Kept):
            reply = answer.reply if isinstance(answer, Kept) else None
            assert same, f"{key} stands for another request, and was answered {answer}"
            assert answer.task_id == held.record.id, f"{key} stands for {held.record.id}, and was answered {answer}"
            assert reply == held.record.reply, f"{held.record.id} was answered {held.record.reply!r}, and now {reply!r}"

    def written(self, worker: Worker, command: Write, done: bool, run: Run | None) -> None:
        change, new = command.change, command.change.record
        book = self._books[worker.agent.urn]
        entry = book.entries[new.id]
        old = entry.record
        if not done:
            expected = new.version == old.version + 1 and not _is_final(old.status)
            assert not expected, f"{new.id} could not be written, though nobody had written first"
            return
        what = f"{new.id} was written by {worker.name}: {short(old)} to {short(new)}"
        assert new.version == old.version + 1, f"{what}: a version is missed, or written twice"
        assert new.status is old.status or new.status in _MOVES[old.status], f"{what}: no such move"
        assert not _is_final(old.status), f"{what}: it was over"
        assert new.job.depth == old.job.depth, f"{what}: another depth"
        self._check_log(entry, change.events, what)
        assert new.events == old.events + len(change.events), f"{what}: its log ends at {new.events}"
        if entry.is_request and new.status is not old.status:
            assert change.events[-1:], f"{what}: its log does not say so"
            assert change.events[-1].status is new.status, f"{what}: its log says {change.events[-1].status}"
        snapshot = change.snapshot
        assert new.snapshots == old.snapshots + (snapshot is not None), f"{what}: its snapshots are {new.snapshots}"
        if snapshot is not None:
            assert snapshot.version == new.snapshots, f"{what}: with snapshot {snapshot.version}"
            entry.snapshots[snapshot.version] = snapshot
        _check_answers(book, entry.record, new, what)
        assert _is_final(new.status) == (new.reply is not None), f"{what}: its reply is {new.reply!r}"
        assert new.status is not _CANCELLED or new.cancel is not None, f"{what}: nobody has asked for that"
        assert new.status is not _WAITING or new.cancel is None, f"{what}: it was to be cancelled, not to wait"
        assert run is None or entry.run <= run.version, f"{what}: by a run that another has replaced"
        assert new.status is _WAITING or new.question is None, f"{what}: it asks for {new.question}"
        again = _may_be_tried_again(new.reply)
        assert not again or new.job.slot is None, f"{what}: whoever tries again is told no more than that"
        if old.job.slot is not None and new.job.slot is None:
            assert again, f"{what}: its key is given back"
            key = (old.job.slot.caller, old.job.slot.key)
            del book.slots[key]
            book.freed.add(key)
        if new.runs > old.runs:
            self._check_given_up(worker, entry, what)
            entry.run = new.version
            entry.restores += old.status is _WAITING and new.answers == old.answers
        elif _code(new.reply) == _INTERRUPTED:
            self._check_given_up(worker, entry, what)
        if new.cancel is not None and old.cancel is None:
            entry.asked_to_stop = self._world.now
        if new.owner != old.owner:
            entry.since, entry.lease = self._world.now, new.lease
        if _is_final(new.status):
            del book.open[new.id]
        entry.record, entry.lease = new, max(entry.lease, new.lease)

    def unheard(self, worker: Worker, command: StoreCommand) -> None:
        """A store was away when it was asked, or before it could answer."""
        if isinstance(command, Write):
            record = command.change.record
            book = self._books[worker.agent.urn]
            if record.reply is not None and not book.entries[record.id].is_request:
                book.unkept.add(record.id)

    def taken(self, worker: Worker, command: TakeOver, records: tuple[TaskRecord, ...]) -> None:
        for new in records:
            entry = self._books[worker.agent.urn].entries[new.id]
            old = entry.record
            what = f"{new.id} was taken over by {worker.name}: {short(old)} to {short(new)}"
            assert new.version == old.version + 1, f"{what}: a version is missed, or written twice"
            assert new.status is old.status, f"{what}: its status has changed"
            assert new.status in (TaskStatus.SUBMITTED, TaskStatus.WORKING), f"{what}: there is nothing to run"
            assert entry.lease <= command.now, f"{what}: the lease holds until {entry.lease}, now is {command.now}"
            owner = worker.agent.workers.get(old.owner)
            cared = owner is not None and owner.renewed > entry.since
            lease = self._world.limits.lease_seconds - self._world.apart
            late = owner is None or self._world.now - owner.renewed >= lease
            assert not cared or late, f"{what}: {old.owner} lives, and has cared for it"
            self._world.counts["taken over"] += 1
            entry.record, entry.lease, entry.since = new, new.lease, self._world.now

    def renewed(self, worker: Worker, command: Renew, held: Mapping[str, int]) -> None:
        book = self._books[worker.agent.urn]
        mine = {id for id in book.open if book.entries[id].record.owner == command.owner}
        assert mine == {*held}, f"{command.owner} has {mine}, and renews {held}"
        for id, version in held.items():
            entry = book.entries[id]
            assert version == entry.record.version, (
                f"{id} is at version {entry.record.version}, and renewed at {version}"
            )
            entry.lease = command.until

    def was_read(self, worker: Worker, command: ReadTask, found: TaskRecord | None) -> None:
        entry = self.find(worker.agent.urn, command.task_id)
        _check_same(command.task_id, None if entry is None else entry.record, found)

    def was_told_events(self, worker: Worker, command: ReadEvents, events: tuple[TaskEvent, ...]) -> None:
        entry = self.find(worker.agent.urn, command.task_id)
        log = entry.log[command.after : command.after + command.most] if entry else []
        assert [*events] == log, f"{command.task_id} has {log} after {command.after}, and tells {events}"

    def _check_given_up(self, worker: Worker, entry: Entry, what: str) -> None:
        """No other run is to come, nor is it to be called lost, while the worker that has the task runs it."""
        run = worker.run_of(entry.record.id)
        lives = run is not None and entry.run <= run.version and entry.since <= run.started
        assert entry.record.owner != worker.name or not lives, f"{what}: it is being run there"

    def _check_depth(self, record: TaskRecord) -> None:
        request, sender = record.job.envelope.payload, record.job.envelope.sender
        if not isinstance(request, TaskRequest) or request.parent_task_id is None:
            return
        parent = self.find(sender, request.parent_task_id)
        if parent is None:
            assert self.is_undone(sender, request.parent_task_id), f"{record.id} is a part of what nobody has accepted"
            return
        above = parent.record.job.depth
        assert record.job.depth == above + 1, f"{record.id} is at depth {record.job.depth}, below {above}"

    def _check_log(self, entry: Entry, events: tuple[TaskEvent, ...], what: str) -> None:
        for event in events:
            assert event.number == len(entry.log) + 1, f"{what}: event {event.number} follows {len(entry.log)}"
            entry.log.append(event)

    # -- what handlers do ----------------------------------------------------------------------------------------------

    def started(self, worker: Worker, command: Invoke, *, safe: bool) -> None:
        """A handler is started; `safe` if it may be run again, from the start, when its worker was lost."""
        entry = self.find(worker.agent.urn, command.job.task_id)
        if entry is None:
            raise AssertionError(f"a handler of {command.job.task_id} is started, and nobody has accepted it")
        record, answers = entry.record, len(command.task.record.answers)
        entry.starts[answers] += 1
        what = f"a handler of {record.id} is started by {worker.name}, version {command.task.record.version}"
        # A worker that stood still may start what another has ended since; it can write nothing of it.
        mine = record.owner == worker.name and entry.run <= command.task.record.version
        assert not mine or not _is_final(record.status), f"{what}: it is {short(record)}"
        lost = command.task.record.runs - answers - entry.restores
        assert lost <= self._world.limits.task_runs, f"{what}: {lost} runs have come to no end"
        again = safe or record.snapshots
        assert bool(again) or entry.starts[answers] == 1, (
            f"{what}: time {entry.starts[answers]} after {answers} answers"
        )

    def stopped(self, worker: Worker, run: Run) -> None:
        """A handler that can be cut off has ended: no later than its worker can have known that it should."""
        entry = self._books[worker.agent.urn].entries[run.task_id]
        record, told = entry.record, entry.asked_to_stop
        if record.owner not in ("", worker.name):
            told = entry.since if told is None else min(told, entry.since)
        if told is not None and (entry.run <= run.version or record.owner != worker.name):
            took = self._world.now - max(told, run.started, worker.thawed, worker.back)
            most = 2 * self._world.limits.beat_seconds + 1.0 + self._world.slowness
            assert took <= most, f"{run.task_id} ran on for {took:.2f} s after it was to be cancelled, or was lost"

    def loaded(self, worker: Worker, run: Run, data: Any) -> None:
        """A handler has learnt what its task knew."""
        entry = self._books[worker.agent.urn].entries[run.task_id]
        if entry.run > run.version:
            return
        record = entry.record
        known = entry.snapshots.get(record.restored or record.snapshots)
        assert data == (known.data if known else None), f"{record.id} knew {known}, and loads {data}"
        if isinstance(record.job.envelope.payload, StateRestore):
            assert data is not None, f"{record.id} was to go on from a snapshot, and loads none"

    # -- what callers are told -----------------------------------------------------------------------------------------

    def told(self, agent: str, asked: Any, response: HttpResponse) -> None:
        """A whole answer leaves a worker. What is final in it is what the store has kept."""
        book = self._books[agent]
        for frame, answer in _answers(asked, response):
            params = frame["params"]
            envelope, key = params["envelope"], params.get("idempotency_key")
            if envelope["payload_type"] == "state.query" or (held := (envelope["sender"], key)) in book.freed:
                continue
            entry = book.entries[book.slots[held]] if held in book.slots else None
            if entry is not None and entry.record.id in book.unkept:
                continue
            kept = entry.record.reply if entry else None
            if "error" in answer:
                code = answer["error"]["data"]["code"]
                if CATALOGUE[code].kind.retryable or code in _UNHEARD or entry is None:
                    continue
                assert _plain(kept) == answer["error"], f"{key} is told {answer}, and kept {kept!r}"
                continue
            assert entry is not None, f"{key} is told {answer}, and nobody has accepted it"
            payload = answer["result"]["envelope"]["payload"]
            assert not entry.is_request or payload.get("task_id") == entry.record.id, f"{key} is told of {payload}"
            if entry.is_request and not _is_final(TaskStatus(payload["status"])):
                continue
            assert _plain(kept) == answer["result"], f"{key} is told {answer}, and kept {kept!r}"

    def heard(self, agent: str, reply: Envelope) -> None:
        """A caller has heard how a task stands: what is over stays as it is."""
        payload = reply.payload
        if not isinstance(payload, TaskResponse) or self.is_undone(agent, payload.task_id):
            return
        entry = self.find(agent, payload.task_id)
        if entry is None:
            raise AssertionError(f"{agent} told of a task that it has not: {payload}")
        record = entry.record
        if _is_final(payload.status):
            assert record.status is payload.status, f"{record.id} is {record.status}, and was said {payload.status}"
            if "envelope" in (reply_kept := _plain(record.reply)):
                kept = reply_kept["envelope"]["payload"]["result"]
                assert payload.result == kept, f"{record.id} has come to {kept}, and was said to {payload.result}"

    def told_message(self, agent: str, message_id: str) -> bool:
        """Whether this message has reached its task."""
        return message_id in self._books[agent].messages

    # -- at the end ----------------------------------------------------------------------------------------------------

    def unfinished(self) -> list[tuple[str, Entry]]:
        return [(agent, book.entries[id]) for agent, book in self._books.items() for id in book.open]

    def close(self) -> None:
        """Nothing that was accepted is lost, what was told was heard, and the stores have what was written."""
        for agent, entry in self.unfinished():
            raise AssertionError(f"{entry.record.id} of {agent} has come to no end: {short(entry.record)}")
        for agent, book in self._books.items():
            store = self._world.agents[agent].store
            for id, entry in book.entries.items():
                _check_same(id, entry.record, store.read(id, now=0.0))
                _check_result(entry.record)
                log = [*store.events(id, after=0, most=len(entry.log) + 1)]
                assert log == entry.log, f"{id} has the log {log}, and was given {entry.log}"


def _is_final(status: TaskStatus) -> bool:
    return not _MOVES[status]


def _check_answers(book: Book, old: TaskRecord, new: TaskRecord, what: str) -> None:
    assert new.answers[: len(old.answers)] == old.answers, f"{what}: it was told something else before"
    for answer in new.answers[len(old.answers) :]:
        message = answer["message_id"]
        assert old.status is _WAITING, f"{what}: it was told something though it did not wait"
        assert message not in book.messages, f"{what}: it was told {message} twice"
        book.messages.add(message)


def _check_result(record: TaskRecord) -> None:
    """What the skills return is known beforehand, whoever ran them, and how often."""
    if record.status is not TaskStatus.COMPLETED or not isinstance(record.job.payload, TaskRequest):
        return
    name, given = record.job.name, record.job.payload.input
    result = _plain(record.reply)["envelope"]["payload"]["result"]
    expected = {"n": given["n"]}
    if name in ("steps", "steps on"):
        expected["done"] = given["count"]
    elif name == "ask":
        expected["told"] = [answer["input"] for answer in record.answers[: given["count"]]]
    elif name.startswith("hand on"):
        result = {"n": result["n"]}
    assert result == expected, f"{record.id} was to come to {expected}, and has come to {result}"


def _check_same(task_id: str, written: TaskRecord | None, read: TaskRecord | None) -> None:
    """What is read is what was written, but for the lease, which is renewed without a version of its own."""
    if written is None or read is None:
        assert written is read, f"{task_id} was written as {written}, and is read as {read}"
        return
    for name in ("version", "status", "owner", "events", "snapshots", "runs", "answers", "cancel", "restored", "reply"):
        was, now = getattr(written, name), getattr(read, name)
        assert was == now, f"{task_id} was written with the {name} {was!r}, and is read with {now!r}"


def short(record: TaskRecord) -> str:
    """How a record stands, in a few words."""
    stop = ", to be cancelled" if record.cancel is not None else ""
    return f"[{record.status} v{record.version} of {record.owner or 'nobody'}, {record.runs} runs{stop}]"


def _plain(member: bytes | None) -> Any:
    if member is None:
        return None
    [value] = orjson.loads(b"{" + member + b"}").values()
    return value


def _code(reply: bytes | None) -> str:
    """The code of the error that a task has failed with, if it has."""
    return str(_plain(reply)["data"]["code"]) if reply is not None and reply.startswith(b'"error"') else ""


def _may_be_tried_again(reply: bytes | None) -> bool:
    code = _code(reply)
    return code != "" and CATALOGUE[code].kind.retryable


def _answers(asked: Any, response: HttpResponse) -> Iterator[tuple[Any, Any]]:
    """The frames of a request, each with its answer."""
    told = orjson.loads(response.body)
    if isinstance(asked, list) and isinstance(told, list):
        by_id = {answer["id"]: answer for answer in told}
        for frame in asked:
            yield frame, by_id[frame["id"]]
    elif isinstance(asked, dict):
        yield asked, told
