"""What a worker does besides answering, once a beat: it holds on to its tasks, and takes over those of the dead."""

from __future__ import annotations

from ..limits import Limits
from ..sources import Sources
from ..stores.records import seconds_of
from .commands import Background, Forget, Interrupt, ReadTask, Renew, TakeOver
from .running import TaskRole
from .server import ServerRole
from .steps import Steps, ask

__all__ = ["KeeperRole"]

#: Tasks taken over at once: others may have more room.
_MOST = 10


class KeeperRole:
    """One worker's care for its store. Holds the versions of the tasks it knew at the last beat."""

    def __init__(self, role: ServerRole, sources: Sources, limits: Limits) -> None:
        self._role = role
        self._sources = sources
        self._limits = limits
        self._held: dict[str, int] = {}

    def beat(self) -> Steps[None]:
        """Renews leases, stops what was cancelled or lost, takes over what nobody runs, forgets what is over."""
        now = seconds_of(self._sources.clock.now())
        until = now + self._role.lease
        held = dict((yield from ask(Renew(self._role.worker, until))))
        for id, version in held.items():
            if self._held.get(id, version) != version:
                record = yield from ask(ReadTask(id, now))
                if record is not None and record.cancel is not None:
                    yield from ask(Interrupt(id))
        for id in self._held.keys() - held.keys():
            # It ended, or another worker has it by now.
            record = yield from ask(ReadTask(id, now))
            if record is not None and record.owner not in ("", self._role.worker):
                yield from ask(Interrupt(id))
        self._held = held
        for record in (yield from ask(TakeOver(self._role.worker, now, until, _MOST))):
            placed = yield from ask(Background(self._role.recover(record)))
            if placed != "started":
                role = TaskRole(record, "", self._sources, self._limits)
                yield from role.release()
        yield from ask(Forget(now))
