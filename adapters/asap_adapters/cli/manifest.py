"""`asap manifest`: what an agent says of itself."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from asap_proto.model import Manifest
from asap_proto.wire.converter import encode

from .commands import Json
from .outcome import OK
from .output import console, print_json, table
from .peers import AllowHttp, Timeout, Token, Tries, connect

__all__ = ["manifest"]


def manifest(
    url: Annotated[str, Parameter(help="The agent's base URL.")],
    /,
    *,
    token: Token = None,
    timeout: Timeout = 10.0,
    tries: Tries = 1,
    allow_http: AllowHttp = False,
    json: Json = False,
) -> int:
    """Fetch and check what an agent publishes; unknown fields of newer peers are passed over."""
    with connect(url, token=token, timeout=timeout, tries=tries, allow_http=allow_http) as client:
        found = client.manifest()
    if json:
        print_json(encode(found))
    else:
        _show(found)
    return OK


def _show(found: Manifest) -> None:
    skills = found.capabilities.skills
    print(f"{found.name} {found.version}  {found.id}")
    if found.description:
        print(found.description)
    print(f"endpoint  {found.endpoints.asap}")
    print(f"auth      {', '.join(found.auth.schemes) if found.auth else 'none'}")
    print(f"skills    {len(skills) or 'none'}")
    if not skills:
        return
    shown = table("skill", "description", "input")
    for skill in skills:
        fields = (skill.input_schema or {}).get("properties")
        shown.add_row(skill.id, skill.description, ", ".join(fields) if isinstance(fields, dict) else "")
    console().print(shown)
