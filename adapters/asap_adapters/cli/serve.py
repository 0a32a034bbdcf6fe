"""`asap serve`: an agent over HTTP. The one place that reads the environment."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import signal
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter, validators

from asap_proto.errors import AsapError
from asap_proto.rules.forwarding import Proxies, parse_proxies
from asap_proto.rules.origins import LOOPBACK_HOSTS, names_of
from asap_proto.rules.quota import parse_quota

from .._shared.sockets import listen, url_of
from .commands import Json
from .fronts import Runtime, extra_missing, front
from .key import read_key
from .outcome import FAILED, OK, USAGE, Stop
from .output import print_json
from .servers import SERVE, leave, set_up_logging
from .states import check_state, parse_state
from .targets import Plan, load_agent, runtime_for
from .workers import supervise

__all__ = ["serve"]

_LEVELS = ("debug", "info", "warning", "error", "critical")
_EVERYWHERE = ("0.0.0.0", "::")  # nosec B104  # to know them when told, not to bind to them
_SERVERS = {"asyncio": "uvicorn", "trio": "httptools", "sync": "uvicorn"}

Port = Annotated[
    int, Parameter(help="The port; 0 takes any that is free.", validator=validators.Number(gte=0, lte=65535))
]
Workers = Annotated[int, Parameter(help="How many processes.", validator=validators.Number(gte=1))]
RateLimit = Annotated[
    str | None, Parameter(env_var="ASAP_RATE_LIMIT", help="For each caller, such as '10/second;100/minute', or none.")
]
MaxRequestSize = Annotated[
    int | None,
    Parameter(env_var="ASAP_MAX_REQUEST_SIZE", help="Bytes of a request.", validator=validators.Number(gte=1)),
]
MaxThreads = Annotated[
    int | None,
    Parameter(env_var="ASAP_MAX_THREADS", help="Plain functions that run at once.", validator=validators.Number(gte=1)),
]
State = Annotated[
    str | None,
    Parameter(
        env_var="ASAP_STATE",
        help="Where tasks are kept: a SQLite file, redis://…, postgresql://…, or memory; the agent's own if not given.",
    ),
]
Grace = Annotated[
    float | None,
    Parameter(
        env_var="ASAP_GRACE",
        help="Seconds that running work may go on when told to stop; then it is given back.",
        validator=validators.Number(gte=0),
    ),
]
Proxy = Annotated[
    str | None,
    Parameter(
        env_var="ASAP_PROXY",
        help="The proxies that are believed when they say for whom they ask: addresses and networks, joined by commas.",
    ),
]
Hosts = Annotated[
    str | None,
    Parameter(
        env_var="ASAP_HOSTS",
        help="Names that it may be asked by, joined by commas, or any; on a loopback address those of this machine.",
    ),
]
LatencyTarget = Annotated[
    float | None,
    Parameter(
        env_var="ASAP_LATENCY_TARGET",
        help="Seconds that a request may wait for its turn; beyond it some are turned away. Without it none is.",
        validator=validators.Number(gt=0),
    ),
]
Sign = Annotated[
    str | None,
    Parameter(env_var="ASAP_SIGN", help="The file of the key to sign the manifest with; `asap key` makes one."),
]
Debug = Annotated[
    bool,
    Parameter(
        env_var="ASAP_DEBUG",
        negative="",
        show_default=False,
        help="Log all, with the secrets in it, and tell callers the trace of what failed: for your own machine.",
    ),
]
DebugLog = Annotated[
    bool,
    Parameter(
        env_var="ASAP_DEBUG_LOG",
        negative="",
        show_default=False,
        help="Log whole requests and answers, without the secrets in them unless with --debug.",
    ),
]


def serve(
    target: Annotated[str, Parameter(help="module:agent, looked for in --app-dir and among what is installed.")],
    /,
    *,
    host: Annotated[str, Parameter(help="The address to listen on; 0.0.0.0 is every IPv4 one.")] = "127.0.0.1",
    port: Port = 8000,
    runtime: Annotated[Runtime | None, Parameter(help="The front; the agent's own if not given.")] = None,
    workers: Workers = 1,
    url: Annotated[str | None, Parameter(help="Where others reach it, for its manifest.")] = None,
    app_dir: Annotated[str, Parameter(help="Where to look for the module first.")] = ".",
    rate_limit: RateLimit = None,
    max_request_size: MaxRequestSize = None,
    max_threads: MaxThreads = None,
    state: State = None,
    grace: Grace = None,
    proxy: Proxy = None,
    hosts: Hosts = None,
    sign: Sign = None,
    latency_target: LatencyTarget = None,
    log_level: Annotated[str, Parameter(env_var="ASAP_LOG_LEVEL", help=f"One of {', '.join(_LEVELS)}.")] = "info",
    debug: Debug = False,
    debug_log: DebugLog = False,
    json: Json = False,
) -> int:
    """Serve an agent until Ctrl-C or SIGTERM, then let running requests end; exit code 0."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, leave)
    settings = _settings(rate_limit, url, proxy)
    limits = {
        "request_bytes": max_request_size,
        "handler_threads": max_threads,
        "grace_seconds": grace,
        "late_seconds": latency_target,
    }
    level = "debug" if debug else _level(log_level)
    agent = load_agent(target, app_dir=app_dir, debug=debug)
    chosen = runtime_for(agent, runtime, target)
    _need_server(chosen)
    own = agent.settings
    if state is not None:
        check_state(parse_state(state), own.urn, own.limits)
    if sign is not None:
        settings["manifest_key"] = read_key(sign)
    listener = _bind(host, port)
    if hosts is not None:
        settings["hosts"] = None if hosts.lower() == "any" else _names(hosts)
    elif own.hosts is None and ip_address(listener.getsockname()[0]).is_loopback:
        settings["hosts"] = _own_names(listener, settings.get("url") or own.url)
    plan = Plan(
        target=target,
        app_dir=os.path.abspath(app_dir),
        runtime=chosen,
        url="" if host in _EVERYWHERE else url_of(listener),
        settings=settings,
        limits={name: value for name, value in limits.items() if value is not None},
        state=state,
        grace=own.limits.grace_seconds if grace is None else grace,
        log_level=level,
        debug=debug,
        debug_log=debug_log,
    )
    set_up_logging(plan)
    if debug and not ip_address(listener.getsockname()[0]).is_loopback:
        logging.getLogger("asap_adapters.server").warning(
            "--debug: whoever reaches %s is told the traces of what fails, secrets and all", url_of(listener)
        )
    _run(plan, listener, workers, as_json=json)
    return OK


