"""`asap task`: the tasks of an agent, seen and mended from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from asap_proto.errors import AsapError
from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.rules.lifecycle import is_final
from asap_proto.rules.redaction import printable, redact
from asap_proto.stores.records import time_of
from asap_proto.wire.nouns import encode

from .commands import Json
from .inspecting import event_document, outcome_document, record_document
from .outcome import FAILED, OK, Stop, tell
from .output import console, dump_json, print_json, table
from .peers import AllowHttp, Sender, Targets, Timeout, Token
from .states import AgentName, StateOption
from .stored import Url, agent_at, inspecting

__all__ = ["cancel_task", "export_task", "list_task", "resume_task", "show_task"]

Status = Literal["submitted", "working", "input_required", "completed", "failed", "cancelled"]
TaskId = Annotated[str, Parameter(help="The task.")]
Force = Annotated[
    bool, Parameter(negative="", show_default=False, help="Its worker is lost, though its lease is not over.")
]
Wait = Annotated[float, Parameter(help="Seconds to wait for a worker to stop it.", validator=validators.Number(gte=0))]


def list_task(
    *,
    status: Annotated[Status | None, Parameter(help="Only those that stand so.")] = None,
    all: Annotated[bool, Parameter(negative="", show_default=False, help="Also what is no task request.")] = False,
    state: StateOption = None,
    agent: AgentName = None,
    json: Json = False,
) -> int:
    """List the tasks of a store."""
    with inspecting(state, agent) as inspector:
        records = list(inspector.tasks(TaskStatus(status) if status else None, all=all))
    if json:
        print_json([record_document(record) for record in records])
        return OK
    shown = table("id", "skill", "status", "updated", "runs>", "owner")
    for record in records:
        shown.add_row(
            record.id, record.job.name, record.status, _stamp(record.updated), str(record.runs), record.owner or "-"
        )
    console().print(shown, markup=False)
    return OK


def show_task(
    task_id: TaskId,
    /,
    *,
    state: StateOption = None,
    agent: AgentName = None,
    url: Url = None,
    targets: Targets = None,
    sender: Sender = None,
    token: Token = None,
    timeout: Timeout = 10.0,
    allow_http: AllowHttp = False,
    json: Json = False,
) -> int:
    """Show one task."""
    if url is not None:
        with agent_at(url, token, timeout, sender=sender, allow_http=allow_http, targets=targets) as client:
            found = _told_document(client.state(task_id))
        if json:
            print_json(found)
        else:
            _show(found)
        return OK
    with inspecting(state, agent) as inspector:
        record = inspector.task(task_id)
        log, snapshots = inspector.log(record), inspector.snapshots(record)
    document = record_document(record)
    document["request"] = encode(record.job.payload)
    document["log"] = [event_document(event) for event in log]
    document["snapshots"] = [_snapshot_document(snapshot) for snapshot in snapshots]
    document |= outcome_document(record)
    if json:
        print_json(document)
    else:
        _show(document)
    return OK


def cancel_task(
    task_id: TaskId,
    /,
    *,
    reason: Annotated[str | None, Parameter(help="Why, for its log.")] = None,
    wait: Wait = 5.0,
    state: StateOption = None,
    agent: AgentName = None,
    url: Url = None,
    targets: Targets = None,
    sender: Sender = None,
    token: Token = None,
    timeout: Timeout = 10.0,
    allow_http: AllowHttp = False,
    json: Json = False,
) -> int:
    """Cancel a task."""
    if url is not None:
        with agent_at(url, token, timeout, sender=sender, allow_http=allow_http, targets=targets) as client:
            answer = client.cancel(task_id, reason)
        id, status = answer.task_id, answer.status
    else:
        with inspecting(state, agent) as inspector:
            record = inspector.cancel(task_id, reason, wait)
        id, status = record.id, record.status
    if json:
        print_json({"id": id, "status": status})
    elif status is TaskStatus.CANCELLED:
        print(f"{id} is {status}")
    elif not is_final(status):
        print(f"{id} is {status}; its worker was asked to stop it")
    if is_final(status) and status is not TaskStatus.CANCELLED:
        remedy = "It came to its end before it could be stopped."
        return tell(Stop(FAILED, f"{id} is {status}", remedy=remedy), as_json=False)
    return OK


def resume_task(
    task_id: TaskId,
    /,
    *,
    force: Force = False,
    state: StateOption = None,
    agent: AgentName = None,
    json: Json = False,
) -> int:
    """Give back a task whose worker is lost."""
    with inspecting(state, agent) as inspector:
        record = inspector.resume(task_id, force=force)
    if json:
        print_json(record_document(record))
    else:
        print(f"{record.id} is {record.status}, for the next live worker to take over")
    return OK


def export_task(
    task_id: TaskId,
    /,
    *,
    output: Annotated[Path | None, Parameter(help="The file to write; stdout if not given.")] = None,
    state: StateOption = None,
    agent: AgentName = None,
    json: Json = False,
) -> int:
    """Write all that is known of a task as one JSON document; it is JSON with or without --json."""
    with inspecting(state, agent) as inspector:
        document = inspector.export(task_id)
    if output is None:
        print_json(document, whole=True)  # another agent is to go on with it
        return OK
    try:
        output.write_bytes(dump_json(document))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise Stop(FAILED, f"can't write {output}: {reason}", remedy="Name another --output.") from None
    if json:
        print_json({"output": str(output)})
    return OK


def _told_document(state: Any) -> dict[str, Any]:
    """How a task stands, as its agent says it, for machines."""
    task, snapshot, error = state.task, state.snapshot, state.error
    document = {
        "id": state.task_id,
        "skill": state.request.skill_id if state.request else None,
        "status": state.status,
        "created_at": task.created_at if task else None,
        "updated_at": task.updated_at if task else None,
        "progress": task.progress if task else None,
        "question": state.question,
        "request": encode(state.request) if state.request else None,
        "snapshots": [_snapshot_document(snapshot)] if snapshot else [],
        "result": state.result,
        "error": _error_document(error) if error is not None else None,
    }
    return {name: value for name, value in document.items() if value is not None}


def _snapshot_document(snapshot: StateSnapshot) -> dict[str, Any]:
    return {name: value for name, value in encode(snapshot).items() if name != "task_id"}


def _error_document(error: AsapError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message, "facts": dict(error.facts)}


_LISTS = ("log", "snapshots")
_BLOCKS = ("request", "result", "error")


def _show(document: dict[str, Any]) -> None:
    """A page for people: what it is, its log, its snapshots, what it was answered."""
    out = console()
    for name, value in document.items():
        if name not in (*_LISTS, *_BLOCKS):
            shown = redact(value)
            text = (
                str(shown) if isinstance(shown, str | int) else dump_json(shown, one_line=True).decode().strip(' \n"')
            )
            print(f"{name.removesuffix('_at').replace('_', ' '):<16}{printable(text)}")
    if log := document.get("log"):
        shown = table("no>", "at", "what", "status", "data", title="Log")
        for line in log:
            data = dump_json(redact(line["data"]), one_line=True).decode().strip() if "data" in line else ""
            shown.add_row(str(line["number"]), _shown(line["at"]), line["kind"], line["status"], _cut(printable(data)))
        out.print(shown, markup=False)
    if snapshots := document.get("snapshots"):
        shown = table("version>", "id", "saved", "bytes>", title="Snapshots")
        for line in snapshots:
            size = len(dump_json(line["data"], one_line=True))
            shown.add_row(str(line["version"]), line["id"], _shown(line["created_at"]), str(size))
        out.print(shown, markup=False)
    for name in _BLOCKS:
        if name in document:
            print(f"{name.capitalize()}:", flush=True)
            print_json(document[name])


def _cut(text: str, most: int = 80) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _shown(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3]


def _stamp(seconds: float) -> str:
    return f"{time_of(seconds):%Y-%m-%d %H:%M:%S}Z"
