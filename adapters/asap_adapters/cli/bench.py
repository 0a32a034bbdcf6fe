"""`asap bench`: how fast this machine is, as ratios that mean the same on another."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Annotated, Any, Literal

from cyclopts import Parameter, validators

from .. import bench as measuring
from .commands import Json
from .fronts import RUNTIMES, Runtime, extra_missing, front
from .outcome import FAILED, OK, Stop
from .output import console, print_json, table

__all__ = ["Suite", "bench"]

Suite = Literal[
    "core",
    "server",
    "client",
    "end-to-end",
    "batch",
    "pace",
    "sustained",
    "steps",
    "crowd",
    "soak",
    "idle",
    "compression",
    "discovery",
    "all",
]

Suites = Annotated[Suite, Parameter(help="What to measure; core if not given.")]
Rounds = Annotated[int, Parameter(help="How often to measure; the median counts.", validator=validators.Number(gte=1))]
Seconds = Annotated[
    float,
    Parameter(help="How long one measurement takes that has no end by itself.", validator=validators.Number(gt=0)),
]
Only = Annotated[Runtime | None, Parameter(help="The one front to measure; all that are installed if not given.")]
Reference = Annotated[
    str | None,
    Parameter(
        help="An interpreter that has asap-protocol 1.0.0, to be compared to; python3.13 if not given, where it has it."
    ),
]
Peers = Annotated[bool, Parameter(negative="", show_default=False, help="Compare clients to httpx2 too.")]


def bench(
    *suites: Suites,
    rounds: Rounds = 5,
    seconds: Seconds = 1.0,
    runtime: Only = None,
    reference: Reference = None,
    peers: Peers = False,
    json: Json = False,
) -> int:
    """Measure this machine, each thing in turn with what it is compared to."""
    chosen = list(measuring.SUITES) if "all" in suites else list(dict.fromkeys(suites)) or ["core"]
    options = measuring.Options(
        rounds=rounds,
        seconds=seconds,
        runtimes=_installed() if runtime is None else (_needed(runtime),),
        reference=reference,
        peers=peers,
        progress=_progress,
    )
    machine = measuring.machine()
    before = signal.signal(signal.SIGTERM, _leave)  # as Ctrl-C does, it ends the processes that were started
    try:
        figures = list(measuring.run(options, chosen))
    except ModuleNotFoundError as error:
        raise extra_missing(error, "asyncio") from None
    finally:
        signal.signal(signal.SIGTERM, before)
    holds = all(figure.holds is not False for figure in figures)
    if json:
        made = {"suites": chosen, "rounds": rounds, "seconds": seconds, "holds": holds, "machine": machine}
        print_json({**made, "figures": [_document(each) for each in figures]})
    else:
        _show(figures)
    return OK if holds else FAILED


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _installed() -> tuple[str, ...]:
    found = []
    for runtime in RUNTIMES:
        with suppress(Stop):
            found.append(_needed(runtime))
    return tuple(found)


def _needed(runtime: Runtime) -> str:
    front(runtime)
    return runtime


def _progress(words: str) -> None:
    """Says on a terminal's stderr what is being measured."""
    if sys.stderr.isatty():
        print(f"asap bench: {words}", file=sys.stderr)


def _document(figure: Any) -> dict[str, Any]:
    fields = ("suite", "name", "value", "unit", "baseline", "ratio", "floor", "at_least", "holds", "note")
    return {name: getattr(figure, name) for name in fields}


def _show(figures: Sequence[Any]) -> None:
    shown = table("suite", "what", "measured>", "ratio>", "bound>", "of", "")
    for each in figures:
        bound = "" if each.floor is None else f"{'>=' if each.at_least else '<='} {each.floor:g}"
        verdict = {True: "holds", False: "[red]not held[/]", None: ""}[each.holds]
        shown.add_row(
            each.suite,
            each.name,
            "" if each.value is None else f"{each.value:{',.0f' if each.value >= 1000 else '.4g'}} {each.unit}",
            "" if each.ratio is None else f"{each.ratio:.2f}",
            bound,
            each.baseline or "",
            " ".join(filter(None, (verdict, each.note))),
        )
    console().print(shown)
