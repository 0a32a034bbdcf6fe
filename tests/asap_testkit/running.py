"""A task in the hands of its handler: what tests of its story begin with."""

from collections.abc import Callable
from typing import Any

from asap_proto.limits import Limits
from asap_proto.model import TextPart
from asap_proto.roles.running import TaskRole
from asap_proto.roles.steps import Steps
from asap_proto.wire import jsonrpc

from .nouns import ME, PEER
from .records import record_of
from .sources import fixed_sources


def a_task(limits: Limits = Limits(), **changes: Any) -> TaskRole:  # noqa: B008  (frozen)
    """A task that worker `one` runs, for the first time."""
    return TaskRole(record_of(**changes), PEER, fixed_sources(), limits)


def envelope_in(member: bytes) -> Any:
    """The envelope that a request is answered with."""
    return jsonrpc.read_member(member)["result"]["envelope"]


def answer_by(id: str, payload: Any, name: str = "task.response") -> dict[str, Any]:
    """An envelope from the agent to whoever sent `letter`, as plain JSON values."""
    return {
        "id": id, "asap_version": "0.1", "timestamp": "2026-01-02T03:04:05.123456Z", "sender": PEER, "recipient": ME,
        "payload_type": name, "payload": payload, "correlation_id": "letter-1", "trace_id": None, "extensions": None,
    }  # fmt: skip


#: What a handler may call.
CALLS: dict[str, Callable[[TaskRole], Steps[Any]]] = {
    "check": lambda task: task.check(),
    "progress": lambda task: task.progress(1),
    "save": lambda task: task.save({}),
    "load": lambda task: task.load(),
    "need_input": lambda task: task.need_input({"question": "?"}),
    "artifact": lambda task: task.artifact("picture", [TextPart("a house")]),
}
#: Those that write.
WRITES = ["progress", "save", "artifact"]
