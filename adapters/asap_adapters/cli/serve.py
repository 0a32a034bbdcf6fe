"""`asap serve`: an agent over HTTP. The one place that reads the environment."""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import socket
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from cyclopts import Parameter

from asap_proto.errors import AsapError
from asap_proto.rules.forwarding import Proxies, parse_proxies
from asap_proto.rules.origins import LOOPBACK_HOSTS, names_of
from asap_proto.rules.quota import parse_quota

from .._shared.sockets import url_of
from .commands import Json
from .fronts import Runtime, extra_missing, front
from .key import read_key
from .listening import Certificate, listen_at, listen_in, tls_context
from .outcome import OK, USAGE, Stop
from .output import print_json
from .serve_options import (
    Compress,
    Debug,
    DebugLog,
    Grace,
    Hosts,
    LatencyTarget,
    MaxRequestSize,
    MaxThreads,
    Port,
    Proxy,
    RateLimit,
    Sign,
    State,
    TlsCert,
    TlsKey,
    Uds,
    UdsMode,
    Workers,
)
from .servers import SERVE, leave, set_up_logging
from .states import check_state, parse_state
from .targets import Plan, load_agent, runtime_for
from .workers import supervise

__all__ = ["serve"]

_LEVELS = ("debug", "info", "warning", "error", "critical")
_EVERYWHERE = ("0.0.0.0", "::")  # nosec B104  # to know them when told, not to bind to them
_SERVERS = {"asyncio": "uvicorn", "trio": "httptools", "sync": "uvicorn"}


def serve(
    target: Annotated[str, Parameter(help="module:agent, looked for in --app-dir and among what is installed.")],
    /,
    *,
    host: Annotated[str, Parameter(help="The address to listen on; 0.0.0.0 is every IPv4 one.")] = "127.0.0.1",
    port: Port = 8000,
    uds: Uds = None,
    uds_mode: UdsMode = "600",
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
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
    compress: Compress = None,
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
    if compress is not None:
        settings["compress"] = compress
    if sign is not None:
        settings["manifest_key"] = read_key(sign)
    certificate, mode = _certificate(tls_cert, tls_key), _mode(uds_mode)
    listener, file = (listen_at(host, port), None) if uds is None else listen_in(uds, mode)
    try:
        address = url_of(listener, scheme="http" if certificate is None else "https")
        if hosts is not None or own.hosts is None:
            settings["hosts"] = _names(hosts, listener, settings.get("url") or own.url)
        plan = Plan(
            target=target,
            app_dir=os.path.abspath(app_dir),
            runtime=chosen,
            url="" if uds is not None or host in _EVERYWHERE else address,
            file=file,
            certificate=certificate,
            settings=settings,
            limits={name: value for name, value in limits.items() if value is not None},
            state=state,
            grace=own.limits.grace_seconds if grace is None else grace,
            log_level=level,
            debug=debug,
            debug_log=debug_log,
        )
        set_up_logging(plan)
        if debug and not _is_on_loopback(listener):
            logging.getLogger("asap_adapters.server").warning(
                "--debug: whoever reaches %s is told the traces of what fails, secrets and all", address
            )
        _run(plan, listener, workers, address, as_json=json)
    finally:
        if file is not None:
            file.remove()
    return OK


def _run(plan: Plan, listener: socket.socket, workers: int, url: str, *, as_json: bool) -> None:
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


def _names(text: str | None, listener: socket.socket, url: str) -> frozenset[str] | None:
    """What it may be asked by; None for anything."""
    if text is None:
        return _own_names(listener, url) if _is_on_loopback(listener) else None
    if text.lower() == "any":
        return None
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


def _mode(text: str) -> int:
    if re.fullmatch("0?[0-7]{3}", text) is None:
        raise Stop(USAGE, f"--uds-mode: {text} is no mode", remedy="Say it as chmod does: 600, 660 or 666.")
    return int(text, 8)


def _certificate(chain: str | None, key: str | None) -> Certificate | None:
    """What is shown to callers, once it is known to be good: each process reads it for itself."""
    if chain is None and key is None:
        return None
    if chain is None or key is None:
        raise Stop(USAGE, "--tls-cert and --tls-key go together", remedy="Name the files of both, in PEM.")
    certificate = Certificate(os.path.abspath(chain), os.path.abspath(key))
    tls_context(certificate)
    return certificate


def _is_on_loopback(listener: socket.socket) -> bool:
    """Not so in a unix socket: who can reach it only its operator knows, and a gateway hands on any name."""
    return listener.family != socket.AF_UNIX and ip_address(listener.getsockname()[0]).is_loopback
