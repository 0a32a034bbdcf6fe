"""Finding the agent that `asap serve module:agent` names, and saying what to do where there is none."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

import attrs
from attrs import frozen

from asap_proto.errors import AsapError

from .fronts import Runtime, runtime_of
from .outcome import USAGE, Stop
from .states import open_state, parse_state

if TYPE_CHECKING:
    from .listening import Certificate, SocketFile

__all__ = ["Plan", "load_agent", "loaded_app", "runtime_for"]

_EXAMPLE: Final = "Name it as module:agent, such as weather:agent for the `agent` in weather.py."

#: Packages that the fronts bring, and the extra that brings them.
_OF_EXTRAS: Final = {
    "anyio": "asap-proto[asyncio]",
    "brotli": "asap-proto[sync]",
    "httpx": "asap-proto[sync]",
    "prometheus_client": "asap-proto[sync]",
    "trio": "asap-proto[trio]",
}


@frozen
class Plan:
    """What is to be served, and how: enough for a worker process to build the app by itself."""

    target: str
    app_dir: str
    runtime: Runtime
    url: str
    #: The unix socket that it listens in, and the certificate that it shows.
    file: SocketFile | None
    certificate: Certificate | None
    #: Settings of the agent that the command line or the environment changes; limits by their names.
    settings: dict[str, Any]
    limits: dict[str, float]
    #: Where tasks are kept, as `--state` has it; the agent's own store if not given.
    state: str | None
    #: How long what runs may go on when the server is told to stop.
    grace: float
    log_level: str
    debug: bool
    #: Whether whole requests and answers are logged.
    debug_log: bool


def load_agent(target: str, *, app_dir: str, debug: bool = False) -> Any:
    """The agent; raises `Stop`."""
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute:
        raise Stop(USAGE, f"{target} names no agent", remedy=_EXAMPLE)
    module = _module(module_name, app_dir, debug)
    found: Any = module
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise Stop(USAGE, f"{module_name} has no {attribute}", remedy=_agents_in(module)) from None
    if runtime_of(found) is None:
        raise _no_agent(target, found, module)
    return found


def runtime_for(agent: Any, wanted: Runtime | None, target: str) -> Runtime:
    """The runtime to serve an agent on; raises `Stop` where its front can't run there."""
    own = runtime_of(agent)
    if own is None:
        raise Stop(USAGE, f"{target} is no agent", remedy=_EXAMPLE)
    if wanted not in (None, own):
        remedy = f"Serve it with --runtime {own}, or make it from asap_adapters.{wanted}.Agent."
        raise Stop(USAGE, f"{target} is an agent of asap_adapters.{own}; {wanted} can't run it", remedy=remedy)
    return own


@contextmanager
def loaded_app(plan: Plan) -> Iterator[Any]:
    """The app, with the settings of the command line, its store open while the block runs; raises `Stop`."""
    agent = load_agent(plan.target, app_dir=plan.app_dir, debug=plan.debug)
    changes = dict(plan.settings)
    if plan.limits:
        changes["limits"] = attrs.evolve(agent.settings.limits, **plan.limits)
    if plan.url and not agent.settings.url:
        changes.setdefault("url", plan.url)
    agent.reconfigure(**changes)
    if plan.state is None:
        yield agent.app()
        return
    own = agent.settings
    with open_state(parse_state(plan.state), own.urn, own.limits, plan.runtime) as state:
        agent.reconfigure(store=state)
        yield agent.app()


def _module(name: str, app_dir: str, debug: bool) -> ModuleType:
    if app_dir not in sys.path:
        sys.path.insert(0, app_dir)
    try:
        importlib.invalidate_caches()  # "." may be another folder than when Python last looked into it
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise _broken(name, error, debug) from None
        where = Path(app_dir).resolve()
        remedy = f"Looked in {where} and in what is installed; run it from where {name}.py is, or give --app-dir."
        raise Stop(USAGE, f"there is no module {error.name}", remedy=remedy) from None
    except Exception as error:  # noqa: BLE001  (whatever a user's module raises is that module's failure)
        raise _broken(name, error, debug) from None


def _broken(name: str, error: Exception, debug: bool) -> Stop:
    if debug:
        traceback.print_exception(error)
    words = f"importing {name} failed with {type(error).__name__}: {error}"
    if isinstance(error, AsapError):
        return Stop(USAGE, words, remedy=error.kind.remedy, code=error.code)
    if isinstance(error, ModuleNotFoundError) and error.name in _OF_EXTRAS:
        return Stop(USAGE, words, remedy=f"Install it: pip install '{_OF_EXTRAS[error.name]}'")
    hint = "Mend it there" if debug else "Mend it there; --debug shows where"
    return Stop(USAGE, words, remedy=f"{hint}, or see whether `python -c 'import {name}'` works.")


def _agents_in(module: ModuleType) -> str:
    names = sorted(name for name, value in vars(module).items() if runtime_of(value) is not None)
    if names:
        return f"Its agents: {', '.join(f'{module.__name__}:{name}' for name in names)}."
    return "It has no agent: make one with Agent(...) from asap_adapters.asyncio, .trio or .sync."


def _no_agent(target: str, found: Any, module: ModuleType) -> Stop:
    remedy = _agents_in(module)
    if type(found).__module__.startswith("asap_adapters.") and type(found).__name__ == "App":
        remedy = f"Name the agent itself: its app is made in each worker. {remedy}"
    return Stop(USAGE, f"{target} is no agent but of type {type(found).__name__}", remedy=remedy)
