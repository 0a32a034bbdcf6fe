"""The envelope: who sends what to whom (ASAP: envelope)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from attrs import field

from ..errors import Fault, InvalidValue
from ..limits import ASAP_VERSION
from ._value import ID, JsonObject, Value, noun
from .payloads import McpResourceData, McpToolResult, Payload, TaskResponse
from .urn import URN

__all__ = ["Envelope", "written"]

#: Payload types that answer something, in the spelling for which every release insists on a correlation id.
_ANSWERS = frozenset(kind.__name__ for kind in (TaskResponse, McpToolResult, McpResourceData))


@noun(kw_only=True)
class Envelope(Value):
    """One message.

    `payload` is a payload object when its type is known, else the JSON object as it came.
    `id` and `timestamp` are absent only where a peer left them out.
    """

    id: str | None = field(default=None, validator=ID)
    asap_version: str = field(default=ASAP_VERSION, validator=ID)
    timestamp: datetime | None = None
    sender: str = field(validator=URN)
    recipient: str = field(validator=URN)
    payload_type: str = field(validator=ID)
    payload: Payload | JsonObject
    correlation_id: str | None = field(default=None, validator=ID)
    trace_id: str | None = field(default=None, validator=ID)
    extensions: JsonObject | None = None

    flaw_quick = "payload_type in answers"
    flaw_names: ClassVar[Mapping[str, Any]] = {"answers": _ANSWERS}

    def flaw(self) -> Fault | None:
        if self.payload_type in _ANSWERS and not self.correlation_id:
            return Fault(
                "$.correlation_id",
                "missing",
                f"is required: a {self.payload_type} answers an envelope by its id",
            )
        return None


#: Filled and then made an envelope by its class, as the decoder does it: a third of what the frozen class costs.
_Draft: Any = Envelope.__base__


def written(
    id: str,
    timestamp: datetime,
    *,
    sender: str,
    recipient: str,
    payload_type: str,
    payload: Payload,
    trace_id: str | None,
    extensions: JsonObject | None,
) -> Envelope:
    """An envelope that asks or tells, made of what was checked before, but for its trace; raises `InvalidValue`."""
    if trace_id is not None and (problem := ID.check(trace_id)):
        raise InvalidValue(problem, faults=[Fault("$.trace_id", ID.type, problem)])
    draft = _Draft()
    draft.id = id
    draft.asap_version = ASAP_VERSION
    draft.timestamp = timestamp
    draft.sender = sender
    draft.recipient = recipient
    draft.payload_type = payload_type
    draft.payload = payload
    draft.correlation_id = None
    draft.trace_id = trace_id
    draft.extensions = extensions
    draft.__class__ = Envelope
    envelope: Envelope = draft
    return envelope
