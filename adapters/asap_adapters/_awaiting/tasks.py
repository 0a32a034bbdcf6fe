"""A task in the hands of its handler, on the async fronts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.from_thread

from asap_proto.errors import AsapError
from asap_proto.model import TaskResponse
from asap_proto.roles import Job

from .._shared.logs import log_untold
from .._shared.tasks import BaseTask

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Task", "ThreadTask"]


class Task(BaseTask):
    """What an ``async def`` handler is given."""

    def __init__(self, job: Job, agent: Agent) -> None:
        super().__init__(job)
        self._agent = agent

    async def progress(self, percent: float, message: str | None = None) -> None:
        """Tells the caller how far the task has come, where the agent knows the caller's URL (`peers`).

        To tell is best effort: a caller that can't be reached within `Limits.progress_seconds` does not fail the task.
        Raises `Misuse` for what is no percentage.
        """
        if self.caller in self._agent.settings.peers:
            try:
                await self._agent.peer(self.caller).report(self.job, percent, message)
            except AsapError as error:
                log_untold(self.job, error)

    async def delegate(
        self, to: str, skill: str, input: dict[str, Any], *, config: dict[str, Any] | None = None
    ) -> TaskResponse:
        """Hands a part of the task to another agent, one level deeper.

        Raises `NestedTooDeep` before it is sent, `Misuse` for an agent not among `peers`, and whatever the
        peer reports.
        """
        return await self._agent.peer(to).request(skill, input, config=config, within=self.job)


class ThreadTask(BaseTask):
    """What a plain function is given: it runs in a thread, and its calls wait."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.job)
        self._task = task

    def progress(self, percent: float, message: str | None = None) -> None:
        """As `Task.progress`."""
        anyio.from_thread.run(self._task.progress, percent, message)

    def delegate(
        self, to: str, skill: str, input: dict[str, Any], *, config: dict[str, Any] | None = None
    ) -> TaskResponse:
        """As `Task.delegate`."""

        async def hand_over() -> TaskResponse:
            return await self._task.delegate(to, skill, input, config=config)

        return anyio.from_thread.run(hand_over)
