"""The nouns that most tests need one of."""

from datetime import datetime
from typing import Any

from asap_proto.model import (
    Capabilities,
    Endpoints,
    Envelope,
    Manifest,
    Payload,
    Skill,
    TaskRequest,
    payload_name,
)
from asap_proto.model.manifest import AuthScheme
from asap_proto.rules.identity import Identity

from .sources import NOW

ME = "urn:asap:agent:coordinator"
PEER = "urn:asap:agent:echo"
CALLER = Identity(ME)


def echo_manifest(*, auth: AuthScheme | None = None, skills: tuple[str, ...] = ("echo",)) -> Manifest:
    """The manifest of an agent that repeats what it hears."""
    capabilities = Capabilities(skills=tuple(Skill(name, f"Does {name}") for name in skills))
    return Manifest(PEER, "Echo", "1.0.0", "Repeats", capabilities, Endpoints("/asap"), auth)


def letter(payload: Payload | dict[str, Any] | None = None, *, at: datetime | None = NOW, **fields: Any) -> Envelope:
    """An envelope from `ME` to `PEER`; without a payload, a request to echo."""
    payload = payload or TaskRequest("conversation", "echo", {"message": "hi"})
    name = fields.pop("payload_type", None) or payload_name(type(payload))  # type: ignore[arg-type]
    plain = {"id": "letter-1", "timestamp": at, "sender": ME, "recipient": PEER, "payload": payload}
    return Envelope(payload_type=name, **{**plain, **fields})


def request_frame(*, id: Any = "req-1", key: str | None = None, envelope: Any = None, **changes: Any) -> dict[str, Any]:
    """A valid request as plain JSON values, its envelope changed by `changes`; None leaves a member out."""
    plain = {
        "id": "letter-1",
        "asap_version": "0.1",
        "timestamp": "2026-01-02T03:04:05.123456Z",
        "sender": ME,
        "recipient": PEER,
        "payload_type": "task.request",
        "payload": {"conversation_id": "conversation", "skill_id": "echo", "input": {"message": "hi"}},
    }
    made = {name: value for name, value in {**plain, **changes}.items() if value is not None}
    params = {"envelope": made if envelope is None else envelope} | ({"idempotency_key": key} if key else {})
    return {"jsonrpc": "2.0", "method": "asap.send", "params": params, "id": id}
