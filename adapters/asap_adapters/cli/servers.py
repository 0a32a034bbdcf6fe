"""The production server of each runtime, on a socket that is bound already."""

from __future__ import annotations

import functools
import gc
import logging
import multiprocessing
import os
import resource
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from attrs import evolve

from asap_proto.errors import StateUnavailable
from asap_proto.limits import Limits

from .._shared.logs import Redacting, SafeFormatter, exchanges
from .fronts import Runtime
from .listening import tls_context
from .outcome import FAILED, OK, Stop, bare
from .targets import Plan, loaded_app

__all__ = ["SERVE", "SPARE_SECONDS", "leave", "obey", "set_up_logging"]

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
        for chatty in ("coredis", "uvicorn", "httpx", "httpcore"):
            logging.getLogger(chatty).setLevel(logging.WARNING)


def _log_thread(args: threading.ExceptHookArgs) -> None:
    """A thread of a handler's has ended with an error: Python would print it as it is."""
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        logging.getLogger("asap_adapters.server").error("a thread failed", exc_info=args.exc_value)


def serve_asyncio(plan: Plan, listener: socket.socket, ready: Ready) -> None:
    """Uvicorn, until it is told to stop."""
    with loaded_app(plan) as app:
        _run_uvicorn(plan, app, listener, ready)


def serve_sync(plan: Plan, listener: socket.socket, ready: Ready) -> None:
    """Uvicorn with threads behind it, until it is told to stop; then this process ends, whatever its threads do."""
    from .threaded import ThreadedApp

    with loaded_app(plan) as app:
        threaded = ThreadedApp(app)
        # What else ends it is raised before anything runs.
        with suppress(SystemExit):
            _run_uvicorn(plan, threaded, listener, ready)
        threaded.end_threads()
        with suppress(StateUnavailable):
            app.give_back()
        if _is_busy():
            # A handler that still runs is in a thread that can't be cut off, and that Python would wait for.
            sys.stdout.flush()
            logging.shutdown()
            if plan.file is not None:
                plan.file.remove()
            os._exit(OK)


def _is_busy() -> bool:
    """Whether a thread still runs that a process would wait for; those that are idle end within a moment."""
    until = time.monotonic() + 1.0
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.daemon:
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                return True
    return False


def _within_files(limits: Limits) -> Limits:
    """The limits, with no more connections than half the files that may be open."""
    return evolve(limits, connections=min(limits.connections, _files() // 2))


def _files() -> int:
    """How many files this process may have open, connections among them: from now on as many as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(OSError, ValueError):  # it says more than it means
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    now, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if now == resource.RLIM_INFINITY else now


def _settle() -> None:
    """No collection of garbage looks at what is there by now: each request would pay for that."""
    gc.collect()
    gc.freeze()


def _run_uvicorn(plan: Plan, app: Any, listener: socket.socket, ready: Ready) -> None:
    """Ends by `SystemExit`, as the signal that stops it has it; raises `Stop` where the app can't start."""
    import uvicorn

    from .._awaiting.app import patience_with
    from ..asyncio.protocol import bounded

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if not self.should_exit:
                _settle()
                ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.close()
            await super().shutdown(sockets=sockets)

    config = uvicorn.Config(
        app,
        http=bounded(_within_files(app.limits), tls=_tls(plan)),
        ws="none",
        proxy_headers=False,  # the agent knows itself whom to believe
        log_config=None,
        access_log=plan.debug,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=patience_with(app),  # type: ignore[arg-type]  # a fraction of a second is as good
    )
    try:
        Server(config).run(sockets=[listener])
    except SystemExit as ended:
        if ended.code:
            raise _not_started("its words stand above") from None
        raise


def _tls(plan: Plan) -> ssl.SSLContext | None:
    return None if plan.certificate is None else tls_context(plan.certificate)


def serve_trio(plan: Plan, listener: socket.socket, ready: Ready) -> None:
    """Our own server, until it is told to stop."""
    import trio

    from .._awaiting.app import patience_with
    from ..trio.server import AppNotStarted, serve

    async def main(app: Any) -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:

            async def told() -> None:
                async for _ in signals:
                    app.close()
                    return

            run = functools.partial(
                serve,
                app,
                listener,
                limits=_within_files(app.limits),
                stop=told,
                grace_seconds=patience_with(app),
                tls=_tls(plan),
                access=logging.getLogger("asap_adapters.access") if plan.debug else None,
            )
            async with trio.open_nursery() as nursery:
                await nursery.start(run)
                _settle()
                ready()

    with loaded_app(plan) as app:
        try:
            trio.run(main, app)
        except BaseExceptionGroup as group:
            if (failed := group.subgroup(AppNotStarted)) is not None:
                raise _not_started(str(bare(failed))) from None
            raise


#: How each runtime is served, by one process.
SERVE: Final[Mapping[Runtime, Callable[[Plan, socket.socket, Ready], None]]] = {
    "asyncio": serve_asyncio,
    "trio": serve_trio,
    "sync": serve_sync,
}


def _not_started(why: str) -> Stop:
    return Stop(FAILED, f"the app can't start: {why}", remedy="See whether the store that --state names is there.")


def obey() -> None:
    """Makes this worker process end when its parent says so, or is gone, and for no other reason."""
    # Ctrl-C reaches every process of the terminal: the parent hears it, and tells us in its own time.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
