"""The way of a request that is as nearly all are, past the stories: where nothing has to be waited for but its handler.

Each step is the very one of the story; what is left out is to ask for it. Whatever is unusual is left to the story:
until a request is accepted nothing is remembered of it, so that it can be told from its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from ..errors import AsapError
from ..plain import made
from ..rules.slot import Fresh
from ..sources import Sources
from ..stores import PromptStore
from ..wire import jsonrpc
from ..wire.jsonrpc import check_call
from ..wire.nouns import decode_envelope
from .admission import Admitted
from .commands import Handled, Invoke
from .judging import PREFER_EXTENSION, Judge, prefers_async
from .working import Work

__all__ = ["Begun", "Item", "Straight"]


class Item(NamedTuple):
    """What became of one request: the member to answer with, and where it failed, the error."""

    id: jsonrpc.RpcId
    member: bytes
    error: AsapError | None
    silent: bool

    def whole(self) -> bytes:
        return jsonrpc.answer(self.member, self.id)


#: A request that was accepted: what runs its handler, and when it came.
Begun = tuple[Invoke, float]


class Straight:
    """The common exchange with a store that answers at once; `observe` counts what was dealt with.

    For a front whose handlers begin where this is called: until one waits, nobody could ask whether its task is in
    hand, so it is not said; a front of threads says it, with `take`. Whatever waits is the story's, which
    `ServerRole.go_on` tells.
    """

    def __init__(
        self,
        judge: Judge,
        work: Work,
        sources: Sources,
        state: PromptStore,
        observe: Callable[[Handled], None],
        *,
        metered: Collection[str],
        task_seconds: float,
    ) -> None:
        self._judge = judge.judge
        self._work = work
        self._elapsed = sources.clock.elapsed
        self._state = state
        self._observe = observe
        self._metered = metered
        self._task_seconds = task_seconds

    def begin(self, frame: Any, admitted: Admitted, size: int, held: int) -> Begun | None:
        """Accepts a request, if it is one of a handler's; nothing where a story has to be told of it."""
        started = self._elapsed()
        try:
            value, key = check_call(frame)
            envelope = decode_envelope(value, size=size)
            job, name, _, nonce, _ = self._judge(envelope, key, admitted, held)
        except AsapError:
            return None
        if name is None or name in self._metered:
            return None
        if envelope.extensions and PREFER_EXTENSION in envelope.extensions and prefers_async(envelope):
            return None
        task, invoke = self._work.begun(job)
        if self._state.begin(task, nonce).__class__ is not Fresh:
            return None
        return invoke, started

    def take(self, begun: Begun) -> None:
        """Says that the task is in hand, where others may ask for that while its handler runs; to be `let_go`."""
        self._work.take(begun[0].job.task_id)

    def let_go(self, begun: Begun) -> None:
        """Says that the task is no longer in hand: whatever became of it is told."""
        self._work.let_go(begun[0].job.task_id)

    def end(self, begun: Begun, frame: Any, value: Any) -> Item | None:
        """What a handler that returned is answered with; nothing where the story has to go on from there."""
        invoke, started = begun
        task, job, state = invoke.task, invoke.job, self._state
        reply = task.reply(value)
        if reply is None:
            return None
        member, now = reply
        expires = now + self._task_seconds
        envelope = frame["params"]["envelope"]
        if not (state.end(job, envelope, member, now=now, expires=expires) or state.write(task.ended(member, now))):
            return None
        self._observe(made(Handled, (job.envelope.payload_type, None, self._elapsed() - started, "")))
        return made(Item, (frame.get("id"), member, None, "id" not in frame))
