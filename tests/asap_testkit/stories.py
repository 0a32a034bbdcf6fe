"""Stories told by hand: what they ask, what they are answered, what they return."""

from collections.abc import Callable
from typing import Any, TypeVar

from asap_proto.errors import AsapError
from asap_proto.roles import AnyCommand, Shared, Steps

R = TypeVar("R")


def error_of(make: Callable[..., Any], *args: Any, **options: Any) -> AsapError | None:
    """The error of ours that this raises, if any."""
    try:
        make(*args, **options)
    except AsapError as error:
        return error
    return None


def asks(steps: Steps[Any], answer: Any = None) -> AnyCommand:
    """What the story asks next, once it was told `answer`."""
    try:
        return steps.send(answer)
    except StopIteration as end:
        raise AssertionError(f"the story ended with {end.value!r}") from None


def finish(steps: Steps[R], answer: Any = None) -> R:
    """What the story returns, once it was told `answer`."""
    try:
        command = steps.send(answer)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError(f"the story did not end; it asked {command!r}")


def told(steps: Steps[R], *answers: Any) -> R:
    """What the story returns, told these answers in order and asked nothing more."""
    given: Any = None
    for answer in answers:
        asks(steps, given)
        given = answer
    return finish(steps, given)


def alone(steps: Steps[R]) -> Steps[R]:
    """The same story where nobody else asks: what it would share is told in its place."""
    answer: Any = None
    while True:
        try:
            command = steps.send(answer)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        if isinstance(command, Shared):
            try:
                answer = yield from command.story
            except AsapError as error:
                answer = error
        else:
            answer = yield command
