"""Several processes on one listening socket: started, watched, replaced when one dies, and stopped together."""

from __future__ import annotations

import logging
import multiprocessing
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from attrs import define

from .outcome import FAILED, OK, Stop, guarded
from .servers import SERVE, SPARE_SECONDS, leave, obey, set_up_logging
from .targets import Plan

__all__ = ["supervise"]

log = logging.getLogger("asap_adapters.cli")

#: More deaths than this within so many seconds, and there is no point in going on.
_DEATHS_MOST: Final = 5
_DEATHS_WITHIN: Final = 10.0

_SPAWN = multiprocessing.get_context("spawn")


@define(eq=False)
class _Worker:
    process: Any
    news: Connection
    is_ready: bool = False


def supervise(plan: Plan, listener: socket.socket, workers: int, announce: Callable[[], None]) -> None:
    """Runs until a signal says stop; raises `Stop` where no worker gets going, or they keep dying."""
    woken, wake = socket.socketpair()
    wake.setblocking(False)
    before = signal.set_wakeup_fd(wake.fileno())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    crew = [_start(plan, listener) for _ in range(workers)]
    try:
        _watch(plan, listener, crew, woken, announce)
    finally:
        _stop(crew, plan.grace + SPARE_SECONDS)
        signal.set_wakeup_fd(before)
        woken.close()
        wake.close()


def _watch(
    plan: Plan, listener: socket.socket, crew: list[_Worker], woken: socket.socket, announce: Callable[[], None]
) -> None:
    deaths: deque[float] = deque(maxlen=_DEATHS_MOST)
    announced = False
    while True:
        waiting = [worker.news for worker in crew if not worker.is_ready]
        happened = wait([woken, *waiting, *(worker.process.sentinel for worker in crew)])
        if woken in happened:
            return
        for worker in [each for each in crew if each.news in happened and each.news.poll()]:
            worker.is_ready = _says_ready(worker)
        for worker in [each for each in crew if each.process.sentinel in happened]:
            crew.remove(worker)
            _mourn(worker, deaths, is_first=not announced)
            crew.append(_start(plan, listener))
        if not announced and all(worker.is_ready for worker in crew):
            announced = True
            announce()


def _says_ready(worker: _Worker) -> bool:
    try:
        return bool(worker.news.recv())
    except EOFError:
        return False


def _mourn(worker: _Worker, deaths: deque[float], *, is_first: bool) -> None:
    """Raises `Stop` where a new worker would do no better.

    Once all have listened, one that can't start may meet files that are just being exchanged: the others go on.
    """
    worker.process.join()  # it has ended; only so its exit code is known
    code = worker.process.exitcode
    if is_first and not worker.is_ready:
        raise Stop(FAILED, f"a worker ended with code {code} before it listened", remedy="Its words stand above.")
    now = time.monotonic()
    if len(deaths) == _DEATHS_MOST and now - deaths[0] < _DEATHS_WITHIN:
        raise Stop(FAILED, "the workers keep dying", remedy="Their words stand above; try it with --workers 1.")
    deaths.append(now)
    log.error("worker %s ended with code %s; starting another", worker.process.pid, code)


def _start(plan: Plan, listener: socket.socket) -> _Worker:
    news, teller = _SPAWN.Pipe(duplex=False)
    process = _SPAWN.Process(target=_work, args=(plan, listener, teller), name="asap-worker", daemon=True)
    process.start()
    teller.close()
    return _Worker(process, news)


def _stop(crew: list[_Worker], seconds: float) -> None:
    for worker in crew:
        worker.process.terminate()
    deadline = time.monotonic() + seconds
    for worker in crew:
        worker.process.join(max(0.0, deadline - time.monotonic()))
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()


def _work(plan: Plan, listener: socket.socket, teller: Connection) -> None:
    """One worker process, from its start to its end."""
    signal.signal(signal.SIGTERM, leave)
    obey()
    set_up_logging(plan)

    def run(_: list[str]) -> int:
        SERVE[plan.runtime](plan, listener, lambda: teller.send(True))
        return OK

    raise SystemExit(guarded(run, [], as_json=False))
