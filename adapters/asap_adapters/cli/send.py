"""`asap send`: hand a task to an agent, from a shell."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from asap_proto.errors import MalformedReply
from asap_proto.model import ArtifactNotify, Payload, TaskResponse, TaskStatus, TaskUpdate, payload_name
from asap_proto.rules.redaction import printable, redact_text
from asap_proto.wire.nouns import encode

from .._shared.tasks import compose_request, response_of
from .commands import Json
from .inputs import read_object
from .outcome import FAILED, OK, USAGE, Stop, tell
from .output import print_json
from .peers import SENDER, AllowHttp, Pin, Targets, Timeout, Token, Tries, connect

__all__ = ["send"]

#: Where a task may stand without having failed.
_WELL = frozenset({TaskStatus.SUBMITTED, TaskStatus.WORKING, TaskStatus.COMPLETED})


Submit = Annotated[
    bool, Parameter(negative="", show_default=False, help="Do not wait for the end: print the task's id.")
]
Stream = Annotated[
    bool, Parameter(negative="", show_default=False, help="Print what the task tells, as it does; its result last.")
]
Key = Annotated[
    str | None,
    Parameter(allow_leading_hyphen=True, help="The same key is the same task, however often it is sent."),
]


def send(
    url: Annotated[str, Parameter(help="The agent's base URL.")],
    /,
    *,
    skill: Annotated[str, Parameter(help="What it is to do; `asap manifest URL` lists its skills.")],
    input: Annotated[str, Parameter(allow_leading_hyphen=True, help="A JSON object, @file, or - for stdin.")] = "{}",
    config: Annotated[str | None, Parameter(help="How to do it: a JSON object or @file.")] = None,
    submit: Submit = False,
    stream: Stream = False,
    idempotency_key: Key = None,
    sender: Annotated[str, Parameter(help="The URN to send from.")] = SENDER,
    recipient: Annotated[str | None, Parameter(help="The URN to send to; the manifest's if not given.")] = None,
    pin: Pin = None,
    targets: Targets = None,
    token: Token = None,
    timeout: Timeout = 60.0,
    tries: Tries = 1,
    allow_http: AllowHttp = False,
    json: Json = False,
) -> int:
    """Hand a task to an agent, and print its result; with --json the whole reply envelope."""
    if submit and stream:
        raise Stop(USAGE, "--submit does not wait, and --stream does", remedy="Give one of them.")
    given = read_object(input, option="--input")
    how = read_object(config, option="--config") if config is not None else None
    with connect(
        url,
        sender=sender,
        recipient=recipient,
        token=token,
        timeout=timeout,
        tries=tries,
        allow_http=allow_http,
        pin=pin,
        targets=targets,
    ) as client:
        if stream:
            answer = _followed(client.stream(skill, given, config=how, idempotency_key=idempotency_key), json)
        else:
            role, to = client.role, recipient or client.manifest().id
            request = compose_request(
                role, to, skill, given, config=how, at_once=submit, idempotency_key=idempotency_key
            )
            reply = client._tell(role.send(request, idempotency_key=idempotency_key))
            answer = response_of(reply)
            if json:
                print_json(encode(reply))
            elif submit:
                print(answer.task_id)
    if not json and not submit and answer.result is not None:
        print_json(answer.result, whole=True)
    if answer.status in _WELL:
        return OK
    remedy = "" if json else "The agent says no more than this: --json shows the whole reply."
    if answer.status is TaskStatus.INPUT_REQUIRED:
        remedy = "It waits to be told what it asks for: a client's `tell` does that."
    return tell(Stop(FAILED, f"the task {answer.task_id} is {answer.status}", remedy=remedy), as_json=False)


def _followed(stream: Any, as_json: bool) -> TaskResponse:
    """Prints what a task tells; answers its response."""
    answer: Payload | None = None
    with stream as payloads:
        for answer in payloads:
            if as_json:
                kind = payload_name(type(answer))
                print_json({"payload_type": kind, "payload": encode(answer)}, one_line=True)
            elif isinstance(answer, TaskUpdate | ArtifactNotify):
                print(printable(redact_text(_said(answer))), flush=True)
    if not isinstance(answer, TaskResponse):
        raise MalformedReply("the stream ended without a response")
    return answer


def _said(news: TaskUpdate | ArtifactNotify) -> str:
    """One update, for people."""
    if isinstance(news, ArtifactNotify):
        return f"artifact  {news.name or news.artifact_id}"
    progress = news.progress or {}
    percent = f"{progress['percent']:g} %" if isinstance(progress.get("percent"), int | float) else ""
    said = progress.get("message") or (news.input_request or {}).get("question") or ""
    return "  ".join(filter(None, (f"{news.status:<10}", percent, str(said)))).rstrip()
