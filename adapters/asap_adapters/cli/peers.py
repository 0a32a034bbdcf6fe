"""The client that `send` and `manifest` talk through."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter, validators

from asap_proto.errors import Misuse
from asap_proto.rules.retry import RetryRule

from .fronts import extra_missing, front
from .inputs import read_text
from .outcome import USAGE, Stop

__all__ = ["SENDER", "AllowHttp", "Pin", "Sender", "Targets", "Timeout", "Token", "Tries", "connect"]

#: Who speaks, unless told otherwise.
SENDER = "urn:asap:agent:cli"

Token = Annotated[
    str | None, Parameter(allow_leading_hyphen=True, help="Bearer token, @file or -; a file keeps it out of `ps`.")
]
Sender = Annotated[str | None, Parameter(help="The URN to ask from.")]
Timeout = Annotated[
    float, Parameter(help="Seconds to wait for an answer, for each try.", validator=validators.Number(gt=0))
]
Tries = Annotated[
    int, Parameter(help="How often to try a peer that can't answer now.", validator=validators.Number(gte=1))
]
AllowHttp = Annotated[bool, Parameter(negative="", show_default=False, help="Allow clear text beyond this machine.")]
Pin = Annotated[
    str | None,
    Parameter(
        help="The public key that the agent's manifest has to be signed with, as `asap key` prints it, or @file."
    ),
]
Targets = Annotated[
    str | None,
    Parameter(help="Where the URL may lead, joined by commas: public, any, networks such as 10.0.0.0/8."),
]


def connect(
    url: str,
    *,
    sender: str = SENDER,
    recipient: str | None = None,
    token: str | None,
    timeout: float,
    tries: int,
    allow_http: bool,
    pin: str | None = None,
    targets: str | None = None,
) -> Any:
    """A client of the sync front, which every other front's extra covers; raises `Stop`."""
    try:
        return front("sync").Client(
            url,
            me=sender,
            peer=recipient,
            token=read_text(token) if token is not None else None,
            timeout=timeout,
            retry=RetryRule(attempts=tries),
            allow_http=allow_http,
            pinned=None if pin is None else _pinned(read_text(pin)),
            targets=None if targets is None else targets.split(","),
        )
    except Misuse as error:
        remedy = error.kind.remedy
        if "not encrypted" in error.message:
            raise Stop(
                USAGE, f"{url} is not encrypted", remedy="Use https, or --allow-http if you must.", code=error.code
            ) from None
        raise Stop(USAGE, error.message, remedy=remedy, code=error.code) from None


def _pinned(key: str) -> Any:
    try:
        from ..auth.manifests import PinnedKey
    except ModuleNotFoundError as error:
        raise extra_missing(error, "auth") from None
    return PinnedKey(key)
