"""A task followed: its log as server-sent events, each a bare envelope, the last its response (ASAP: streams)."""

from __future__ import annotations

from ..http import HttpResponse
from ..limits import Limits
from ..model import ArtifactNotify, Envelope, Payload, TaskResponse, TaskStatus, TaskUpdate, UpdateType
from ..model._value import JsonObject
from ..rules.lifecycle import is_final
from ..sources import Sources
from ..stores import TaskEvent, TaskRecord
from ..wire.json import dump
from ..wire.nouns import encode, encode_reply
from ..wire.sse import ALIVE, write_event
from .admission import Admitted
from .answering import outcome_of
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
    """
    headers = {**admitted.headers, "content-type": "text/event-stream", "cache-control": "no-store"}
    head: HttpResponse | None = HttpResponse(200, headers)
    seen, spoke = admitted.seen, sources.clock.elapsed()
    while True:
        at = sources.clock.now()
        # Read first: what is final has no events but those that are read next.
        found = yield from ask(ReadTask(record.id, at.timestamp()))
        events = yield from ask(ReadEvents(record.id, seen, _MOST))
        if head is not None:
            # Not before the log is read: from then on the task goes no faster than its reader.
            yield from ask(Emit(head))
            head = None
        for event in events:
            seen = event.number
            if is_final(event.status) and event.kind == "status_change":
                continue
            if (told := _told(record.id, event)) is None:
                continue
            kind, payload = told
            id = sources.tokens.new_id(at)
            envelope = encode_reply(request, kind, payload, id=id, at=at, sender=agent)
            yield from ask(Emit(write_event(dump(envelope), str(event.number))))
            spoke = sources.clock.elapsed()
        if found is None or (is_final(found.status) and seen >= found.events):
            last = found or record
            result, error = outcome_of(last)
            status = last.status if found else TaskStatus.FAILED
            response = encode(TaskResponse(last.id, status, result))
            extensions: JsonObject | None = {"error": error} if error else None
            id = sources.tokens.new_id(at)
            envelope = encode_reply(request, TaskResponse, response, id=id, at=at, sender=agent, extensions=extensions)
            yield from ask(Emit(write_event(dump(envelope), str(seen))))
            return
        if events:
            continue
        yield from ask(Watch(record.id, seen, min(poll, limits.stream_beat_seconds)))
        if sources.clock.elapsed() - spoke >= limits.stream_beat_seconds:
            yield from ask(Emit(ALIVE))
            spoke = sources.clock.elapsed()


def _told(task_id: str, event: TaskEvent) -> tuple[type[Payload], JsonObject] | None:
    """An event as a payload; nothing for what is the task's own business."""
    data = event.data or {}
    if event.kind == "artifact":
        artifact = data["artifact"]
        return ArtifactNotify, encode(ArtifactNotify(artifact["id"], task_id, artifact["name"]))
    if event.kind == "progress":
        return TaskUpdate, encode(TaskUpdate(task_id, UpdateType.PROGRESS, event.status, data))
    if event.kind == "input_required":
        return TaskUpdate, encode(TaskUpdate(task_id, UpdateType.INPUT_REQUIRED, event.status, input_request=data))
    if event.kind in ("status_change", "message"):
        return TaskUpdate, encode(TaskUpdate(task_id, UpdateType.STATUS_CHANGE, event.status))
    if event.kind == "subtask" and data["payload_type"] == "task.update":
        progress = {"subtask": data["payload"]}
        return TaskUpdate, encode(TaskUpdate(task_id, UpdateType.PROGRESS, event.status, progress))
    return None
