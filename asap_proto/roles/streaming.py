"""A task followed: its log as server-sent events, each a bare envelope, the last its response (ASAP: streams)."""

from __future__ import annotations

from attrs import evolve

from ..errors import StateUnavailable, TaskNotFound
from ..http import HttpResponse
from ..limits import Limits
from ..model import (
    ArtifactNotify,
    Envelope,
    Payload,
    StateQuery,
    TaskResponse,
    TaskStatus,
    TaskUpdate,
    UpdateType,
    payload_class,
)
from ..model._value import JsonObject
from ..rules.lifecycle import is_final
from ..sources import Sources
from ..stores import TaskEvent, TaskRecord
from ..wire import jsonrpc
from ..wire.json import dump
from ..wire.nouns import encode, encode_reply
from ..wire.sse import ALIVE, write_event
from .admission import Admitted
from .answering import outcome_of, reply_of
from .commands import Emit, ReadEvents, ReadTask, Watch
from .steps import Steps, ask

__all__ = ["follow"]

#: Events read from the log at once.
_MOST = 50


def follow(
    record: TaskRecord,
    request: Envelope,
    admitted: Admitted,
    *,
    agent: str,
    sources: Sources,
    limits: Limits,
    poll: float,
) -> Steps[None]:
    """Emits what the task's log has after the event last seen, and what is added, until the task is over.

    Where another worker runs the task nothing tells of its events: they are looked for every `poll` seconds.
    Raises `StateUnavailable` before anything is emitted.
    """
    headers = {**admitted.headers, "content-type": "text/event-stream", "cache-control": "no-store"}
    head: HttpResponse | None = HttpResponse(200, headers)
    seen, spoke = admitted.seen, sources.clock.elapsed()
    while True:
        at = sources.clock.now()
        # Read first: what is final has no events but those that are read next.
        try:
            found = yield from ask(ReadTask(record.id, at.timestamp()))
            events = yield from ask(ReadEvents(record.id, seen, _MOST))
        except StateUnavailable:
            if head is None:
                return  # whoever reads asks again, from the event that was seen last
            raise
        if head is not None:
            # Not before the log is read: from then on the task goes no faster than its reader.
            yield from ask(Emit(head))
            head = None
        for event in events:
            seen = event.number
            if (told := _told(record.id, event)) is None:
                continue
            kind, payload = told
            id = sources.tokens.new_id(at)
            envelope = encode_reply(request, kind, payload, id=id, at=at, sender=agent)
            yield from ask(Emit(write_event(dump(envelope), str(event.number))))
            spoke = sources.clock.elapsed()
        if found is None or (is_final(found.status) and len(events) < _MOST):
            kind, payload, extensions = _last(found or _lost(record), request)
            id = sources.tokens.new_id(at)
            envelope = encode_reply(request, kind, payload, id=id, at=at, sender=agent, extensions=extensions)
            yield from ask(Emit(write_event(dump(envelope), str(seen))))
            return
        if events:
            continue
        yield from ask(Watch(record.id, seen, min(poll, limits.stream_beat_seconds)))
        if sources.clock.elapsed() - spoke >= limits.stream_beat_seconds:
            yield from ask(Emit(ALIVE))
            spoke = sources.clock.elapsed()


def _lost(record: TaskRecord) -> TaskRecord:
    """What is left of a task that the store knows no more: the reply, where it was over when the stream began."""
    gone = TaskNotFound("the task is not known any more", facts={"task_id": record.id})
    return evolve(record, status=TaskStatus.FAILED, reply=record.reply or jsonrpc.failure(gone))


def _last(record: TaskRecord, request: Envelope) -> tuple[type[Payload], JsonObject, JsonObject | None]:
    """What a stream ends in: the reply that is kept, such as a tool's result; who asks by id is told of the task."""
    envelope, error = reply_of(record)
    kind = payload_class(envelope["payload_type"]) if envelope else None
    if envelope is not None and kind is TaskResponse:
        # Whatever its handler says, a run that is over is over: a reader must know that nothing follows.
        status = TaskStatus(envelope["payload"]["status"])
        return kind, {**envelope["payload"], "status": status if is_final(status) else record.status}, None
    if envelope is not None and kind is not None and not isinstance(request.payload, StateQuery):
        return kind, envelope["payload"], None
    result, _ = outcome_of(record)
    return TaskResponse, encode(TaskResponse(record.id, record.status, result)), {"error": error} if error else None


def _told(task_id: str, event: TaskEvent) -> tuple[type[Payload], JsonObject] | None:
    """An event as a payload; nothing for what is the task's own business, or told by its response."""
    data = event.data or {}
    if event.kind == "artifact":
        artifact = data["artifact"]
        return ArtifactNotify, encode(ArtifactNotify(artifact["id"], task_id, artifact["name"]))
    if event.kind == "progress":
        return TaskUpdate, encode(TaskUpdate(task_id, UpdateType.PROGRESS, event.status, data))
    if event.kind == "input_required":
        return TaskUpdate, encode(TaskUpdate(task_id, UpdateType.INPUT_REQUIRED, event.status, input_request=data))
    if event.kind in ("status_change", "message") and not is_final(event.status):
        return TaskUpdate, encode(TaskUpdate(task_id, UpdateType.STATUS_CHANGE, event.status))
    if event.kind == "subtask" and data["payload_type"] == "task.update":
        progress = {"subtask": data["payload"]}
        return TaskUpdate, encode(TaskUpdate(task_id, UpdateType.PROGRESS, event.status, progress))
    return None
