"""The built-in answers: what each payload of the protocol does where the agent has no handler of its own for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import chain, repeat
from typing import Any, TypeVar

from attrs import evolve

from ..errors import (
    AsapError,
    IllegalMove,
    InvalidInput,
    ResourceNotFound,
    SnapshotNotFound,
    TaskFinished,
    TaskNotFound,
    Unsolicited,
)
from ..limits import Limits
from ..model import (
    ArtifactNotify,
    Envelope,
    McpResourceData,
    McpResourceFetch,
    MessageSend,
    Payload,
    StateQuery,
    StateRestore,
    StateSnapshot,
    TaskCancel,
    TaskRequest,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    payload_name,
)
from ..model._value import JsonObject, Value
from ..plain import plain
from ..rules.identity import Identity
from ..rules.lifecycle import is_final
from ..sources import Sources
from ..stores import NEVER, Change, TaskEvent, TaskRecord
from ..stores.records import seconds_of, task_of
from ..wire.json import dump
from ..wire.jsonrpc import read_member
from ..wire.nouns import decode, encode
from .commands import Interrupt, Pause, ReadEvents, ReadSnapshot, ReadTask, Write
from .outcomes import respond
from .steps import Steps, ask

__all__ = [
    "ANSWERED",
    "INPUT_EXTENSION",
    "PARENT_EXTENSION",
    "Answer",
    "Answering",
    "Question",
    "outcome_of",
    "reply_of",
]

V = TypeVar("V", bound=Value)

#: Where a message carries what a waiting task is told.
INPUT_EXTENSION = "input"
#: Where an update says which task its own is a part of.
PARENT_EXTENSION = "parent_task_id"
#: Where a restore brings a snapshot of another agent's task, and the request that the task was asked by.
SNAPSHOT_EXTENSION = "snapshot"
REQUEST_EXTENSION = "request"

#: How long a cancel waits between two looks at the task, in seconds; the first looks are close together.
_PAUSES, _PAUSE = (0.0, 0.005, 0.02, 0.05, 0.1), 0.25


@plain
class Answer:
    """What a payload is answered with, and what is then to be run, if anything."""

    kind: type[Payload]
    payload: JsonObject
    extensions: JsonObject | None = None
    run: TaskRecord | None = None


@plain
class Question:
    """A payload that came in, and who is asking."""

    payload: Any
    envelope: Envelope
    caller: Identity | None
    now: float
    payer: str = ""
    #: What it takes in memory.
    size: int = 0


class Answering:
    """The built-in answers of one agent.

    `start` makes a new task of a request, of what is known already, and of how deep at least it is.
    """

    def __init__(
        self,
        agent: str,
        worker: str,
        sources: Sources,
        limits: Limits,
        lease: float,
        start: Callable[[Question, TaskRequest, JsonObject, int], Steps[TaskRecord]],
    ) -> None:
        self._agent = agent
        self._worker = worker
        self._sources = sources
        self._limits = limits
        self._lease = lease
        self._start = start

    def answer(self, question: Question) -> Steps[Answer]:
        """The answer; raises what the peer is told of a failure."""
        while True:
            answer = yield from ANSWERED[type(question.payload)](self, question)
            if answer is not None:
                return answer
            # Somebody else wrote first: how the task stands by now decides.

    def _cancel(self, question: Question) -> Steps[Answer]:
        payload: TaskCancel = question.payload
        reason, now, is_cut_off = payload.reason or "", question.now, False
        while True:
            record = yield from self.task(payload.task_id, question)
            if is_cut_off and record.status is TaskStatus.CANCELLED:
                return _standing(record)
            _refuse_finished(record)
            if record.status is TaskStatus.WORKING and record.owner:
                asked = evolve(record, version=record.version + 1, updated=now, cancel=reason)
                done = yield from ask(Write(Change(asked)))
            else:
                # Nobody runs it, so nobody has to be asked to stop.
                done = yield from self._end(record, reason, now)
            if done:
                break
            # A handler that writes all the time would be ahead of us for as long as it likes.
            is_cut_off |= yield from ask(Interrupt(record.id))
        waited, pauses = 0.0, chain(_PAUSES, repeat(_PAUSE))
        while True:
            record = yield from self.task(payload.task_id, question)
            if is_final(record.status) or waited >= self._limits.cancel_seconds:
                return _standing(record)
            yield from ask(Interrupt(record.id))
            pause = next(pauses)
            yield from ask(Pause(pause))
            waited += pause

    def _end(self, record: TaskRecord, reason: str, now: float) -> Steps[bool]:
        """Cancels what nobody runs."""
        number, at = record.events + 1, self._sources.clock.now()
        id, response = self._sources.tokens.new_id(at), encode(TaskResponse(record.id, TaskStatus.CANCELLED))
        ended = evolve(
            record,
            status=TaskStatus.CANCELLED,
            version=record.version + 1,
            updated=now,
            expires=now + self._limits.task_seconds,
            events=number,
            cancel=reason,
            question=None,
            owner="",
            reply=respond(record.job, TaskResponse, response, id=id, at=at, agent=self._agent),
        )
        event = TaskEvent(number, now, "status_change", TaskStatus.CANCELLED)
        return (yield from ask(Write(Change(ended, (event,)))))

    def _query(self, question: Question) -> Steps[Answer]:
        payload: StateQuery = question.payload
        record = yield from self.task(payload.task_id, question)
        snapshot = yield from ask(ReadSnapshot(record.id, payload.version))
        if snapshot is None and payload.version is not None:
            raise SnapshotNotFound(
                "the task has no snapshot of this version",
                path="$.payload.version",
                facts={"version": payload.version, "newest": record.snapshots},
            )
        return _standing(record, snapshot)

    def _restore(self, question: Question) -> Steps[Answer | None]:
        payload: StateRestore = question.payload
        extensions = question.envelope.extensions or {}
        if SNAPSHOT_EXTENSION in extensions:
            return (yield from self._adopt(question, extensions))
        record = yield from self.task(payload.task_id, question)
        snapshot = yield from ask(ReadSnapshot(record.id, payload.snapshot_id))
        if snapshot is None:
            raise SnapshotNotFound("the task has no such snapshot", path="$.payload.snapshot_id")
        request = record.job.payload
        if not isinstance(request, TaskRequest):
            raise TaskNotFound("no task of a request", path="$.payload.task_id")
        if is_final(record.status):
            # Nothing leads out of a final status: the work goes on as a new task.
            depth = record.job.depth
            return self._resumed((yield from self._start(question, request, snapshot.data, depth)))
        if record.status is not TaskStatus.INPUT_REQUIRED:
            raise IllegalMove(
                f"the task is {record.status}: cancel it first", path="$.payload.task_id", facts=_unmoved(record)
            )
        woken = yield from self._wake(record, restored=snapshot.version)
        return None if woken is None else self._resumed(woken)

    def _adopt(self, question: Question, extensions: JsonObject) -> Steps[Answer]:
        """Goes on with another agent's task, which came with its snapshot and its request."""
        payload: StateRestore = question.payload
        snapshot = _decoded(StateSnapshot, extensions, SNAPSHOT_EXTENSION)
        if snapshot.id != payload.snapshot_id or snapshot.task_id != payload.task_id:
            raise SnapshotNotFound("the snapshot that came along is another one", path="$.extensions.snapshot.id")
        size = len(dump(snapshot.data))
        if size > self._limits.snapshot_bytes:
            raise InvalidInput(
                f"a snapshot of {size} bytes; at most {self._limits.snapshot_bytes} are kept",
                path="$.extensions.snapshot.data",
            )
        request = _decoded(TaskRequest, extensions, REQUEST_EXTENSION)
        return self._resumed((yield from self._start(question, request, snapshot.data, 0)))

    def _resumed(self, record: TaskRecord) -> Answer:
        response = TaskResponse(record.id, record.status)
        return Answer(TaskResponse, encode(response), {"task": encode(task_of(record))}, run=record)

    def _message(self, question: Question) -> Steps[Answer | None]:
        payload: MessageSend = question.payload
        record = yield from self.task(payload.task_id, question)
        _refuse_finished(record)
        if record.status is not TaskStatus.INPUT_REQUIRED:
            raise IllegalMove(
                f"the task is {record.status}: it waits for no message",
                path="$.payload.task_id",
                facts=_unmoved(record),
            )
        if len(record.answers) >= self._limits.task_messages:
            raise InvalidInput(f"a task is told {self._limits.task_messages} messages at most", path="$.payload")
        told = (question.envelope.extensions or {}).get(INPUT_EXTENSION)
        if told is not None and told.__class__ is not dict:
            raise InvalidInput("the input of a message is an object", path="$.extensions.input")
        message = {
            "message_id": payload.message_id,
            "sender": payload.sender,
            "role": payload.role,
            "parts": list(payload.parts),
            "input": told,
        }
        if (size := len(dump(message))) > self._limits.event_bytes:
            raise InvalidInput(
                f"a message of {size} bytes; at most {self._limits.event_bytes} are kept", path="$.payload"
            )
        woken = yield from self._wake(record, message=message)
        return None if woken is None else self._resumed(woken)

    def _wake(
        self, record: TaskRecord, *, message: JsonObject | None = None, restored: int | None = None
    ) -> Steps[TaskRecord | None]:
        """Makes a task that waits go on in this worker; nothing where somebody else wrote first."""
        # The lease counts from now: it may have taken its time to find out how the task stands.
        number, now = record.events + 1, seconds_of(self._sources.clock.now())
        woken = evolve(
            record,
            status=TaskStatus.WORKING,
            owner=self._worker,
            lease=now + self._lease,
            expires=NEVER,
            version=record.version + 1,
            updated=now,
            events=number,
            runs=record.runs + 1,
            question=None,
            answers=record.answers if message is None else (*record.answers, message),
            restored=restored if restored is not None else record.restored,
        )
        event = TaskEvent(number, now, "message" if message else "status_change", TaskStatus.WORKING, message)
        return woken if (yield from ask(Write(Change(woken, (event,))))) else None

    def _notified(self, question: Question) -> Steps[Answer | None]:
        """What a subtask tells reaches the log of the task that it is a part of, and so whoever follows that."""
        payload = question.payload
        parent = (question.envelope.extensions or {}).get(PARENT_EXTENSION)
        if parent.__class__ is not str:
            raise Unsolicited("it names no task of this agent", path=f"$.extensions.{PARENT_EXTENSION}")
        told = {
            "payload_type": payload_name(type(payload)),
            "payload": encode(payload),
            "sender": question.envelope.sender,
        }
        if (size := len(dump(told))) > self._limits.event_bytes:
            raise InvalidInput(f"news of {size} bytes; at most {self._limits.event_bytes} are kept", path="$.payload")
        record = yield from ask(ReadTask(parent, question.now))
        if record is None:
            raise TaskNotFound("no such task", path=f"$.extensions.{PARENT_EXTENSION}")
        _refuse_finished(record, path=f"$.extensions.{PARENT_EXTENSION}")
        number = record.events + 1
        event = TaskEvent(number, question.now, "subtask", record.status, told)
        heard = evolve(record, version=record.version + 1, events=number)
        if not (yield from ask(Write(Change(heard, (event,))))):
            return None
        return Answer(TaskResponse, encode(TaskResponse(payload.task_id, _status_of(payload))))

    def _fetch(self, question: Question) -> Steps[Answer]:
        payload: McpResourceFetch = question.payload
        scheme, _, place = payload.resource_uri.partition("asap:artifact:")
        task_id, _, artifact_id = place.partition("/")
        record = None if scheme else (yield from ask(ReadTask(task_id, question.now)))
        if record is not None and _may_see(record, question):
            for event in (yield from ask(ReadEvents(task_id, 0, self._limits.task_events))):
                data = event.data or {}
                if event.kind == "artifact" and data["artifact"]["id"] == artifact_id:
                    return Answer(McpResourceData, encode(McpResourceData(payload.resource_uri, data)))
        raise ResourceNotFound("no such resource", path="$.payload.resource_uri")

    def task(self, task_id: str, question: Question) -> Steps[TaskRecord]:
        """The task, if the caller may see it; raises `TaskNotFound`."""
        record = yield from ask(ReadTask(task_id, question.now))
        if record is None or not _may_see(record, question):
            raise TaskNotFound("no such task", path="$.payload.task_id", facts={"task_id": task_id[:64]})
        return record


