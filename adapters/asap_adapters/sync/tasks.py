"""A task in the hands of its handler, on the sync front."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asap_proto.errors import AsapError
from asap_proto.model import TaskResponse
from asap_proto.roles import Job

from .._shared.logs import log_untold
from .._shared.tasks import BaseTask

if TYPE_CHECKING:
    from .agent import Agent

__all__ = ["Task"]


class Task(BaseTask):
    """What a handler is given."""

    def __init__(self, job: Job, agent: Agent) -> None:
        super().__init__(job)
        self._agent = agent

    def progress(self, percent: float, message: str | None = None) -> None:
        """Tells the caller how far the task has come, where the agent knows the caller's URL (`peers`).

        To tell is best effort: a caller that can't be reached within `Limits.progress_seconds` does not fail the task.
        Raises `Misuse` for what is no percentage.
        """
        if self.caller in self._agent.settings.peers:
            try:
                self._agent.peer(self.caller).report(self.job, percent, message)
            except AsapError as error:
                log_untold(self.job, error)

    def delegate(
        self, to: str, skill: str, input: dict[str, Any], *, config: dict[str, Any] | None = None
    ) -> TaskResponse:
        """Hands a part of the task to another agent, one level deeper.

        Raises `NestedTooDeep` before it is sent, `Misuse` for an agent not among `peers`, and whatever the
        peer reports.
        """
        return self._agent.peer(to).request(skill, input, config=config, within=self.job)
