"""`asap state`: what a task knows."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

from asap_proto.wire.nouns import encode

from .commands import Json
from .outcome import FAILED, OK, Stop
from .output import print_json
from .peers import AllowHttp, Sender, Targets, Timeout, Token
from .states import AgentName, StateOption
from .stored import Url, agent_at, inspecting

__all__ = ["state"]

Version = Annotated[
    int | None, Parameter(help="Which snapshot; the newest if not given.", validator=validators.Number(gte=1))
]


def state(
    task_id: Annotated[str, Parameter(help="The task.")],
    /,
    *,
    version: Version = None,
    store: StateOption = None,
    agent: AgentName = None,
    url: Url = None,
    targets: Targets = None,
    sender: Sender = None,
    token: Token = None,
    timeout: Timeout = 10.0,
    allow_http: AllowHttp = False,
    json: Json = False,
) -> int:
    """Print the data of a task's snapshot; with --json the snapshot itself."""
    if url is not None:
        with agent_at(url, token, timeout, sender=sender, allow_http=allow_http, targets=targets) as client:
            snapshot = client.state(task_id, version).snapshot
    else:
        with inspecting(store, agent) as inspector:
            inspector.task(task_id)
            snapshot = inspector.state.snapshot(task_id, version)
    if snapshot is None:
        which = f"no snapshot of version {version}" if version is not None else "saved no snapshot"
        raise Stop(FAILED, f"the task has {which}", remedy="`asap task show` lists those that it has.")
    print_json(encode(snapshot) if json else snapshot.data, whole=not json)
    return OK
