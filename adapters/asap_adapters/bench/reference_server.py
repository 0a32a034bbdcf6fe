"""Serve an echo agent of the reference: run by an interpreter that has it, which knows nothing of ours.

The first line on stdout is `{"url": ...}`; it serves until it is killed.
"""

import json
import os
import socket


def main() -> None:
    """Serves as the reference's own documentation does, but for the quota."""
    said = os.dup(1)
    os.dup2(2, 1)  # it logs to stdout
    # Else it refuses the eleventh request of a second; read while it is imported, when it builds an app of its own.
    os.environ["ASAP_RATE_LIMIT"] = "1000000000/second"
    os.environ["OTEL_TRACES_EXPORTER"] = "none"

    import uvicorn  # type: ignore[import-not-found,unused-ignore]
    from asap.models.entities import Capability, Endpoint, Manifest, Skill  # type: ignore[import-not-found]
    from asap.transport.handlers import create_default_registry  # type: ignore[import-not-found]
    from asap.transport.server import create_app  # type: ignore[import-not-found]

    listener = socket.create_server(("127.0.0.1", 0), backlog=8192)
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    manifest = Manifest(
        id="urn:asap:agent:echo",
        name="Echo",
        version="1.0.0",
        description="Repeats what it hears",
        capabilities=Capability(
            asap_version="0.1",
            skills=[Skill(id="echo", description="Repeats the input")],
            state_persistence=False,
        ),
        endpoints=Endpoint(asap=f"{url}/asap"),
    )
    app = create_app(manifest, create_default_registry())
    os.write(said, json.dumps({"url": url}).encode() + b"\n")
    uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


if __name__ == "__main__":
    main()
