"""A task in the hands of its handler: what the handler does with it, and how it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from attrs import evolve

from ..errors import (
    AsapError,
    HandlerFailed,
    InvalidValue,
    MalformedJson,
    Overloaded,
    StateUnavailable,
    TakenOver,
)
from ..limits import Limits
from ..model import (
    Artifact,
    McpToolResult,
    Part,
    StateSnapshot,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    UpdateType,
)
from ..model._value import JsonObject
from ..rules.lifecycle import check_move, is_final
from ..sources import Sources
from ..stores import NEVER, Change, Job, Started, TaskEvent, TaskRecord
from ..stores.records import TASK_PREFIX, seconds_of
from ..wire import jsonrpc
from ..wire.json import dump, load
from ..wire.jsonrpc import ENVELOPE_PATH, success
from ..wire.nouns import encode, encode_reply, encode_result
from .commands import (
    Cancelled,
    Command,
    Failed,
    Observe,
    Outcome,
    Pause,
    Raised,
    ReadSnapshot,
    ReadTask,
    Returned,
    Suspended,
    Write,
)
from .outcomes import Settled, error_id, is_tool_call, reply_payload, respond
from .steps import Steps, ask, told

__all__ = ["InputNeeded", "TaskCancelled", "TaskRole", "artifact_uri"]

A = TypeVar("A")

#: How long is waited before a store that is away is asked again.
_AWAY_SECONDS = 0.5

_COMPLETED, _FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED
_WORKING, _WAITING, _CANCELLED = TaskStatus.WORKING, TaskStatus.INPUT_REQUIRED, TaskStatus.CANCELLED


class TaskCancelled(BaseException):
    """Raised in a handler whose task is cancelled, so no `Exception` of the handler's own catches it."""


class InputNeeded(BaseException):
    """Raised in a handler that asks for what it was not told yet; the handler is run again once it was."""

    def __init__(self, question: JsonObject) -> None:
        super().__init__(question)
        self.question = question


