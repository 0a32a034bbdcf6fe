"""`asap bench`: how fast this machine is, as ratios that mean the same on another."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, validators

from .commands import Json
from .fronts import extra_missing
from .outcome import FAILED, OK
from .output import console, print_json, table

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["bench"]

Rounds = Annotated[
    int, Parameter(help="How often to measure; the best round counts.", validator=validators.Number(gte=1))
]


def bench(*, rounds: Rounds = 5, json: Json = False) -> int:
    """Measure how long the work of one exchange takes, against bare JSON work in the same run."""
    try:
        run = importlib.import_module("asap_adapters.bench").run
    except ModuleNotFoundError as error:
        raise extra_missing(error, "asyncio") from None
    figures = list(run(rounds, _progress))
    if json:
        print_json({"rounds": rounds, "holds": all(_holds(each) for each in figures), "figures": _documents(figures)})
    else:
        _show(figures)
    return OK if all(_holds(each) for each in figures) else FAILED


def _progress(words: Any) -> None:
    """Says on a terminal's stderr what is being measured."""
    if sys.stderr.isatty():
        print(f"asap bench: {words}", file=sys.stderr)


def _holds(figure: Any) -> bool:
    """Whether a figure keeps its promise; one without a floor promises nothing."""
    return figure.holds is not False


def _documents(figures: Iterable[Any]) -> list[dict[str, Any]]:
    fields = ("name", "value", "unit", "baseline", "ratio", "floor", "holds")
    return [{name: getattr(each, name) for name in fields} for each in figures]


def _show(figures: Iterable[Any]) -> None:
    shown = table("what", "took>", "ratio>", "at most>", "of", "")
    for each in figures:
        shown.add_row(
            each.name,
            f"{each.value:.4g} {each.unit}",
            "" if each.ratio is None else f"{each.ratio:.2f}",
            "" if each.floor is None else f"{each.floor:g}",
            "" if each.baseline is None else str(each.baseline),
            "" if each.floor is None else "holds" if _holds(each) else "[red]not held[/]",
        )
    console().print(shown)
