"""Accepts a judged request once, then runs its handler or gives the built-in answer."""

from __future__ import annotations

import math
from collections.abc import Collection
from contextlib import suppress

from attrs import evolve

from ..errors import (
    AsapError,
    InvalidNonce,
    KeyReused,
    Overloaded,
    ReplyForgotten,
    SkillNotFound,
    StateUnavailable,
    StillRunning,
    TakenOver,
)
from ..limits import Limits
from ..model import (
    McpToolCall,
    McpToolResult,
    StateQuery,
    StateSnapshot,
    TaskCancel,
    TaskRequest,
    TaskStatus,
)
from ..model._value import JsonObject
from ..rules.nesting import depth_of
from ..rules.slot import Busy, Fresh, Kept
from ..sources import Sources
from ..stores import Accepted, Change, Job, NonceClaim, Refused, TaskEvent, TaskRecord
from ..stores.records import TASK_PREFIX
from ..wire import jsonrpc
from ..wire.nouns import encode
from .admission import Admission
from .answering import Answer, Answering, Question
from .commands import Accept, Pause, ReadTask, Write
from .judging import Judged, prefers_async
from .outcomes import Settled, respond, settled_with
from .running import TaskRole
from .steps import Steps, ask
from .working import Work

__all__ = ["Accepting"]

_SUBMITTED, _WORKING = TaskStatus.SUBMITTED, TaskStatus.WORKING