def _run(plan: Plan, listener: socket.socket, workers: int, *, as_json: bool) -> None:
    url = url_of(listener)

    def announce() -> None:
        if as_json:
            print_json({"url": url, "pid": os.getpid()}, one_line=True)
        else:
            print(f"{plan.target} listens on {url} ({plan.runtime}, Ctrl-C stops it)", flush=True)

    if workers > 1:
        supervise(plan, listener, workers, announce)
    else:
        SERVE[plan.runtime](plan, listener, announce)


def _settings(rate_limit: str | None, url: str | None, proxy: str | None) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if rate_limit:
        settings["quota"] = None if rate_limit.lower() == "none" else rate_limit
        if settings["quota"]:
            _check_quota(rate_limit)
    if url is not None:
        settings["url"] = url.rstrip("/")
    if proxy:
        settings["proxies"] = _proxies(proxy)
    return settings


def _proxies(text: str) -> Proxies:
    try:
        return parse_proxies(text.split(","))
    except AsapError as error:
        raise Stop(
            USAGE,
            f"--proxy or ASAP_PROXY: {error.message}",
            remedy="Join them by commas: '10.0.0.0/8,::1'.",
            code=error.code,
        ) from None


def _names(text: str) -> frozenset[str]:
    try:
        return names_of([name.strip() for name in text.split(",")])
    except AsapError as error:
        raise Stop(
            USAGE,
            f"--hosts or ASAP_HOSTS: {error.message}",
            remedy="Join them by commas: 'agents.example.org,10.0.0.1'; any lets every name pass.",
            code=error.code,
        ) from None


def _own_names(listener: socket.socket, url: str) -> frozenset[str]:
    """What a caller on this machine says, or a gateway on it, which may hand on the name in the agent's URL."""
    names = {*LOOPBACK_HOSTS, listener.getsockname()[0]}
    with suppress(ValueError):
        names.add(urlsplit(url).hostname or "localhost")
    return names_of(names)


def _check_quota(text: str) -> None:
    try:
        parse_quota(text)
    except AsapError as error:
        raise Stop(
            USAGE,
            f"--rate-limit or ASAP_RATE_LIMIT: {error.message}",
            remedy="Join rates by semicolons: '10/second;100/minute'; none lifts the limit.",
            code=error.code,
        ) from None


def _level(name: str) -> str:
    if name.lower() not in _LEVELS:
        remedy = f"Use one of {', '.join(_LEVELS)}."
        raise Stop(USAGE, f"--log-level or ASAP_LOG_LEVEL: there is no level {name}", remedy=remedy)
    return name.lower()


def _need_server(runtime: Runtime) -> None:
    front(runtime)
    try:
        importlib.import_module(_SERVERS[runtime])
    except ModuleNotFoundError as error:
        raise extra_missing(error, runtime) from None


def _bind(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (while")[0]
        remedy = "Give --host an address of this machine: 127.0.0.1, ::1, or 0.0.0.0 for every one."
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            remedy = "Another --port may be free; --port 0 takes any that is."
        raise Stop(FAILED, f"can't listen on {host} port {port}: {reason}", remedy=remedy) from None
