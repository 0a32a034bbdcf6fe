"""Serve one released `asap-protocol`, on a free loopback port, for the live tests.

Run by that release's own interpreter; it imports nothing of ours.
One argument, a JSON object, says how the server is set up:

    sender, token     ask for this bearer token and take it for this agent
    require_nonce     check nonces where the release can
    rate_limit        such as "3/minute"; without it no request is ever refused
    raises            payload types whose handler raises
    echoes            payload types answered by the echo handler, beside `task.request`
    streams           stream the words of `text` where the release can; "unended" leaves out the mark of the last one

The first line on stdout is `{"port": ..., "release": ..., "ignored": [...]}`:
what the release has no option for is ignored and named.
The server ends when its stdin is closed.
"""

import importlib
import importlib.metadata
import inspect
import json
import os
import socket
import sys
import threading
from typing import Any

AGENT = "urn:asap:agent:reference"
#: In bytes, as of our servers.
REQUEST_MOST = 1_000_000


def keep_stdout() -> int:
    """The release logs to stdout: send that to stderr, and keep the real one for our line."""
    ours = os.dup(1)
    os.dup2(2, 1)
    return ours


def end_with_stdin() -> None:
    while sys.stdin.buffer.read(4096):
        pass
    os._exit(0)


def pieces(marked: bool) -> Any:
    """A handler that streams the words it is given."""
    envelopes = importlib.import_module("asap.models.envelope")

    async def tell(envelope: Any, manifest: Any) -> Any:
        words = envelope.payload_dict["input"]["text"].split()
        for number, word in enumerate(words, 1):
            last = number == len(words)
            yield envelopes.Envelope(
                asap_version=envelope.asap_version,
                sender=manifest.id,
                recipient=envelope.sender,
                payload_type="TaskStream",
                payload={
                    "chunk": word,
                    "progress": number / len(words),
                    "final": last and marked,
                    "status": "completed" if last else "working",
                },
                correlation_id=envelope.id,
                trace_id=envelope.trace_id,
            )

    return tell


def main(options: dict[str, Any]) -> None:
    ours = keep_stdout()
    threading.Thread(target=end_with_stdin, daemon=True).start()
    # Read while the package is imported, which builds an app of its own; the limits of all apps add up.
    os.environ["ASAP_RATE_LIMIT"] = "1000000/second"
    os.environ["OTEL_TRACES_EXPORTER"] = "none"
    entities = importlib.import_module("asap.models.entities")
    handlers = importlib.import_module("asap.transport.handlers")
    server = importlib.import_module("asap.transport.server")
    uvicorn = importlib.import_module("uvicorn")

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    token = options.get("token")
    manifest = entities.Manifest(
        id=AGENT,
        name="Reference",
        version="1.2.3",
        description="A released server",
        capabilities=entities.Capability(
            asap_version="0.1",
            skills=[entities.Skill(id="echo", description="Repeats its input")],
            state_persistence=False,
        ),
        endpoints=entities.Endpoint(asap=f"http://127.0.0.1:{port}/asap"),
        auth=entities.AuthScheme(schemes=["bearer"]) if token else None,
    )
    registry = handlers.create_default_registry()

    def fail(envelope: Any, manifest: Any) -> Any:
        raise RuntimeError("the handler fails, as it was asked to")

    for payload_type in options.get("raises", ()):
        registry.register(payload_type, fail)
    for payload_type in options.get("echoes", ()):
        registry.register(payload_type, handlers.create_echo_handler())

    if options.get("streams") and hasattr(registry, "register_streaming_handler"):
        registry.register_streaming_handler("task.request", pieces(options["streams"] != "unended"))

    wanted = {
        "rate_limit": options.get("rate_limit"),
        "max_request_size": REQUEST_MOST,
        "require_nonce": options.get("require_nonce"),
    }
    known = inspect.signature(server.create_app).parameters
    wanted = {name: value for name, value in wanted.items() if value is not None}
    app = server.create_app(
        manifest,
        registry,
        token_validator=(lambda given: options["sender"] if given == token else None) if token else None,
        **{name: value for name, value in wanted.items() if name in known},
    )
    line = {
        "port": port,
        "release": importlib.metadata.version("asap-protocol"),
        "ignored": sorted(name for name in wanted if name not in known),
    }
    os.write(ours, json.dumps(line).encode() + b"\n")
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