class Accepting:
    """The requests of one agent, from when they were judged to what they are answered.

    `metered` are the skills that have a quota of their own, which `admission` charges.
    """

    def __init__(
        self,
        agent: str,
        worker: str,
        sources: Sources,
        limits: Limits,
        *,
        admission: Admission,
        work: Work,
        skills: Collection[str],
        metered: Collection[str],
    ) -> None:
        self._agent = agent
        self._worker = worker
        self._sources = sources
        self._limits = limits
        self._admission = admission
        self._work = work
        self._skills = skills
        self._metered = metered
        self._answering = Answering(agent, worker, sources, limits, work.lease, self._start)

    def settle(self, judged: Judged, place: str) -> Steps[Settled]:
        """What a request is answered, whose envelope stands at `place`, once it was accepted."""
        try:
            if judged.name is None:
                return (yield from self._answer(judged))
            # The slot, the nonce and the record in one step; then the handler; then the reply is kept.
            job = judged.job
            is_patient = prefers_async(job.envelope)
            record, events = self._work.accepted(job, _SUBMITTED if is_patient else _WORKING)
            if self._is_metered(job):
                answer = yield from self._accept(record, judged.nonce, events, job.created, judged.payer)
            else:
                answer = yield from ask(Accept(record, judged.nonce, events, job.created))
            if not isinstance(answer, Fresh):
                return (yield from self._repeated(answer, job))
            task = self._work.task(record)
            if is_patient:
                return (yield from self._submitted(task))
            settled = yield from self._work.run(task)
            if isinstance(settled.error, Overloaded):  # it was not run, for want of a thread
                yield from self._give_back(job, judged.payer)
        except AsapError as error:
            return settled_with(error, place)
        return settled

    def find(self, judged: Judged) -> Steps[TaskRecord]:
        """The task that a query asks to follow."""
        if judged.nonce is not None:
            answer = yield from ask(Accept(None, judged.nonce, (), judged.job.created))
            if not isinstance(answer, Fresh):
                yield from self._repeated(answer, judged.job)
        question = _question(judged)
        return (yield from self._answering.task(question.payload.task_id, question))

    def submit(self, judged: Judged) -> Steps[TaskRecord]:
        """A task that runs with nobody waiting: accepted now, or when this was asked before."""
        job = judged.job
        record, events = self._work.accepted(job, _SUBMITTED)
        answer = yield from self._accept(record, judged.nonce, events, job.created, judged.payer)
        if isinstance(answer, Fresh):
            task = self._work.task(record)
            if not (yield from self._work.place(task)):
                yield from self._work.resume(record)
            return task.record
        if isinstance(answer, Busy | Kept):
            self._work.want(answer.task_id, math.inf)
            known = yield from ask(ReadTask(answer.task_id, job.created))
            if known is not None:
                return known
        yield from self._repeated(answer, job)
        raise StillRunning("the task has just expired", facts={"retry_after": 1})

    def abandon(self, job: Job) -> Steps[None]:
        """Cancels what runs for a caller that hung up, once it has had the time to come back with its key."""
        seen = -1.0
        while job.slot is not None and seen != (wanted := self._work.wanted.get(job.task_id, 0)):
            seen = wanted
            yield from ask(Pause(self._limits.return_seconds))
        if seen == math.inf:
            return
        cancel = TaskCancel(job.task_id, "its caller hung up")
        question = Question(cancel, job.envelope, job.caller, self._sources.clock.now().timestamp())
        with suppress(AsapError):  # it is over by now, or the store is away
            yield from self._answering.answer(question)

    def _accept(
        self, record: TaskRecord, nonce: NonceClaim | None, events: tuple[TaskEvent, ...], now: float, payer: str
    ) -> Steps[Accepted]:
        """Asks to accept a run. Where its skill has a quota of its own it is paid before; raises `RateLimited`.

        What is not to run, such as a retry that has its answer already, is given back.
        """
        job = record.job
        if self._is_metered(job):
            yield from self._admission.spend(payer, 1, job.name)
        try:
            answer = yield from ask(Accept(record, nonce, events, now))
        except StateUnavailable:
            yield from self._give_back(job, payer)
            raise
        if not isinstance(answer, Fresh):
            yield from self._give_back(job, payer)
        return answer

    def _is_metered(self, job: Job) -> bool:
        return job.name in self._metered and job.payload.__class__ is TaskRequest

    def _give_back(self, job: Job, payer: str) -> Steps[None]:
        if self._is_metered(job):
            yield from self._admission.spend(payer, -1, job.name)

    def _submitted(self, task: TaskRole) -> Steps[Settled]:
        """What is answered at once, and run with nobody waiting."""
        placed = yield from self._work.place(task)
        return Settled(task.standing(), None) if placed else (yield from self._work.resumed(task))

    def _repeated(self, answer: Accepted, job: Job) -> Steps[Settled]:
        """What a request is answered that is not accepted."""
        if isinstance(answer, Kept):
            return Settled(answer.reply, jsonrpc.failed(answer.reply))
        if isinstance(answer, Busy):
            record = yield from ask(ReadTask(answer.task_id, job.created))
            if record is not None and record.reply is not None:  # it has just ended
                return Settled(record.reply, jsonrpc.failed(record.reply))
            if record is not None and (prefers_async(job.envelope) or record.status is TaskStatus.INPUT_REQUIRED):
                self._work.want(answer.task_id, math.inf)
                return Settled(self._work.task(record).standing(), None)
            self._work.want(answer.task_id, 1)
            raise StillRunning("the same request is running", facts={"retry_after": 1, "task_id": answer.task_id})
        if isinstance(answer, Refused):
            if answer.why == "repeated":
                raise InvalidNonce("this nonce was used before", path="$.extensions.nonce")
            if answer.why == "forgotten":
                raise ReplyForgotten("this request has run, and its reply is no longer held")
            if answer.why == "nonces full":
                raise Overloaded("too many nonces are remembered", facts={"retry_after": 1})
            raise Overloaded("too many tasks are running", facts={"retry_after": 1})
        raise KeyReused("this idempotency key stands for another request")

    def _answer(self, judged: Judged) -> Steps[Settled]:
        """A built-in answer. It is kept for a retry like that of a handler, but for what only looks."""
        job, now = judged.job, judged.job.created
        if job.slot is not None and job.payload.__class__ is StateQuery:
            job = evolve(job, slot=None)
        record = TaskRecord(job, _WORKING, self._worker, now + self._work.lease, now) if job.slot else None
        if record is not None or judged.nonce is not None:
            answer = yield from ask(Accept(record, judged.nonce, (), now))
            if not isinstance(answer, Fresh):
                return (yield from self._repeated(answer, job))
        self._work.take(job.task_id)
        try:
            settled, goes_on = yield from self._answered(judged)
        except GeneratorExit:  # nobody is left to be asked
            raise
        except BaseException:
            if record is not None:  # cut off while it waits, as a cancel does: a retry is to ask again
                cut = Overloaded("the server is shutting down")
                yield from self._keep(record, Settled(jsonrpc.failure(cut), cut))
            raise
        finally:
            self._work.let_go(job.task_id)
        kept = record is None or (yield from self._keep(record, settled))
        if goes_on is not None and not (yield from self._work.place(self._work.task(goes_on))):
            yield from self._work.resume(goes_on)
        if not kept:
            # Whoever took the request for lost has answered it: a retry is told that, and so is whoever asks now.
            raise TakenOver("another worker has taken this request over")
        return settled

    def _answered(self, judged: Judged) -> Steps[tuple[Settled, TaskRecord | None]]:
        """The answer, or why there is none; and the task that is to go on."""
        job, payload = judged.job, judged.job.payload
        try:
            if isinstance(payload, McpToolCall):
                missing = McpToolResult(payload.request_id, False, error="no such tool")
                answer = Answer(McpToolResult, encode(missing))
            else:
                answer = yield from self._answering.answer(_question(judged))
            member = respond(
                job,
                answer.kind,
                answer.payload,
                id=job.task_id.removeprefix(TASK_PREFIX),
                at=judged.at,
                agent=self._agent,
                extensions=answer.extensions,
            )
        except AsapError as error:
            return settled_with(error, jsonrpc.ENVELOPE_PATH), None
        return Settled(member, None), answer.run

    def _keep(self, record: TaskRecord, settled: Settled) -> Steps[bool]:
        """Keeps a built-in answer for a retry, or frees its key where another try may fare better.

        Answers whether that is the answer: false where another worker has given one by now.
        """
        error = settled.error
        job = evolve(record.job, slot=None) if error is not None and error.retryable else record.job
        status = TaskStatus.FAILED if error else TaskStatus.COMPLETED
        ended = evolve(
            record,
            job=job,
            status=status,
            version=record.version + 1,
            expires=record.updated + self._limits.task_seconds,
            reply=settled.member,
        )
        with suppress(StateUnavailable):  # what was done is done, and told
            return (yield from ask(Write(Change(ended))))
        return True

    def _start(self, question: Question, request: TaskRequest, data: JsonObject, depth: int) -> Steps[TaskRecord]:
        """A new task that goes on from what is known; raises `SkillNotFound`, `NestedTooDeep` or `Overloaded`."""
        if request.skill_id not in self._skills:
            raise SkillNotFound("no such skill", facts={"skill_id": request.skill_id[:64]})
        envelope, at = question.envelope, self._sources.clock.now()
        now = at.timestamp()
        depth = max(depth, depth_of(envelope.extensions, most=self._limits.task_depth))
        task_id = TASK_PREFIX + self._sources.tokens.new_id(at)
        job = Job(request, envelope, task_id, depth, question.caller, request.skill_id, None, now, question.size)
        event = TaskEvent(1, now, "status_change", _SUBMITTED)
        # Until the snapshot is written it says which, so that nobody runs it without.
        record = TaskRecord(job, _SUBMITTED, self._worker, now + self._work.lease, now, events=1, restored=1)
        if isinstance((yield from self._accept(record, None, (event,), now, question.payer)), Refused):
            raise Overloaded("too many tasks are running", facts={"retry_after": 1})
        snapshot = StateSnapshot(f"snap_{self._sources.tokens.new_id(at)}", task_id, 1, data, at, checkpoint=True)
        known = evolve(record, version=2, snapshots=1)
        if not (yield from ask(Write(Change(known, (), snapshot)))):
            raise TakenOver("another worker has taken this task over")
        return known


def _question(judged: Judged) -> Question:
    job = judged.job
    return Question(job.payload, job.envelope, job.caller, job.created, judged.payer, job.size)
