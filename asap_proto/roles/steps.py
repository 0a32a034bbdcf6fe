"""A story: a synchronous generator that asks, is told, and returns."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar, cast

from .commands import AnyCommand, Command

__all__ = ["Steps", "ask", "told"]

A = TypeVar("A")
R = TypeVar("R")

#: Yields commands, is sent their answers, returns an R.
Steps = Generator[AnyCommand, Any, R]


def ask(command: Command[A]) -> Steps[A]:
    """Asks, and checks that the answer is one: a front that answers anything else has a bug."""
    return told(command, (yield cast(AnyCommand, command)))


def told(command: Command[A], answer: object) -> A:
    """The same, for a story that yields the command itself: what each exchange asks need not cost a generator."""
    if not isinstance(answer, command.answers):
        raise TypeError(f"{type(command).__name__} was answered with {type(answer).__name__}")
    return answer  # type: ignore[return-value]  # it was looked at, and a cast would be a call
