"""Play the client of one released `asap-protocol`: commands in, outcomes out, a JSON object a line.

Run by that release's own interpreter; it imports nothing of ours.
The first line on stdout is `{"release": ...}`; then each line on stdin is answered by one line:

    {"op": "manifest", "url": ...}                           with "at" and "pin" the signed one there, by that key
    {"op": "sign", "manifest": {...}}                        a document with a signature of the release, and its key
    {"op": "schema", "name": ...}                            what the release says of one of its models
    {"op": "check", "name": ..., "documents": [...]}         what it finds wrong with each of these as one
    {"op": "health", "url": ...}
    {"op": "send", "url": ..., "envelope": {...}}            with "times" so often by one client, and the last told
    {"op": "batch", "url": ..., "envelopes": [...]}          the release's own way, side by side
    {"op": "array", "url": ..., "envelopes": [...]}          one JSON-RPC array
    {"op": "stream", "url": ..., "envelope": {...}}          what comes of it, as it comes

Any command may carry `token`, `timeout`, `attempts` and `compression` (all optional).
An envelope may leave out what the release fills in, and may say `"age": seconds` for its timestamp.

Answers are one of

    {"ok": true}
    {"ok": true, "schema": {...}}
    {"ok": true, "faults": [["$.path type", "$.path value_error what it says", ...], ...]}
    {"ok": true, "document": ..., "pin": ...}
    {"ok": true, "manifest" | "health" | "envelope" | "envelopes": ...}
    {"ok": false, "error": class, "code": "asap:...", "number": JSON-RPC code, "data": ...}
    {"unsupported": what}
"""

import asyncio
import importlib
import importlib.metadata
import inspect
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

TASK = {"conversation_id": "conversation", "skill_id": "echo", "input": {"message": "hi"}}


class Unsupported(Exception):
    """The release has no way to do this."""


def letter(fields: dict[str, Any]) -> Any:
    fields = {
        "asap_version": "0.1",
        "sender": "urn:asap:agent:caller",
        "recipient": "urn:asap:agent:called",
        "payload_type": "task.request",
        "payload": TASK,
        **fields,
    }
    age = fields.pop("age", None)
    if age is not None:
        fields["timestamp"] = datetime.now(UTC) - timedelta(seconds=age)
    return importlib.import_module("asap.models.envelope").Envelope(**fields)


def seen(envelope: Any) -> dict[str, Any]:
    return envelope.model_dump(mode="json")  # type: ignore[no-any-return]


def trouble(error: BaseException) -> dict[str, Any]:
    data = getattr(error, "data", None)
    code = getattr(error, "code", None)
    number = getattr(error, "json_rpc_code", code)
    return {
        "ok": False,
        "error": type(error).__name__,
        "code": data["code"] if isinstance(data, dict) and "code" in data else code,
        "number": number if isinstance(number, int) else None,
        "data": data if isinstance(data, dict) else None,
        "text": str(error)[:300],
    }


def connect(command: dict[str, Any]) -> Any:
    made = importlib.import_module("asap.transport.client").ASAPClient
    known = inspect.signature(made.__init__).parameters
    options = {
        "timeout": command.get("timeout", 20),
        "max_retries": command.get("attempts", 1),
        "auth_token": command.get("token"),
        "compression": command.get("compression"),
        "transport_mode": "http",
    }
    if "pin" in command:
        if "trusted_manifest_keys" not in known:
            raise Unsupported("no pinned keys")
        options |= {"verify_signatures": True, "trusted_manifest_keys": {command["at"]: command["pin"]}}
    return made(command["url"], **{k: v for k, v in options.items() if k in known and v is not None})


def signed(document: dict[str, Any]) -> dict[str, Any]:
    try:
        keys = importlib.import_module("asap.crypto.keys")
    except ModuleNotFoundError:
        raise Unsupported("no signatures") from None
    private, public = keys.generate_keypair()
    manifest = importlib.import_module("asap.models.entities").Manifest.model_validate(document)
    made = importlib.import_module("asap.crypto.signing").sign_manifest(manifest, private)
    return {"ok": True, "document": made.model_dump(mode="json"), "pin": keys.public_key_to_base64(public)}


