"""A task in the hands of its handler, on the async fronts."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.from_thread

from asap_proto.errors import AsapError
from asap_proto.model import Artifact, ArtifactNotify, Part, Payload, StateSnapshot, TaskResponse
from asap_proto.roles import Steps, TaskRole
from asap_proto.stores import Job

from .._shared.logs import log_untold
from .._shared.performing import Run
from .._shared.tasks import BaseTask
from .drive import drive

if TYPE_CHECKING:
    from .load import Caller
    from .server import Performer

__all__ = ["Task", "ThreadTask"]

R = TypeVar("R")


class Task(BaseTask):
    """What an ``async def`` handler is given. What waits raises `TaskCancelled` once the task is cancelled."""

    def __init__(
        self,
        job: Job,
        role: TaskRole,
        performer: Performer,
        until: float,
        caller: Caller | None,
    ) -> None:
        # As the base has it: once for each request, which is spared a call.
        self.job = job
        self._role = role
        self._clock = performer.clock
        self._until = until
        self._performer = performer
        self._caller = caller
        self._run: Run | None = None

    def _as_run(self) -> Run:
        """What may be cut off of it: until the handler waits nobody asks for that, and nothing is made."""
        if self._run is None:
            watched = None if self._caller is None else self._performer.look_after
            self._run = Run(self._role, self._caller, watched)
        return self._run

    async def progress(self, percent: float, message: str | None = None) -> None:
        """Tells how far the task has come, from 0 to 100.

        Whoever follows the task hears it, and its caller where that is among the agent's `peers`. To tell the caller
        is best effort: one that can't be reached within `Limits.progress_seconds` does not fail the task.
        Raises `Misuse` for what is no percentage.
        """
        update = await self._tell(self._role.progress(percent, message))
        await self._report(update)

    async def save(self, data: dict[str, Any], *, checkpoint: bool = False) -> StateSnapshot:
        """Keeps what the task knows, as its next version: once this returns a new worker can go on from it.

        Raises `Misuse` for what is no JSON, or larger than `Limits.snapshot_bytes`.
        """
        return await self._tell(self._role.save(data, checkpoint=checkpoint))

    async def load(self) -> dict[str, Any] | None:
        """What was last saved, perhaps by a worker before this one, or what the task was restored to."""
        return await self._tell(self._role.load())

    async def need_input(self, question: str, **details: Any) -> dict[str, Any]:
        """What the caller answers: the `message_id`, `sender`, `role`, `parts` and `input` of its message.

        While there is no answer the handler ends here, and the caller is told ``input_required``. When the answer has
        come the handler is run again from its start, by any worker, and this gives the answer: `save` what should not
        be done twice.
        """
        return await self._tell(self._role.need_input({"question": question, **details}))

    async def artifact(self, name: str, *parts: Part) -> Artifact:
        """Keeps something that the task has made, and tells of it as `progress` does."""
        made = await self._tell(self._role.artifact(name, parts))
        await self._report(ArtifactNotify(made.id, self.id, name))
        return made

    async def delegate(
        self, to: str, skill: str, input: dict[str, Any], *, config: dict[str, Any] | None = None
    ) -> TaskResponse:
        """Hands a part of the task to another agent, one level deeper.

        Raises `NestedTooDeep` before it is sent, `Misuse` for an agent not among `peers`, and whatever the
        peer reports.
        """
        await self._tell(self._role.check())
        return await self._performer.agent.peer(to).request(skill, input, config=config, within=self.job)

    async def _report(self, news: Payload) -> None:
        if self.caller in self._performer.agent.settings.peers:
            try:
                await self._performer.agent.peer(self.caller).report(self.job, news)
            except AsapError as error:
                log_untold(self.job, error)

    async def _tell(self, steps: Steps[R]) -> R:
        return await drive(steps, partial(self._performer.perform_for, self._as_run()))


class ThreadTask(BaseTask):
    """What a plain function is given: it runs in a thread, and its calls wait."""

    def __init__(self, task: Task) -> None:
        super().__init__(task.job, task._role, task._clock, task._until)
        self._task = task

    def progress(self, percent: float, message: str | None = None) -> None:
        """As `Task.progress`."""
        anyio.from_thread.run(self._task.progress, percent, message)

    def save(self, data: dict[str, Any], *, checkpoint: bool = False) -> StateSnapshot:
        """As `Task.save`."""

        async def save() -> StateSnapshot:
            return await self._task.save(data, checkpoint=checkpoint)

        return anyio.from_thread.run(save)

    def load(self) -> dict[str, Any] | None:
        """As `Task.load`."""
        return anyio.from_thread.run(self._task.load)

    def need_input(self, question: str, **details: Any) -> dict[str, Any]:
        """As `Task.need_input`."""

        async def need_input() -> dict[str, Any]:
            return await self._task.need_input(question, **details)

        return anyio.from_thread.run(need_input)

    def artifact(self, name: str, *parts: Part) -> Artifact:
        """As `Task.artifact`."""
        return anyio.from_thread.run(self._task.artifact, name, *parts)

    def delegate(
        self, to: str, skill: str, input: dict[str, Any], *, config: dict[str, Any] | None = None
    ) -> TaskResponse:
        """As `Task.delegate`."""

        async def hand_over() -> TaskResponse:
            return await self._task.delegate(to, skill, input, config=config)

        return anyio.from_thread.run(hand_over)
