"""What an agent can do: handlers by name, each looked at once, when it is registered."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import evolve, field, frozen

from asap_proto.errors import Misuse
from asap_proto.model import PAYLOADS, Payload, Skill, TaskRequest, payload_name
from asap_proto.roles import Returned
from asap_proto.rules.quota import Quota, parse_quota

from .signature import Signature, read_signature

__all__ = ["Colour", "Handler", "Registered", "Skills"]

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

    def returned(self, outcome: Returned) -> Returned:
        """What it has returned, as the core takes it."""
        return outcome if outcome.value.__class__ is dict else Returned(self.signature.write(outcome.value))


@frozen
class Registered:
    """The handlers of one agent as of one moment: a value, that no other thread changes while it is looked at."""

    skills: Mapping[str, tuple[Skill, Handler]] = field(factory=dict)
    others: Mapping[type[Payload], Handler] = field(factory=dict)
    #: The skills that may be run again from the start.
    restartable: frozenset[str] = frozenset()
    #: How often each caller may have a skill run, where that has a quota of its own.
    quotas: Mapping[str, Quota] = field(factory=dict)

    def published(self) -> tuple[Skill, ...]:
        """What the manifest says."""
        return tuple(skill for skill, _ in self.skills.values())

    def handlers(self) -> Mapping[tuple[type[Payload], str], Handler]:
        """Every handler by payload and name."""
        others = {(kind, handler.name): handler for kind, handler in self.others.items()}
        return {(TaskRequest, name): handler for name, (_, handler) in self.skills.items()} | others


class Skills:
    """The handlers of one agent; any thread may add to them. `plain_only` says that this front runs no async ones."""

    def __init__(self, *, plain_only: bool) -> None:
        self._plain_only = plain_only
        self._lock = threading.Lock()
        #: All of them, as of now.
        self.now = Registered()

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        description: str | None,
        input_schema: dict[str, Any] | None,
        output_schema: dict[str, Any] | None,
        restartable: bool = False,
        quota: str | None = None,
    ) -> None:
        """Raises `Misuse` for a name taken, a signature that is none, a colour that can't be run, or no quota."""
        handler = self._handler(name, function)
        own_input, own_output = handler.signature.input_schema, handler.signature.output_schema
        about = description or (inspect.getdoc(function) or name).partition("\n")[0]
        skill = Skill(name, about, input_schema or own_input, output_schema or own_output)
        quotas = {} if quota is None else {name: parse_quota(quota)}
        with self._lock:
            now = self.now
            if name in now.skills:
                raise Misuse(f"the skill {name!r} is registered already; give one of the two another name")
            self.now = evolve(
                now,
                skills={**now.skills, name: (skill, handler)},
                restartable=now.restartable | {name} if restartable else now.restartable,
                quotas={**now.quotas, **quotas},
            )

    def on(self, kind: type[Payload], function: Callable[..., Any]) -> None:
        """The handler of a payload other than a task request; raises `Misuse`."""
        if kind not in _PAYLOAD_CLASSES or kind is TaskRequest:
            raise Misuse(f"{kind.__name__} is no payload with a handler of its own; task requests are skills")
        handler = self._handler(payload_name(kind), function)
        if handler.signature.input_class is not None:
            raise Misuse(f"the handler of {kind.__name__} takes the task alone; see task.payload")
        with self._lock:
            if kind in self.now.others:
                raise Misuse(f"{kind.__name__} has a handler already")
            self.now = evolve(self.now, others={**self.now.others, kind: handler})

    def _handler(self, name: str, function: Callable[..., Any]) -> Handler:
        called = function if inspect.isroutine(function) else type(function).__call__
        is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)
        if is_async and self._plain_only:
            raise Misuse(f"{name!r} is async; serve it from asap_adapters.asyncio or asap_adapters.trio")
        return Handler(name, function, "async" if is_async else "plain", read_signature(function, name=name))