class TaskRole:
    """One task in the hands of one worker. Each thing that its handler does is a small story.

    `record` is the task as this worker last saw or wrote it.
    """

    __slots__ = ("_agent", "_asked", "_limits", "_record", "_sources", "interrupted")

    def __init__(self, record: TaskRecord | Started, agent: str, sources: Sources, limits: Limits) -> None:
        self._record = record
        self._agent = agent
        self._sources = sources
        self._limits = limits
        self._asked = 0
        #: Set by whoever cuts the handler off.
        self.interrupted = False

    @property
    def job(self) -> Job:
        """What was asked for."""
        return self._record.job

    @property
    def record(self) -> TaskRecord:
        # What is made here is not kept: threads of the handler may ask while another has just written of the task, and
        # none is to put back what was before that.
        record = self._record
        return record.record if isinstance(record, Started) else record

    @record.setter
    def record(self, record: TaskRecord) -> None:
        self._record = record

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked for the task to be cancelled, as far as this worker has heard."""
        return self.interrupted or self.record.cancel is not None

    def check(self) -> Steps[None]:
        """Reads the task anew; raises `TaskCancelled`, or `TakenOver` where another worker has it."""
        self.record = self._still((yield from self._read(ReadTask(self.record.id, self._now()))))
        self._heed()

    def progress(self, percent: float, message: str | None = None) -> Steps[TaskUpdate]:
        """Writes down how far the task has come, from 0 to 100; raises `InvalidValue`."""
        said: JsonObject = {"percent": percent} if message is None else {"percent": percent, "message": message}
        progress = self._plain(said, "what is said of progress", self._limits.event_bytes)
        update = TaskUpdate(self.record.id, UpdateType.PROGRESS, _WORKING, progress)

        def told_of(record: TaskRecord, now: float) -> Change:
            event = TaskEvent(record.events + 1, now, "progress", record.status, progress)
            return self._next(record, now, (event,), events=record.events + 1, progress=progress)

        yield from self._amend(told_of)
        return update

    def save(self, data: JsonObject, *, checkpoint: bool = False) -> Steps[StateSnapshot]:
        """Writes down what the task knows, enough to go on from there; raises `InvalidValue`."""
        kept = self._plain(data, "a snapshot", self._limits.snapshot_bytes)
        at = self._sources.clock.now()
        id = f"snap_{self._sources.tokens.new_id(at)}"

        def saved(record: TaskRecord, now: float) -> Change:
            snapshot = StateSnapshot(id, record.id, record.snapshots + 1, kept, at, checkpoint)
            told_of = {"snapshot_id": id, "version": snapshot.version, "checkpoint": checkpoint}
            event = TaskEvent(record.events + 1, now, "snapshot", record.status, told_of)
            return self._next(
                record, now, (event,), snapshot, events=record.events + 1, snapshots=snapshot.version, restored=None
            )

        change = yield from self._amend(saved)
        assert change.snapshot is not None
        return change.snapshot

    def load(self) -> Steps[JsonObject | None]:
        """What was last saved, or what the task was restored to; nothing before."""
        self._heed()
        if not self.record.snapshots:
            return None
        snapshot = yield from self._read(ReadSnapshot(self.record.id, self.record.restored))
        return snapshot.data if snapshot else None

    def need_input(self, question: JsonObject) -> Steps[JsonObject]:
        """What the task was told; raises `InputNeeded` where it was not yet.

        The n-th question of a run gets the n-th answer: a handler that is run again gets those it had.
        """
        self._heed()
        question = self._plain(question, "a question", self._limits.event_bytes)
        self._asked += 1
        if len(self.record.answers) < self._asked:
            yield from self.check()
        if len(self.record.answers) < self._asked:
            raise InputNeeded(question)
        return self.record.answers[self._asked - 1]

    def artifact(self, name: str, parts: Sequence[Part]) -> Steps[Artifact]:
        """Writes down something that the task has made, to be fetched by `artifact_uri`."""
        at = self._sources.clock.now()
        stem = self._sources.tokens.new_id(at)
        ids = tuple(f"part_{stem}_{index}" for index in range(len(parts)))
        artifact = Artifact(f"artifact_{stem}", self.record.id, name, ids, at)
        made_of = {"artifact": encode(artifact), "parts": [encode(part) for part in parts]}
        what = "an artifact (give a FilePart with a URI for what is larger)"
        data = self._plain(made_of, what, self._limits.event_bytes)

        def made(record: TaskRecord, now: float) -> Change:
            event = TaskEvent(record.events + 1, now, "artifact", record.status, data)
            return self._next(record, now, (event,), events=record.events + 1)

        yield from self._amend(made)
        return artifact

    def begin(self) -> Steps[None]:
        """The handler is run from now on; raises `TakenOver` where it is over by now."""

        def begun(record: TaskRecord, now: float) -> Change:
            events: tuple[TaskEvent, ...] = ()
            if record.status is not _WORKING:
                events = (TaskEvent(record.events + 1, now, "status_change", _WORKING),)
            return self._next(
                record,
                now,
                events,
                status=_WORKING,
                events=record.events + len(events),
                runs=record.runs + 1,
                question=None,
            )

        yield from self._amend(begun, heed=False)

    def release(self, *, begun: bool = True, unless_cancelled: bool = False) -> Steps[None]:
        """Gives the task back, for whoever takes it over; a run that was not `begun` does not count.

        With `unless_cancelled` it raises `TaskCancelled` where somebody has asked for that.
        """

        def released(record: TaskRecord, now: float) -> Change:
            if unless_cancelled and record.cancel is not None:
                raise TaskCancelled
            runs = record.runs if begun or record.status is not _WORKING else record.runs - 1
            return self._next(record, now, owner="", lease=0.0, runs=runs)

        yield from self._amend(released, heed=False)

    def reply(self, value: Any) -> tuple[bytes, float] | None:
        """The member to answer with, and when, to a run that returned an object: nearly every run ends so.

        Nothing for whatever else there is, or that is no JSON: `settle` deals with that.
        """
        job = self._record.job
        payload, request, task_id = job.payload, job.envelope, job.task_id
        if value.__class__ is not dict or payload is not request.payload or payload.__class__ is not TaskRequest:
            return None
        at = self._sources.clock.now()
        id = task_id.removeprefix(TASK_PREFIX)
        try:
            response = encode_result(task_id, value)
            reply = encode_reply(request, TaskResponse, response, id=id, at=at, sender=self._agent)
            return success(reply), at.timestamp()
        except TypeError:
            return None

    def ended(self, member: bytes, now: float) -> Change:
        """What to write of a run that is answered so."""
        record = self.record
        return self._ended(record, record.job, _COMPLETED, member, now)

    def _ended(self, record: TaskRecord, job: Job, status: TaskStatus, member: bytes, now: float) -> Change:
        number = record.events + 1
        ended = TaskRecord(
            job,
            status,
            record.owner,
            0.0,
            now,
            record.version + 1,
            now + self._limits.task_seconds,
            number,
            record.snapshots,
            record.runs,
            record.progress,
            None,
            record.answers,
            record.cancel,
            record.restored,
            member,
        )
        return Change(ended, (TaskEvent(number, now, "status_change", status),))

    def settle(self, outcome: Outcome | AsapError) -> Steps[Settled]:
        """Writes down how a run ended, or why there was none; raises `TakenOver` where another worker has the task."""
        at = self._sources.clock.now()
        if isinstance(outcome, Suspended):
            return (yield from self._suspend(outcome.question))
        is_away = isinstance(outcome, Raised) and isinstance(outcome.error, StateUnavailable)
        if isinstance(outcome, Raised) and _is_lost(outcome.error):
            # That is no failure of the task's: whoever has it next goes on, where it may, or reports it.
            self.interrupted, outcome = True, Cancelled()
        if isinstance(outcome, Cancelled) and self.record.cancel is None:
            read = ReadTask(self.record.id, seconds_of(at))
            # For a store that the handler has waited for already nobody waits again: the lease is over.
            found = yield from ask(read) if is_away else self._read(read, heed=False)
            self.record = self._still(found, heed=False)
            if self.interrupted and self.record.cancel is None:
                # Nobody asked for that: it was cut off while another worker had the task, who gave it back since.
                try:
                    yield from self.release(unless_cancelled=True)
                except TaskCancelled:
                    pass  # somebody has asked for it just now
                else:
                    raise TakenOver("another worker has had this task")
        job, status, error = self.job, _COMPLETED, None
        try:
            kind, payload = reply_payload(job, outcome, self._limits)
            if payload.__class__ is dict and kind is TaskResponse:
                status = _final(payload["status"])
            # One ULID names the task and the envelope that answers it: to make one is dear, one is unique enough.
            member = respond(job, kind, payload, id=job.task_id.removeprefix(TASK_PREFIX), at=at, agent=self._agent)
        except AsapError as found:
            error, status = found.under(ENVELOPE_PATH), _FAILED
            if isinstance(found, HandlerFailed):
                found.facts["error_id"] = error_id(job.task_id)
            if isinstance(outcome, Returned):
                reason = f"{found.message} {found.__cause__ or ''}".rstrip()
                yield Observe(Failed(job.name, job.task_id, reason))
            if is_tool_call(job) and not error.retryable:
                words = error.message
                if "error_id" in error.facts:  # a result of a tool has no place of its own for it
                    words += f" ({error.facts['error_id']})"
                result = McpToolResult(job.envelope.payload.request_id, False, error=words)  # type: ignore[union-attr]
                id = job.task_id.removeprefix(TASK_PREFIX)
                member = respond(job, McpToolResult, encode(result), id=id, at=at, agent=self._agent)
                error = None
            else:
                member = jsonrpc.failure(error)
        if error is not None and error.retryable:
            job = evolve(job, slot=None)  # a retry is to run

        def ended(record: TaskRecord, now: float) -> Change:
            check_move(record.id, record.status, to=status)
            return self._ended(record, job, status, member, now)

        yield from self._amend(ended, heed=False, now=seconds_of(at))
        return Settled(member, error)

    def _suspend(self, question: JsonObject) -> Steps[Settled]:
        def waiting(record: TaskRecord, now: float) -> Change:
            if record.cancel is not None:  # somebody asked for that meanwhile: it is not to wait for an answer
                raise TaskCancelled
            check_move(record.id, record.status, to=_WAITING)
            event = TaskEvent(record.events + 1, now, "input_required", _WAITING, question)
            return self._next(
                record,
                now,
                (event,),
                status=_WAITING,
                events=record.events + 1,
                question=question,
                owner="",
                lease=NEVER,
                # Callers walk away; what they were asked must not be kept for ever.
                expires=now + self._limits.question_seconds,
            )

        try:
            yield from self._amend(waiting, heed=False)
        except TaskCancelled:
            return (yield from self.settle(Cancelled()))
        except Overloaded as error:  # so many wait already that this one could not be remembered
            return (yield from self.settle(error))
        return Settled(self.standing(), None)

    def standing(self) -> bytes:
        """The member that says how the task stands, while it has no reply."""
        record = self.record
        response = TaskResponse(record.id, record.status, record.question)
        at = self._sources.clock.now()
        id = self._sources.tokens.new_id(at)
        return respond(record.job, TaskResponse, encode(response), id=id, at=at, agent=self._agent)

    def _amend(
        self, change: Callable[[TaskRecord, float], Change], *, heed: bool = True, now: float | None = None
    ) -> Steps[Change]:
        """Writes a change, made anew where another wrote first; raises `TakenOver`, or with `heed` `TaskCancelled`.

        Raises `StateUnavailable` where the store is away for as long as a lease: one that is soon back costs no run.
        """
        now = self._now() if now is None else now
        until, unsure = self._sources.clock.elapsed() + self._limits.lease_seconds, False
        # A handler in a thread that was given up goes on, and may call when its task is over, or given back.
        self._still(self.record, heed=heed)
        while True:
            made = change(self.record, now)
            write = Write(made)
            try:
                written = told(write, (yield write))
                found = None if written else (yield from ask(ReadTask(self.record.id, now)))
            except StateUnavailable:
                if self._sources.clock.elapsed() >= until:
                    raise
                unsure = True  # it may have written that, and lost its voice then
                yield from ask(Pause(_AWAY_SECONDS))
                continue
            if written or (unsure and found is not None and evolve(found, lease=made.record.lease) == made.record):
                self.record = made.record
                break
            self.record = self._still(found, heed=heed)
        if heed:
            self._heed()
        return made

    def _read(self, command: Command[A], *, heed: bool = True) -> Steps[A]:
        """What the store says, which is waited for like one that is written to.

        Raises `StateUnavailable` where it is away for as long as a lease, and with `heed` `TaskCancelled`.
        """
        until = self._sources.clock.elapsed() + self._limits.lease_seconds
        while True:
            try:
                return (yield from ask(command))
            except StateUnavailable:
                if self._sources.clock.elapsed() >= until:
                    raise
            yield from ask(Pause(_AWAY_SECONDS))
            if heed:
                self._heed()

    def _still(self, found: TaskRecord | None, *, heed: bool = True) -> TaskRecord:
        """What was found, while this very run has the task; raises `TaskCancelled` or `TakenOver`."""
        if heed and found is not None and found.status is _CANCELLED:
            raise TaskCancelled(found.cancel)
        # The run counts too: this worker may have lost the task, and have it again for another run.
        mine = (self.record.owner, self.record.runs)
        if found is None or is_final(found.status) or not found.owner or (found.owner, found.runs) != mine:
            raise TakenOver("another worker has taken this task over")
        return found

    def _heed(self) -> None:
        if self.cancelled:
            raise TaskCancelled(self.record.cancel)

    def _next(
        self,
        record: TaskRecord,
        at: float,
        log: tuple[TaskEvent, ...] = (),
        snapshot: StateSnapshot | None = None,
        **changes: Any,
    ) -> Change:
        # Its worker renews the lease beside us: what is written must not take that back.
        changes.setdefault("lease", max(record.lease, at + self._limits.lease_seconds))
        return Change(evolve(record, version=record.version + 1, updated=at, **changes), log, snapshot)

    def _now(self) -> float:
        return seconds_of(self._sources.clock.now())

    def _plain(self, data: JsonObject, what: str, most: int) -> JsonObject:
        """A copy of what a handler says, fit to be kept and sent; raises `InvalidValue`."""
        try:
            text = dump(data)
            kept: JsonObject = load(text, depth=self._limits.json_depth)
        except (TypeError, MalformedJson) as error:
            raise InvalidValue(f"{what} is no JSON: {error}") from None
        if len(text) > most:
            raise InvalidValue(f"{len(text)} bytes are too many for {what}; at most {most} are kept")
        if kept.__class__ is not dict:
            raise InvalidValue(f"{what} is an object")
        return kept


def artifact_uri(task_id: str, artifact_id: str) -> str:
    """Where an artifact is fetched from its agent, by an ``mcp.resource_fetch``."""
    return f"asap:artifact:{task_id}/{artifact_id}"


def _final(status: TaskStatus) -> TaskStatus:
    """Where a task stands whose handler has ended with a response of this status: the run is over in any case."""
    return status if is_final(status) else _COMPLETED


def _is_lost(error: Exception) -> bool:
    """Whether a handler was told that another worker has its task, or that its store is away: no fault of its own.

    What a peer reports to it is of another task.
    """
    return isinstance(error, TakenOver | StateUnavailable) and "rpc_code" not in error.facts
