"""Where `asap task` and `asap state` look: into a store, or at a running agent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from cyclopts import Parameter

from asap_proto.errors import AsapError
from asap_proto.limits import Limits
from asap_proto.model import agent_urn

from .inspecting import Inspector
from .outcome import FAILED, USAGE, Stop
from .peers import SENDER, connect
from .states import Told, agents_in, open_state, parse_state

__all__ = ["Url", "agent_at", "inspecting"]

Url = Annotated[str | None, Parameter("--url", help="Ask the agent that runs there instead.")]


@contextmanager
def inspecting(state: str | None, agent: str | None) -> Iterator[Inspector]:
    """A store, to be looked into while the block runs; raises `Stop`."""
    if state is None:
        remedy = "Give --state FILE or URL, or set ASAP_STATE; --url asks a running agent, where a command has it."
        raise Stop(USAGE, "which store?", remedy=remedy)
    place = parse_state(state)
    if place.sort == "memory":
        remedy = "Ask the agent that runs, with --url: what it has in memory nobody else sees."
        raise Stop(USAGE, "memory is no store to look into", remedy=remedy)
    _need_file(place.sort, place.where, place.shown)
    known = agents_in(place)
    urn = _chosen(known, agent, place.shown)
    with open_state(place, urn, Limits(), "sync") as opened:
        yield Inspector(Told(opened, place), urn)


def _need_file(sort: str, where: str, shown: str) -> None:
    """To look must not make a new store."""
    from pathlib import Path

    if sort == "sqlite" and not Path(where).exists():
        raise Stop(USAGE, f"there is no file {shown}", remedy="Name the one that `asap serve --state` was given.")


def _chosen(known: tuple[str, ...], wanted: str | None, shown: str) -> str:
    listed = ", ".join(known) or "none"
    if wanted is not None:
        try:
            agent_urn(wanted)
        except AsapError as error:
            raise Stop(USAGE, f"--agent: {error.message}", remedy=error.kind.remedy, code=error.code) from None
        if wanted not in known:
            raise Stop(FAILED, f"{shown} holds nothing of {wanted}", remedy=f"Its agents: {listed}.")
        return wanted
    if len(known) == 1:
        return known[0]
    if not known:
        raise Stop(
            FAILED, f"{shown} holds no tasks of any agent", remedy="Name the store that the agent is served with."
        )
    raise Stop(USAGE, f"{shown} holds the tasks of several agents", remedy=f"Say which, with --agent: {listed}.")


def agent_at(
    url: str, token: str | None, timeout: float, *, sender: str | None, allow_http: bool, targets: str | None
) -> Any:
    """A client of a running agent; raises `Stop`."""
    return connect(
        url,
        sender=sender or SENDER,
        token=token,
        timeout=timeout,
        tries=1,
        allow_http=allow_http,
        targets=targets,
    )
