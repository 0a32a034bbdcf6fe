"""The three fronts by name, imported when one is needed."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Literal

from .outcome import USAGE, Stop

__all__ = ["RUNTIMES", "Runtime", "extra_missing", "front", "runtime_of"]

Runtime = Literal["asyncio", "trio", "sync"]
RUNTIMES: tuple[Runtime, ...] = ("asyncio", "trio", "sync")


def front(runtime: Runtime) -> ModuleType:
    """The front's package; raises `Stop` where its extra is missing."""
    try:
        return importlib.import_module(f"asap_adapters.{runtime}")
    except ModuleNotFoundError as error:
        raise extra_missing(error, runtime) from None


def extra_missing(error: ModuleNotFoundError, *extras: str) -> Stop:
    """What to say of a package that is not there; an error of ours is raised again."""
    name = (error.name or "").partition(".")[0]
    if name in ("", "asap_adapters", "asap_proto"):
        raise error
    wanted = ",".join((*extras, "cli", "server"))
    return Stop(
        USAGE, f"this needs {name}, which is not installed", remedy=f"Install it: pip install 'asap-proto[{wanted}]'"
    )


def runtime_of(agent: Any) -> Runtime | None:
    """The runtime that an agent was made for, if it is an agent at all.

    An agent's front was imported to make it: no other is imported to find out.
    """
    loaded = {name: sys.modules.get(f"asap_adapters.{name}") for name in RUNTIMES}
    for name, module in loaded.items():
        if module is not None and isinstance(agent, module.Agent):
            return name
    return None
