"""A task in the hands of its handler, on the sync front."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from asap_proto.errors import AsapError
from asap_proto.model import Artifact, ArtifactNotify, Part, Payload, StateSnapshot, TaskResponse
from asap_proto.roles import Steps
from asap_proto.stores import Job

from .._shared.logs import log_untold
from .._shared.performing import Run
from .._shared.tasks import BaseTask
from .drive import drive

if TYPE_CHECKING:
    from .server import Performer

__all__ = ["Task"]

R = TypeVar("R")


class Task(BaseTask):
    """What a handler is given. Each call raises `TaskCancelled` once the task is cancelled."""

    def __init__(
        self,
        job: Job,
        run: Run,
        performer: Performer,
        until: float,
    ) -> None:
        super().__init__(job, run.role, performer.clock, until)
        self._run = run
        self._performer = performer

    def progress(self, percent: float, message: str | None = None) -> None:
        """Tells how far the task has come, from 0 to 100.

        Whoever follows the task hears it, and its caller where that is among the agent's `peers`. To tell the caller
        is best effort: one that can't be reached within `Limits.progress_seconds` does not fail the task.
        Raises `Misuse` for what is no percentage.
        """
        update = self._tell(self._role.progress(percent, message))
        self._report(update)

    def save(self, data: dict[str, Any], *, checkpoint: bool = False) -> StateSnapshot:
        """Keeps what the task knows, as its next version: once this returns a new worker can go on from it.

        Raises `Misuse` for what is no JSON, or larger than `Limits.snapshot_bytes`.
        """
        return self._tell(self._role.save(data, checkpoint=checkpoint))

    def load(self) -> dict[str, Any] | None:
        """What was last saved, perhaps by a worker before this one, or what the task was restored to."""
        return self._tell(self._role.load())

    def need_input(self, question: str, **details: Any) -> dict[str, Any]:
        """What the caller answers: the `message_id`, `sender`, `role`, `parts` and `input` of its message.

        While there is no answer the handler ends here, and the caller is told ``input_required``. When the answer has
        come the handler is run again from its start, by any worker, and this gives the answer: `save` what should not
        be done twice.
        """
        return self._tell(self._role.need_input({"question": question, **details}))

    def artifact(self, name: str, *parts: Part) -> Artifact:
        """Keeps something that the task has made, and tells of it as `progress` does."""
        made = self._tell(self._role.artifact(name, parts))
        self._report(ArtifactNotify(made.id, self.id, name))
        return made

    def delegate(
        self, to: str, skill: str, input: dict[str, Any], *, config: dict[str, Any] | None = None
    ) -> TaskResponse:
        """Hands a part of the task to another agent, one level deeper.

        Raises `NestedTooDeep` before it is sent, `Misuse` for an agent not among `peers`, and whatever the
        peer reports.
        """
        self._tell(self._role.check())
        return self._performer.agent.peer(to).request(skill, input, config=config, within=self.job)

    def _report(self, news: Payload) -> None:
        if self.caller in self._performer.agent.settings.peers:
            try:
                self._performer.agent.peer(self.caller).report(self.job, news)
            except AsapError as error:
                log_untold(self.job, error)

    def _tell(self, steps: Steps[R]) -> R:
        return drive(steps, partial(self._performer.perform_for, self._run))
