"""The store that `--state` names: opened for an agent that is served, or to be looked into."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from attrs import frozen
from cyclopts import Parameter

from asap_proto.errors import Misuse
from asap_proto.limits import Limits

from .fronts import Runtime
from .outcome import FAILED, USAGE, Stop, bare

__all__ = ["AgentName", "Place", "StateOption", "Told", "agents_in", "check_state", "open_state", "parse_state"]

StateOption = Annotated[
    str | None,
    Parameter(
        "--state", env_var="ASAP_STATE", help="The store: a SQLite file, redis://…, valkey://… or postgresql://…"
    ),
]
AgentName = Annotated[
    str | None, Parameter("--agent", help="Whose tasks, by URN; needed where the store holds those of several agents.")
]

_FORMS: Final = "Name a file, sqlite:///FILE, redis://HOST:6379/0, postgresql://HOST/DATABASE, or memory."
_EXTRAS: Final = {"redis": "redis", "postgres": "postgres"}

Sort = Literal["memory", "sqlite", "redis", "postgres"]
_SCHEMES: Final[dict[str, Sort]] = {
    "redis": "redis",
    "rediss": "redis",
    "unix": "redis",
    "valkey": "redis",
    "valkeys": "redis",
    "postgres": "postgres",
    "postgresql": "postgres",
}


@frozen
class Place:
    """Where a store is: of what sort, and at which path or URL."""

    sort: Sort
    where: str

    @property
    def shown(self) -> str:
        """As it may be told: a URL without its password."""
        head, at, tail = self.where.rpartition("@")
        scheme, slashes, user = head.partition("://")
        return f"{scheme}{slashes}{user.partition(':')[0]}@{tail}" if at and slashes else self.where


def parse_state(text: str) -> Place:
    """What `--state` says; raises `Stop`."""
    if text == "memory":
        return Place("memory", text)
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        return _file(text)
    if scheme == "sqlite":
        # As elsewhere: three slashes and a relative path, four and an absolute one.
        return _file(rest.removeprefix("/"))
    if scheme not in _SCHEMES:
        raise Stop(USAGE, f"--state or ASAP_STATE: there is no store for {scheme}://", remedy=_FORMS)
    return Place(_SCHEMES[scheme], text.replace("valkey", "redis", 1) if scheme.startswith("valkey") else text)


def _file(name: str) -> Place:
    if not name:
        raise Stop(USAGE, "--state or ASAP_STATE: no file is named", remedy=_FORMS)
    return Place("sqlite", str(Path(name).absolute()))


def check_state(place: Place, agent: str, limits: Limits) -> None:
    """Opens the store once, so that what is wrong is told before anything else begins; raises `Stop`."""
    with open_state(place, agent, limits, "sync"):
        pass


@contextmanager
def open_state(place: Place, agent: str, limits: Limits, runtime: Runtime) -> Iterator[Any]:
    """An agent's store while the block runs, for an app of this runtime; raises `Stop`."""
    with _told(place):
        opening = _opened(place, agent, limits, runtime)
        state = opening.__enter__()
    try:
        yield state
    finally:
        opening.__exit__(None, None, None)


def _opened(place: Place, agent: str, limits: Limits, runtime: Runtime) -> AbstractContextManager[Any]:
    if place.sort == "memory":
        return nullcontext()
    made: AbstractContextManager[Any]
    if place.sort == "sqlite":
        made = _store("sqlite").SqliteState(place.where, agent=agent, limits=limits)
        return made
    if place.sort == "postgres":
        made = _store("postgres").PostgresState(place.where, agent=agent, limits=limits)
        return made
    waiting = _store("redis").RedisState(place.where, agent=agent, limits=limits)
    if runtime != "sync":
        return nullcontext(waiting)  # the app opens it, in its event loop
    made = _store("portal").PortalState(waiting)
    return made


def agents_in(place: Place) -> tuple[str, ...]:
    """The agents whose tasks a store holds; raises `Stop`."""
    with _told(place):
        found: tuple[str, ...] = _store(place.sort).agents(place.where)
        return found


def _store(name: str) -> Any:
    """A store's module; raises `Stop` where its extra is missing."""
    try:
        return importlib.import_module(f"asap_adapters.stores.{name}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "asap_adapters", "asap_proto"):
            raise
        extra = f"asap-proto[{_EXTRAS.get(name, 'asyncio')}]"
        raise Stop(
            USAGE, f"this store needs {package}, which is not installed", remedy=f"Install it: pip install '{extra}'"
        ) from None


@contextmanager
def _told(place: Place) -> Iterator[None]:
    """Whatever keeps a store from being opened, or used, in words."""
    try:
        yield
    except Stop:
        raise
    except Misuse as error:
        raise Stop(USAGE, error.message, remedy=_REMEDIES[place.sort], code=error.code) from None
    except Exception as error:  # noqa: BLE001  (each store's client has errors of its own)
        found = bare(error)
        why = str(found) or type(found).__name__
        if found.__cause__ is not None:
            why += f" ({found.__cause__})"
        # Some clients say it in several lines, which then are lines of ours.
        raise Stop(FAILED, f"can't use {place.shown}: {' '.join(why.split())}", remedy=_REMEDIES[place.sort]) from None


class Told:
    """A store, for a command: what it raises in the midst of a call ends the command in words."""

    def __init__(self, state: Any, place: Place) -> None:
        self._state = state
        self._place = place

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._state, name)

        def call(*given: Any, **named: Any) -> Any:
            with _told(self._place):
                return method(*given, **named)

        return call


_REMEDIES: Final[dict[Sort, str]] = {
    "memory": "",
    "sqlite": "Name a file that is a store, or none yet, in a directory that may be written to.",
    "redis": "See whether the server runs there and lets us in.",
    "postgres": "See whether the server runs there, has this database, and lets us in.",
}
