"""The tasks that one worker has in hand: run, submitted to run with nobody waiting, and taken over from others."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress

from ..errors import AsapError, HandlerInterrupted, Overloaded, StateUnavailable, TakenOver
from ..limits import Limits
from ..model import TaskRequest, TaskStatus
from ..model._value import JsonObject
from ..plain import made
from ..sources import Sources
from ..stores import NEVER, Job, Started, TaskEvent, TaskRecord
from .commands import Background, Cancelled, Handled, Invoke, Observe, Pause, Returned, Saturated, Write
from .outcomes import Settled
from .running import TaskCancelled, TaskRole
from .steps import Steps, ask, told

__all__ = ["Work"]

#: How long a task that nobody waits for lets others have their turn, where every thread is busy.
_TURN_SECONDS = 0.05

_SUBMITTED = TaskStatus.SUBMITTED


class Work:
    """What one worker has in hand. `restartable` skills may be run again, from the start, when a worker was lost."""

    def __init__(
        self,
        agent: str,
        sources: Sources,
        limits: Limits,
        *,
        skills: Collection[str],
        restartable: Collection[str],
        durable: bool,
        worker: str,
    ) -> None:
        self._agent = agent
        self._worker = worker
        # What no store outlives is run here or never: its lease holds for as long as a handler may run.
        self.lease = limits.lease_seconds if durable else limits.handler_seconds + limits.task_seconds
        self._sources = sources
        self._limits = limits
        self._skills = skills
        self._restartable = frozenset(restartable)
        self._durable = durable
        #: The tasks that stories of this worker have in hand, and how many have each: a run that has lost its task may
        #: still be there when the worker has it again.
        self.live: dict[str, int] = {}
        #: Of these, how often each was asked for again while it ran; without end where it no longer needs its caller.
        self.wanted: dict[str, float] = {}

    def accepted(self, job: Job, status: TaskStatus) -> tuple[TaskRecord, tuple[TaskEvent, ...]]:
        """A request as it may be accepted, to be run at once or submitted, and the first line of its log."""
        now = job.created
        runs = 0 if status is _SUBMITTED else 1
        record = TaskRecord(job, status, self._worker, now + self.lease, now, 1, NEVER, 1, 0, runs)
        return record, (TaskEvent(1, now, "status_change", status),)

    def begun(self, job: Job) -> tuple[Started, Invoke]:
        """The same of a request that is run at once, with nothing written out that nobody may ask for; and its run."""
        task = made(Started, (job, self._worker, job.created + self.lease))
        return task, self.invoke(job, TaskRole(task, self._agent, self._sources, self._limits))

    def run(self, task: TaskRole, *, patient: bool = False) -> Steps[Settled]:
        """The handler, and what comes of it; one that is `patient` waits for a thread, where none is free."""
        job = task.job
        invoke = self.invoke(job, task)
        begun = True
        self.take(job.task_id)
        try:
            try:
                outcome = yield invoke
                if outcome.__class__ is not Returned:
                    told(invoke, outcome)
                while patient and isinstance(outcome, Saturated):
                    begun = False
                    yield from ask(Pause(_TURN_SECONDS))
                    yield from task.check()
                    begun = True
                    outcome = told(invoke, (yield invoke))
            except TaskCancelled:
                outcome = Cancelled()
            except GeneratorExit:  # nobody is left to be asked; the lease ends at its time
                raise
            except BaseException:
                # Cut off, perhaps by a server that shuts down: another worker takes over, or a retry is to run.
                with suppress(AsapError):  # one that has it already
                    if self._durable:
                        yield from task.release(begun=begun)
                    else:
                        yield from task.settle(Overloaded("the server is shutting down"))
                raise
            if outcome.__class__ is Returned and (reply := task.reply(outcome.value)) is not None:
                member, now = reply
                try:
                    if (yield from ask(Write(task.ended(member, now)))):
                        return Settled(member, None)
                except StateUnavailable:
                    pass  # it is written at leisure
            return (yield from task.settle(outcome))
        finally:
            self.let_go(job.task_id)

    def invoke(self, job: Job, task: TaskRole) -> Invoke:
        """What runs the task's handler."""
        request = job.payload
        config = request.config if request.__class__ is TaskRequest else None
        return Invoke(job.name, job, self._seconds(config) if config else self._limits.handler_seconds, task)

    def take(self, task_id: str) -> None:
        """One story more has this task in hand."""
        self.live[task_id] = self.live.get(task_id, 0) + 1

    def let_go(self, task_id: str) -> None:
        """One story fewer has this task in hand."""
        held = self.live.pop(task_id) - 1
        if held:
            self.live[task_id] = held
        elif self.wanted:
            self.wanted.pop(task_id, None)

    def want(self, task_id: str, times: float) -> None:
        """A task in hand was asked for again so often."""
        if task_id in self.live:
            self.wanted[task_id] = self.wanted.get(task_id, 0) + times

    def resume(self, record: TaskRecord) -> Steps[None]:
        """Runs a task that nobody waits for: just submitted, woken, or taken over from a worker that was lost."""
        yield from self._told_alone(record, self.resumed(self.task(record)))

    def _told_alone(self, record: TaskRecord, story: Steps[Settled]) -> Steps[None]:
        """Tells a story that nobody waits for: who counts what fails hears of it."""
        self.take(record.id)
        try:
            yield from story
        except AsapError as error:
            yield Observe(Handled(record.job.envelope.payload_type, error.code, 0.0))
        finally:
            self.let_go(record.id)

    def resumed(self, task: TaskRole) -> Steps[Settled]:
        """Begins a task, or goes on with it; raises `TakenOver` where another worker has it."""
        if task.record.status is _SUBMITTED:
            yield from task.begin()
        if task.record.cancel is not None:
            return (yield from task.settle(Cancelled()))
        return (yield from self.run(task, patient=True))

    def recover(self, record: TaskRecord) -> Steps[None]:
        """Goes on with a task whose worker was lost, where that is safe; else it is reported failed.

        Safe is a run that never began, what has saved a snapshot to go on from, and a skill that says so.
        """
        yield from self._told_alone(record, self._recovered(self.task(record)))

    def _recovered(self, task: TaskRole) -> Steps[Settled]:
        record, job = task.record, task.record.job
        lost = record.runs - len(record.answers)
        safe = lost < 1 or record.snapshots or job.name in self._restartable
        if record.restored is not None and not record.snapshots:
            # What it was to go on from was never written down.
            yield from task.begin()
            return (yield from task.settle(HandlerInterrupted("the worker was lost that restored the task")))
        if record.status is _SUBMITTED or record.cancel is not None:
            return (yield from self.resumed(task))
        if job.payload.__class__ is TaskRequest and job.name in self._skills and safe and lost < self._limits.task_runs:
            yield from task.begin()
            return (yield from self.resumed(task))
        error = HandlerInterrupted("the worker that ran the handler was lost", facts={"runs": lost})
        return (yield from task.settle(error))

    def place(self, task: TaskRole) -> Steps[bool]:
        """Has a task run with nobody waiting; false where that can't be, and it has to run here."""
        placed = yield from ask(Background(self.resume(task.record)))
        if placed == "full":
            with suppress(TakenOver):  # it is over by now, or somebody else's
                yield from task.release(begun=False)  # it waits in the store until a worker has room
        return placed != "nowhere"

    def task(self, record: TaskRecord) -> TaskRole:
        """This task, in the hands of this worker."""
        return TaskRole(record, self._agent, self._sources, self._limits)

    def _seconds(self, config: JsonObject) -> float:
        """How long the handler may run: as the caller says, where that is less than the limit."""
        for name in ("timeout", "timeout_seconds"):
            asked = config.get(name)
            if asked.__class__ in (int, float) and asked > 0:
                return min(asked, self._limits.handler_seconds)
        return self._limits.handler_seconds
