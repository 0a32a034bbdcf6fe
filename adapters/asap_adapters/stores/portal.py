"""A store that has to be awaited, for threads: its event loop runs in one of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Literal, Protocol, Self

from anyio.from_thread import start_blocking_portal

from asap_proto.model import StateSnapshot, TaskStatus
from asap_proto.stores import Accepted, Change, NonceClaim, TaskEvent, TaskRecord

__all__ = ["AwaitedState", "PortalState"]


class AwaitedState(Protocol):
    """A `StateStore` whose methods are coroutines, and that is opened by ``async with``."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None: ...

    async def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted: ...

    async def read(self, task_id: str, *, now: float) -> TaskRecord | None: ...

    async def write(self, change: Change) -> bool: ...

    async def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]: ...

    async def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None: ...

    async def renew(self, owner: str, *, until: float) -> Mapping[str, int]: ...

    async def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]: ...

    async def tasks(
        self, *, status: TaskStatus | None = None, after: str = "", most: int = 100
    ) -> tuple[TaskRecord, ...]: ...

    async def forget(self, *, now: float, most: int = 1000) -> int: ...


class PortalState:
    """A `StateStore` that any thread may call, over one that has to be awaited; opened as it is made."""

    def __init__(self, state: AwaitedState, *, backend: Literal["asyncio", "trio"] = "asyncio") -> None:
        with ExitStack() as stack:
            self._portal = stack.enter_context(start_blocking_portal(backend, name="asap-portal"))
            self._state = stack.enter_context(self._portal.wrap_async_context_manager(state))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store, and ends its thread."""
        self._stack.close()

    def accept(
        self, record: TaskRecord | None, nonce: NonceClaim | None, events: Sequence[TaskEvent], *, now: float
    ) -> Accepted:
        return self._portal.call(partial(self._state.accept, record, nonce, events, now=now))

    def read(self, task_id: str, *, now: float) -> TaskRecord | None:
        return self._portal.call(partial(self._state.read, task_id, now=now))

    def write(self, change: Change) -> bool:
        return self._portal.call(self._state.write, change)

    def events(self, task_id: str, *, after: int, most: int) -> tuple[TaskEvent, ...]:
        return self._portal.call(partial(self._state.events, task_id, after=after, most=most))

    def snapshot(self, task_id: str, which: int | str | None = None) -> StateSnapshot | None:
        return self._portal.call(self._state.snapshot, task_id, which)

    def renew(self, owner: str, *, until: float) -> Mapping[str, int]:
        return self._portal.call(partial(self._state.renew, owner, until=until))

    def take_over(self, owner: str, *, now: float, until: float, most: int) -> tuple[TaskRecord, ...]:
        return self._portal.call(partial(self._state.take_over, owner, now=now, until=until, most=most))

    def tasks(self, *, status: TaskStatus | None = None, after: str = "", most: int = 100) -> tuple[TaskRecord, ...]:
        return self._portal.call(partial(self._state.tasks, status=status, after=after, most=most))

    def forget(self, *, now: float, most: int = 1000) -> int:
        return self._portal.call(partial(self._state.forget, now=now, most=most))
