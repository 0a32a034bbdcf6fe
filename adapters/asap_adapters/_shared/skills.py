"""What an agent can do: handlers by name, each looked at once, when it is registered."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import frozen

from asap_proto.errors import Misuse
from asap_proto.model import PAYLOADS, Payload, Skill, TaskRequest, payload_name

from .signature import Signature, read_signature

__all__ = ["Colour", "Handler", "Skills"]

Colour = Literal["async", "plain"]

_PAYLOAD_CLASSES = frozenset(PAYLOADS.values())


@frozen
class Handler:
    """One function of the user's, and how it is to be called."""

    name: str
    function: Callable[..., Any]
    colour: Colour
    signature: Signature

    def arguments(self, task: Any) -> tuple[Any, ...]:
        """What to call it with; raises `InvalidInput`."""
        return (task,) if self.signature.input_class is None else (task, self.signature.read(task.input))


class Skills:
    """The handlers of one agent. `plain_only` names the front to use for handlers this one can't run."""

    def __init__(self, *, plain_only: bool) -> None:
        self._plain_only = plain_only
        self._skills: dict[str, tuple[Skill, Handler]] = {}
        self._restartable: set[str] = set()
        self._others: dict[type[Payload], Handler] = {}

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        description: str | None,
        input_schema: dict[str, Any] | None,
        output_schema: dict[str, Any] | None,
        restartable: bool = False,
    ) -> None:
        """Raises `Misuse` for a name taken, a signature that is none, or a colour that can't be run."""
        if name in self._skills:
            raise Misuse(f"the skill {name!r} is registered already; give one of the two another name")
        handler = self._handler(name, function)
        about = description or (inspect.getdoc(function) or name).partition("\n")[0]
        skill = Skill(
            name,
            about,
            input_schema or handler.signature.input_schema,
            output_schema or handler.signature.output_schema,
        )
        self._skills[name] = (skill, handler)
        if restartable:
            self._restartable.add(name)

    def on(self, kind: type[Payload], function: Callable[..., Any]) -> None:
        """The handler of a payload other than a task request; raises `Misuse`."""
        if kind not in _PAYLOAD_CLASSES or kind is TaskRequest:
            raise Misuse(f"{kind.__name__} is no payload with a handler of its own; task requests are skills")
        if kind in self._others:
            raise Misuse(f"{kind.__name__} has a handler already")
        handler = self._handler(payload_name(kind), function)
        if handler.signature.input_class is not None:
            raise Misuse(f"the handler of {kind.__name__} takes the task alone; see task.payload")
        self._others[kind] = handler

    def _handler(self, name: str, function: Callable[..., Any]) -> Handler:
        called = function if inspect.isroutine(function) else type(function).__call__
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
        if is_async and self._plain_only:
            raise Misuse(f"{name!r} is async; serve it from asap_adapters.asyncio or asap_adapters.trio")
        return Handler(name, function, "async" if is_async else "plain", read_signature(function, name=name))

    def published(self) -> tuple[Skill, ...]:
        """What the manifest says."""
        return tuple(skill for skill, _ in self._skills.values())

    @property
    def handles(self) -> frozenset[type[Payload]]:
        """The payloads, besides task requests, that have a handler."""
        return frozenset(self._others)

    @property
    def restartable(self) -> frozenset[str]:
        """The skills that may be run again from the start."""
        return frozenset(self._restartable)

    def frozen(self) -> Mapping[tuple[type[Payload], str], Handler]:
        """Every handler by payload and name, as of now."""
        others = {(kind, handler.name): handler for kind, handler in self._others.items()}
        return {(TaskRequest, name): handler for name, (_, handler) in self._skills.items()} | others
