"""The envelope: who sends what to whom (ASAP: envelope)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

from attrs import field

from ..errors import Fault
from ..limits import ASAP_VERSION
from ._value import ID, JsonObject, Value, noun
from .payloads import McpResourceData, McpToolResult, Payload, TaskResponse
from .urn import URN

__all__ = ["Envelope"]

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