def model(name: str) -> Any:
    """A payload, an envelope, a manifest or a frame of the release, by its class."""
    for module in ("models.payloads", "models.envelope", "models.entities", "transport.jsonrpc"):
        if found := getattr(importlib.import_module(f"asap.{module}"), name, None):
            return found
    raise Unsupported(f"no {name}")


def faults(made: Any, document: Any) -> list[str]:
    """What the release finds wrong with a document, by path and type; what breaks the check itself is one too.

    All rules that a model has of its own share one type, and often one path: what such a rule says is told as well.
    """
    try:
        made.model_validate(document)
    except importlib.import_module("pydantic").ValidationError as error:
        return [
            "$"
            + "".join(f".{step}" for step in one["loc"])
            + f" {one['type']}"
            + (f" {one['msg']}" if one["type"] == "value_error" else "")
            for one in error.errors()
        ]
    except Exception as error:
        return [f"$ {type(error).__name__}"]
    return []


def look_up(command: dict[str, Any]) -> dict[str, Any] | None:
    """What needs no server."""
    match command["op"]:
        case "sign":
            return signed(command["manifest"])
        case "schema":
            return {"ok": True, "schema": model(command["name"]).model_json_schema()}
        case "check":
            made = model(command["name"])
            return {"ok": True, "faults": [faults(made, document) for document in command["documents"]]}
    return None


async def perform(command: dict[str, Any]) -> dict[str, Any]:
    async with connect(command) as client:
        token = command.get("token")
        if token and "auth_token" not in inspect.signature(type(client).__init__).parameters:
            # What the older releases tell their users to do.
            client._client.headers["Authorization"] = f"Bearer {token}"
        match command["op"]:
            case "manifest":
                if not hasattr(client, "get_manifest"):
                    raise Unsupported("no manifest look-up")
                manifest = await client.get_manifest(command.get("at"))
                return {"ok": True, "manifest": manifest.model_dump(mode="json")}
            case "health":
                if not hasattr(client, "health_check"):
                    raise Unsupported("no health look-up")
                health = await client.health_check()
                return {"ok": True, "health": health.model_dump(mode="json")}
            case "send":
                for _ in range(command.get("times", 1) - 1):
                    await client.send(letter(command["envelope"]))
                return {"ok": True, "envelope": seen(await client.send(letter(command["envelope"])))}
            case "batch":
                if not hasattr(client, "send_batch"):
                    raise Unsupported("no batches")
                letters = [letter(one) for one in command["envelopes"]]
                replies = await client.send_batch(letters, return_exceptions=True)
                return {
                    "ok": True,
                    "envelopes": [trouble(r) if isinstance(r, BaseException) else seen(r) for r in replies],
                }
            case "array":
                if not hasattr(client, "batch"):
                    raise Unsupported("no JSON-RPC arrays")
                replies = await client.batch([letter(one) for one in command["envelopes"]])
                return {"ok": True, "envelopes": [seen(r) for r in replies]}
            case "stream":
                if not hasattr(client, "stream"):
                    raise Unsupported("no streams")
                return {
                    "ok": True,
                    "envelopes": [seen(one) async for one in client.stream(letter(command["envelope"]))],
                }
    raise Unsupported(f"no command named {command['op']}")


async def answer(line: bytes) -> dict[str, Any]:
    try:
        command = json.loads(line)
        return look_up(command) or await perform(command)
    except Unsupported as missing:
        return {"unsupported": str(missing)}
    except Exception as error:
        return trouble(error)


async def main() -> None:
    # The release logs to stdout: send that to stderr, and keep the real one for our lines.
    ours = os.dup(1)
    os.dup2(2, 1)
    os.environ["ASAP_RATE_LIMIT"] = "1000000/second"
    os.environ["OTEL_TRACES_EXPORTER"] = "none"
    importlib.import_module("asap.transport.client")
    os.write(ours, json.dumps({"release": importlib.metadata.version("asap-protocol")}).encode() + b"\n")
    while line := await asyncio.to_thread(sys.stdin.buffer.readline):
        reply = json.dumps(await answer(line)).encode() + b"\n"
        while reply:
            reply = reply[os.write(ours, reply) :]


if __name__ == "__main__":
    asyncio.run(main())
