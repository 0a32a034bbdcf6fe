"""ASAP (Async Simple Agent Protocol) as a pure library: no sockets, no clocks, no threads.

`model` holds the nouns, `rules` what is legal, `wire` how nouns are written, `roles` the two sides of an
exchange. The networking lives in `asap_adapters`.
"""

# Each name is imported when it is first asked for: whoever needs one module does not wait for all.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import AsapError, Fault, Kind, Misuse, RemoteFault
    from .limits import Limits
    from .model import (
        AgentUrn,
        Envelope,
        Manifest,
        Payload,
        TaskRequest,
        TaskResponse,
        TaskStatus,
        TaskUpdate,
        agent_urn,
    )
    from .sources import Clock, Sources, Tokens

__all__ = [
    "AgentUrn",
    "AsapError",
    "Clock",
    "Envelope",
    "Fault",
    "Kind",
    "Limits",
    "Manifest",
    "Misuse",
    "Payload",
    "RemoteFault",
    "Sources",
    "TaskRequest",
    "TaskResponse",
    "TaskStatus",
    "TaskUpdate",
    "Tokens",
    "agent_urn",
]

_HOMES = {
    "errors": ("AsapError", "Fault", "Kind", "Misuse", "RemoteFault"),
    "limits": ("Limits",),
    "sources": ("Clock", "Sources", "Tokens"),
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = next((home for home, names in _HOMES.items() if name in names), "model")
    found: object = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
