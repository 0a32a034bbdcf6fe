"""What a worker does besides answering, once a beat: it holds on to its tasks, and takes over those of the dead."""

from __future__ import annotations

from contextlib import suppress

from ..errors import StateUnavailable, TakenOver
from ..limits import Limits
from ..model import TaskStatus
from ..sources import Sources
from ..stores import TaskRecord
from ..stores.records import seconds_of
from .commands import Background, Forget, Interrupt, ReadTask, Renew, TakeOver
from .running import TaskRole
from .server import ServerRole
from .steps import Steps, ask

__all__ = ["KeeperRole"]

#: Tasks taken over at once: others may have more room.
_MOST = 10

_WAITING = TaskStatus.INPUT_REQUIRED


class KeeperRole:
    """One worker's care for its store. Holds the versions of the tasks it knew at the last beat."""

    def __init__(self, role: ServerRole, sources: Sources, limits: Limits) -> None:
        self._role = role
        self._sources = sources
        self._limits = limits
        self._held: dict[str, int] = {}
        #: When a store that was away is asked again how late it is.
        self._away_until = 0.0
        #: What was taken over and could be neither run nor given back.
        self._waiting: list[TaskRecord] = []
        #: Since when each task is held that no story has in hand: a store that was away may have left some behind.
        self._idle: dict[str, float] = {}

    def feel(self, due: float) -> Steps[None]:
        """Says how late a request would be that came in at `due`, which has just passed (monotonic seconds).

        That is how long it would have to wait for its turn here, and then for the store.
        """
        now = self._sources.clock.elapsed()
        if now >= self._away_until:
            try:
                yield from ask(ReadTask("", seconds_of(self._sources.clock.now())))
            except StateUnavailable:  # who needs it is told so; it is not asked more often for that
                self._away_until = now + self._limits.beat_seconds
        self._role.felt(self._sources.clock.elapsed() - due)

    def beat(self) -> Steps[None]:
        """Renews leases, stops what was cancelled or lost, takes over what nobody runs, forgets what is over."""
        now = seconds_of(self._sources.clock.now())
        until = now + self._role.lease
        held = dict((yield from ask(Renew(self._role.worker, until))))
        for id, version in held.items():
            # One that is new here was written once, when it was accepted; or somebody has asked for something since.
            if self._held.get(id, 1) != version:
                record = yield from ask(ReadTask(id, now))
                if record is not None and record.cancel is not None and not (yield from ask(Interrupt(id))):
                    held[id] = 0  # its handler does not run yet: look again at the next beat
        # Also what was accepted since the last beat may be lost by now, in a worker that stood still.
        known = dict.fromkeys((*self._held, *sorted(self._role.live)))
        for id in [id for id in known if id not in held]:
            # It ended, or another worker has had it. What waits for an answer has no handler that could be cut off.
            record = yield from ask(ReadTask(id, now))
            if record is not None and record.owner != self._role.worker and record.status is not _WAITING:
                yield from ask(Interrupt(id))
        self._held = held
        self._idle = {id: self._idle.get(id, now) for id in held if id not in self._role.live}
        for id in [id for id, since in self._idle.items() if now - since >= self._role.lease]:
            # As if another worker had held it and was lost.
            record = yield from ask(ReadTask(id, now))
            if record is not None and record.owner == self._role.worker:
                self._waiting.append(record)
            del self._idle[id]
        taken = yield from ask(TakeOver(self._role.worker, now, until, _MOST))
        # What a story of ours still has in hand, though its lease was over, is ours again, and no more.
        lost = [record for record in taken if record.id not in self._role.live]
        waiting, self._waiting = [*self._waiting, *lost], []
        for record in waiting:
            if (yield from ask(Background(self._role.recover(record)))) != "started":
                self._waiting.append(record)
        while self._waiting:
            # Others may have more room. Where the store fails now the task is ours still, and placed at the next beat.
            with suppress(TakenOver):  # it is over by now, or somebody else's
                yield from TaskRole(self._waiting[-1], "", self._sources, self._limits).release()
            self._waiting.pop()
        yield from ask(Forget(now))
