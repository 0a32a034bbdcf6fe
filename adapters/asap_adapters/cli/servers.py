"""The production server of each runtime, on a socket that is bound already."""

from __future__ import annotations

import functools
import http.client
import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from .._shared.logs import Redacting, SafeFormatter, exchanges
from .outcome import FAILED, OK, Stop, bare, guarded
from .targets import Plan, loaded_app

__all__ = ["SPARE_SECONDS", "hold", "leave", "obey", "serve_asyncio", "serve_sync", "serve_trio", "set_up_logging"]

#: What a server that was told to stop may take beyond its grace, to write down what was cut off and to close.
SPARE_SECONDS: Final = 5.0

Ready = Callable[[], None]


def leave(*_: object) -> None:
    """What a signal does before a server listens to it, and after."""
    raise SystemExit(OK)


def set_up_logging(plan: Plan) -> None:
    """Logs go to stderr, without secrets unless this is for debugging: stdout is for what was asked."""
    Redacting.reveals = plan.debug
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(SafeFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=plan.log_level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _log_thread
    if plan.debug_log:
        exchanges.setLevel(logging.DEBUG)
    if not plan.debug:
        for chatty in ("uvicorn", "hypercorn", "httpx", "httpcore", "_granian", "granian"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


def _log_thread(args: threading.ExceptHookArgs) -> None:
    """A thread of a handler's has ended with an error: Python would print it as it is."""
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        logging.getLogger("asap_adapters.server").error("a thread failed", exc_info=args.exc_value)


def serve_asyncio(plan: Plan, listener: socket.socket, ready: Ready) -> None:
    """Uvicorn, until it is told to stop."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if not self.should_exit:
                ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.close()
            await super().shutdown(sockets=sockets)

    with loaded_app(plan) as app:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=plan.debug,
            lifespan="on",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=plan.grace,  # type: ignore[arg-type]  # a fraction of a second is as good
        )
        try:
            Server(config).run(sockets=[listener])
        except SystemExit as ended:
            if ended.code:
                raise _not_started("its words stand above") from None
            raise


def serve_trio(plan: Plan, listener: socket.socket, ready: Ready) -> None:
    """Hypercorn's trio worker, until it is told to stop."""
    import trio
    from hypercorn.config import Config
    from hypercorn.trio import serve
    from hypercorn.utils import LifespanFailureError

    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.accesslog = logging.getLogger("hypercorn.access") if plan.debug else None
    config.errorlog = logging.getLogger("hypercorn.error")
    config.include_server_header = False
    config.graceful_timeout = plan.grace
    config.shutdown_timeout = plan.grace + SPARE_SECONDS

    async def main(app: Any) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def told() -> None:
                async for _ in signals:
                    app.close()
                    return

            run = functools.partial(serve, app, config, shutdown_trigger=told, mode="asgi")
            async with trio.open_nursery() as nursery:
                await nursery.start(run)
                await trio.sleep(0.02)  # an app that can't start is heard of a little later
                ready()

    with loaded_app(plan) as app:
        try:
            trio.run(main, app)
        except BaseExceptionGroup as group:
            if (failed := group.subgroup(LifespanFailureError)) is not None:
                raise _not_started(str(bare(failed))) from None
            raise


def _not_started(why: str) -> Stop:
    return Stop(FAILED, f"the app can't start: {why}", remedy="See whether the store that --state names is there.")


def hold(host: str, port: int) -> socket.socket:
    """A port of ours, on which nobody listens yet, and which our own server may then take."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    holder = socket.socket(family, socket.SOCK_STREAM)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((host, port))
        # Only now: before, it would have let us share the port of a server that runs already.
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        holder.close()
        raise
    return holder


def serve_sync(plan: Plan, reserved: socket.socket, workers: int, threads: int, ready: Ready) -> None:
    """Granian, with worker processes of its own, on the port that `reserved` holds and shares."""
    from granian.constants import Interfaces
    from granian.server import Server

    host, port = reserved.getsockname()[:2]
    # Its workers must not be forked from a process with threads.
    multiprocessing.set_start_method("spawn", force=True)
    server: Any = Server(
        plan.target,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        # As many again for streams, and some to spare: who asks for health, or must be told that all are busy, needs
        # a thread too.
        blocking_threads=2 * threads + 4,
        log_enabled=False,
        respawn_failed_workers=True,
        workers_kill_timeout=math.ceil(plan.grace + SPARE_SECONDS),
    )
    over = threading.Event()
    probe = threading.Thread(target=_when_healthy, args=(host, port, ready, over), daemon=True)
    probe.start()
    try:
        server.serve(spawn_target=functools.partial(_work, plan), target_loader=_loaded_already, wrap_loader=False)
    finally:
        over.set()
        probe.join()


def obey() -> None:
    """Makes this worker process end when its parent says so, or is gone, and for no other reason."""
    # Ctrl-C reaches every process of the terminal: the parent hears it, and tells us in its own time. Granian's
    # workers would hang if a second signal came while they handle the first.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _loaded_already() -> Any:
    """Stands where granian wants to be told how a worker loads its app."""


def _work(plan: Plan, *words: Any) -> None:
    """One worker process of granian, from its start to its end."""
    obey()
    set_up_logging(plan)

    def run(_: list[str]) -> int:
        from granian.server import Server

        number, name, _, *others = words
        with loaded_app(plan) as app, _ended_in_time(app, plan.grace):
            app.start()
            Server._spawn_wsgi_worker(number, name, lambda: app, *others)
        return OK

    code = guarded(run, [], as_json=False)
    logging.shutdown()
    # A handler that still runs is in a thread that can't be cut off, and that Python would wait for.
    os._exit(code)


@contextmanager
def _ended_in_time(app: Any, grace: float) -> Iterator[None]:
    """From the first signal on the app takes no more work; after its grace what still runs is given back."""
    signals, wake = socket.socketpair()
    wake.setblocking(False)
    signal.set_wakeup_fd(wake.fileno())
    served = threading.Event()

    def end() -> None:
        signals.recv(1)
        until = time.monotonic() + grace
        app.close()
        served.wait(max(0.0, until - time.monotonic()))
        app.give_back()
        if not served.is_set():
            logging.shutdown()
            os._exit(OK)  # granian waits for as long as a request takes

    ending = threading.Thread(target=end, daemon=True)
    ending.start()
    try:
        yield
    finally:
        served.set()
        with suppress(OSError):
            wake.send(b"\0")
        ending.join()


def _when_healthy(host: str, port: int, ready: Ready, over: threading.Event) -> None:
    """Calls `ready` once the server has answered: it does not say by itself that it listens."""
    there = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while not over.wait(0.02):
        connection = http.client.HTTPConnection(there, port, timeout=5)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                ready()
                return
        except OSError:
            continue
        finally:
            connection.close()
