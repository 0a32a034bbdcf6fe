"""What `asap serve` can be told, by option or by the environment."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

__all__ = [
    "Compress",
    "Debug",
    "DebugLog",
    "Grace",
    "Hosts",
    "LatencyTarget",
    "MaxRequestSize",
    "MaxThreads",
    "Port",
    "Proxy",
    "RateLimit",
    "Sign",
    "State",
    "TlsCert",
    "TlsKey",
    "Uds",
    "UdsMode",
    "Workers",
]

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
        help="The proxies that are believed when they say for whom they ask: addresses and networks, or unix for "
        "whoever connects by a unix socket, joined by commas.",
    ),
]
Uds = Annotated[str | None, Parameter(help="Listen in this file, a unix socket, in place of --host and --port.")]
UdsMode = Annotated[str, Parameter(help="Who may connect by it, as chmod has it: 660 lets its group in.")]
TlsCert = Annotated[str | None, Parameter(help="Speak TLS, with the certificate in this file, its chain behind it.")]
TlsKey = Annotated[str | None, Parameter(help="The file of the certificate's private key.")]
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
Compress = Annotated[
    bool | None,
    Parameter(
        env_var="ASAP_COMPRESS",
        help="Compress large answers, also for callers on this machine; the agent's own if not given.",
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
