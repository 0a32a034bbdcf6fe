"""`asap send`: hand a task to an agent, from a shell."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from asap_proto.errors import MalformedReply
from asap_proto.model import TaskRequest, TaskResponse, TaskStatus
from asap_proto.wire.converter import encode

from .commands import Json
from .inputs import read_object
from .outcome import FAILED, OK, Stop, tell
from .output import print_json
from .peers import SENDER, AllowHttp, Timeout, Token, Tries, connect

__all__ = ["send"]

#: Where a task may stand without having failed.
_WELL = frozenset({TaskStatus.SUBMITTED, TaskStatus.WORKING, TaskStatus.COMPLETED})


def send(
    url: Annotated[str, Parameter(help="The agent's base URL.")],
    /,
    *,
    skill: Annotated[str, Parameter(help="What it is to do; `asap manifest URL` lists its skills.")],
    input: Annotated[str, Parameter(allow_leading_hyphen=True, help="A JSON object, @file, or - for stdin.")] = "{}",
    config: Annotated[str | None, Parameter(help="How to do it: a JSON object or @file.")] = None,
    sender: Annotated[str, Parameter(help="The URN to send from.")] = SENDER,
    recipient: Annotated[str | None, Parameter(help="The URN to send to; the manifest's if not given.")] = None,
    token: Token = None,
    timeout: Timeout = 60.0,
    tries: Tries = 1,
    allow_http: AllowHttp = False,
    json: Json = False,
) -> int:
    """Hand a task to an agent, and print its result; with --json the whole reply envelope."""
    given = read_object(input, option="--input")
    how = read_object(config, option="--config") if config is not None else None
    with connect(
        url, sender=sender, recipient=recipient, token=token, timeout=timeout, tries=tries, allow_http=allow_http
    ) as client:
        role = client.role
        request = TaskRequest(f"conv_{role.new_id()}", skill, given, config=how)
        reply = client.send(role.compose(recipient or client.manifest().id, request))
    answer = reply.payload
    if not isinstance(answer, TaskResponse):
        raise MalformedReply(f"the task was answered by a {reply.payload_type[:64]}", path="$.payload_type")
    if json:
        print_json(encode(reply))
    elif answer.result is not None:
        print_json(answer.result)
    if answer.status in _WELL:
        return OK
    remedy = "" if json else "The agent says no more than this: --json shows the whole reply."
    return tell(Stop(FAILED, f"the task {answer.task_id} is {answer.status}", remedy=remedy), as_json=False)
