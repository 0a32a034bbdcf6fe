"""`asap manifest`: what an agent says of itself."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from asap_proto.model import Manifest
from asap_proto.wire.converter import encode

from .commands import Json
from .outcome import OK
from .output import console, print_json, table
from .peers import AllowHttp, Pin, Targets, Timeout, Token, Tries, connect

__all__ = ["manifest"]


def manifest(
    url: Annotated[str, Parameter(help="The agent's base URL.")],
    /,
    *,
    agent: Annotated[str | None, Parameter(help="The URN of the agent that it has to be.")] = None,
    pin: Pin = None,
    targets: Targets = None,
    token: Token = None,
    timeout: Timeout = 10.0,
    tries: Tries = 1,
    allow_http: AllowHttp = False,
    json: Json = False,
) -> int:
    """Fetch and check what an agent publishes; unknown fields of newer peers are passed over."""
    with connect(
        url,
        recipient=agent,
        token=token,
        timeout=timeout,
        tries=tries,
        allow_http=allow_http,
        pin=pin,
        targets=targets,
    ) as client:
        found = client.manifest()
    if json:
        print_json(encode(found))
    else:
        _show(found, is_verified=pin is not None)
    return OK


def _show(found: Manifest, *, is_verified: bool) -> None:
    skills = found.capabilities.skills
    print(f"{found.name} {found.version}  {found.id}")
    if found.description:
        print(found.description)
    print(f"endpoint  {found.endpoints.asap}")
    print(f"auth      {', '.join(found.auth.schemes) if found.auth else 'none'}")
    if is_verified:
        print("signed    with the pinned key")
    print(f"skills    {len(skills) or 'none'}")
    if not skills:
        return
    shown = table("skill", "description", "input")
    for skill in skills:
        fields = (skill.input_schema or {}).get("properties")
        shown.add_row(skill.id, skill.description, ", ".join(fields) if isinstance(fields, dict) else "")
    console().print(shown)