def _decoded(kind: type[V], extensions: JsonObject, name: str) -> V:
    try:
        return decode(kind, extensions.get(name))
    except AsapError as error:
        raise error.under(f"$.extensions.{name}") from None


def _may_see(record: TaskRecord, question: Question) -> bool:
    """A task is its caller's. Where callers are not known for certain, whoever knows its id is believed."""
    return question.caller is None or record.job.caller is None or question.caller.urn == record.job.caller.urn


def _unmoved(record: TaskRecord) -> JsonObject:
    """What a program is told of a task that can't be made to go on."""
    return {"task_id": record.id, "from_state": str(record.status), "to_state": str(TaskStatus.WORKING)}


def _refuse_finished(record: TaskRecord, *, path: str = "$.payload.task_id") -> None:
    if is_final(record.status):
        raise TaskFinished(
            f"the task is {record.status}",
            path=path,
            facts={"task_id": record.id, "current_status": str(record.status)},
        )


def _status_of(payload: Any) -> TaskStatus:
    status: TaskStatus = getattr(payload, "status", TaskStatus.WORKING)
    return status


def _standing(record: TaskRecord, snapshot: StateSnapshot | None = None) -> Answer:
    """How a task stands: its status and result, what it knew, and in the extensions all else."""
    result, error = outcome_of(record)
    extensions: JsonObject = {"task": encode(task_of(record))}
    if snapshot is not None:
        extensions[SNAPSHOT_EXTENSION] = encode(snapshot)
        extensions[REQUEST_EXTENSION] = encode(record.job.payload)
    if error is not None:
        extensions["error"] = error
    if record.question is not None:
        extensions["input_request"] = record.question
    state = snapshot.data if snapshot else None
    return Answer(TaskResponse, encode(TaskResponse(record.id, record.status, result, state)), extensions)


def reply_of(record: TaskRecord) -> tuple[JsonObject | None, JsonObject | None]:
    """The envelope that a task was answered with, or the error; neither while it is not over."""
    if record.reply is None:
        return None, None
    document = read_member(record.reply)
    return (None, document["error"]) if "error" in document else (document["result"]["envelope"], None)


def outcome_of(record: TaskRecord) -> tuple[JsonObject | None, JsonObject | None]:
    """The result that a task was answered with, and the error."""
    envelope, error = reply_of(record)
    return (envelope["payload"].get("result") if envelope else None), error


ANSWERED: Mapping[type[Payload], Callable[[Answering, Question], Steps[Answer | None]]] = {
    TaskCancel: Answering._cancel,
    StateQuery: Answering._query,
    StateRestore: Answering._restore,
    MessageSend: Answering._message,
    TaskUpdate: Answering._notified,
    TaskResponse: Answering._notified,
    ArtifactNotify: Answering._notified,
    McpResourceFetch: Answering._fetch,
}
