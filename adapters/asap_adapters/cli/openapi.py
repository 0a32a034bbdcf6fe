"""`asap openapi`: an agent's HTTP surface, for tools that know OpenAPI."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from asap_proto.wire.openapi import describe

from .commands import Json
from .outcome import OK
from .output import print_json
from .peers import AllowHttp, Targets, Timeout, connect
from .targets import load_agent

__all__ = ["openapi"]


def openapi(
    agent: Annotated[str, Parameter(help="module:agent, or the base URL of an agent that runs.")],
    /,
    *,
    app_dir: Annotated[str, Parameter(help="Where to look for the module first.")] = ".",
    targets: Targets = None,
    timeout: Timeout = 10.0,
    allow_http: AllowHttp = False,
    json: Json = False,
) -> int:
    """Print the OpenAPI 3.1 description of one agent; it is JSON with or without --json."""
    if "://" in agent:
        with connect(agent, token=None, timeout=timeout, tries=1, allow_http=allow_http, targets=targets) as client:
            document = describe(client.manifest())
    else:
        found = load_agent(agent, app_dir=app_dir)
        document = describe(found.manifest(), found.settings.limits, strict_http=found.settings.strict_http)
    print_json(document, whole=True)
    return OK
