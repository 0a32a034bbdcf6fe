"""`asap demo`: three agents on this machine, and proof of what went on between them."""

from __future__ import annotations

from types import ModuleType
from typing import Annotated, Any

from cyclopts import Parameter

from .commands import Json
from .fronts import Runtime, extra_missing, front
from .outcome import FAILED, OK, Stop, bare, stop_for, tell
from .output import console, print_json, table
from .story import Row, Story, account

__all__ = ["demo"]


def demo(
    *,
    runtime: Annotated[Runtime, Parameter(help="Which front plays all three.")] = "asyncio",
    json: Json = False,
) -> int:
    """Start a coordinator and two agents on free ports of this machine, and let them work."""
    chosen = front(runtime)
    story = Story()
    error = _played(story, runtime, chosen)
    rows = account(story)
    good = error is None and all(row.seen for row in rows)
    if json:
        print_json(_document(rows, runtime, good, error))
    else:
        _show(rows, runtime)
    if good:
        return OK
    missing = ", ".join(str(row.step) for row in rows if not row.seen)
    words = error.message if error else "not every step was seen as it should be"
    remedy = error.remedy if error else "What is missing did not arrive, or not as it was sent."
    return tell(Stop(FAILED, f"{words} (missing: {missing or 'none'})", remedy=remedy), as_json=False)


def _played(story: Story, runtime: Runtime, chosen: ModuleType) -> Stop | None:
    """Plays the story; answers what cut it short."""
    try:
        if runtime == "sync":
            from .story_sync import play as play_sync

            play_sync(story)
        else:
            import anyio

            from .story_async import play

            anyio.run(play, chosen, story, backend=runtime)
    except ModuleNotFoundError as error:
        raise extra_missing(error, runtime) from None
    except Exception as error:  # noqa: BLE001  (told together with what was seen until then)
        return stop_for(bare(error))
    return None


def _document(rows: list[Row], runtime: Runtime, good: bool, error: Stop | None) -> dict[str, Any]:
    steps = [
        {
            "step": row.step,
            "from": row.sender,
            "to": row.receiver,
            "what": row.what,
            "seen": row.seen,
            "ms": took,
            "at_ms": row.ms,
        }
        for row, took in zip(rows, _durations(rows), strict=True)
    ]
    document = {"ok": good, "runtime": runtime, "took_ms": _last(rows), "steps": steps}
    return document if error is None else document | error.document()


def _show(rows: list[Row], runtime: Runtime) -> None:
    shown = table("step>", "from", "to", "what", "ms>", "at ms>")
    for row, took in zip(rows, _durations(rows), strict=True):
        what = row.what if row.seen else f"[red]not seen:[/] {row.what}"
        shown.add_row(str(row.step), _short(row.sender), _short(row.receiver), what, _number(took), _number(row.ms))
    out = console()
    out.print(shown)
    seen = sum(row.seen for row in rows)
    out.print(f"{seen} of {len(rows)} steps seen where they arrived, on {runtime}, in {_number(_last(rows))} ms.")


def _durations(rows: list[Row]) -> list[float | None]:
    """How long each step took, counted from the one seen before it."""
    took, before = [], 0.0
    for row in rows:
        took.append(None if row.ms is None else round(row.ms - before, 3))
        before = before if row.ms is None else row.ms
    return took


def _last(rows: list[Row]) -> float:
    return max((row.ms for row in rows if row.ms is not None), default=0.0)


def _number(ms: float | None) -> str:
    return "" if ms is None else f"{ms:.1f}"


def _short(urn: str) -> str:
    return urn.removeprefix("urn:asap:agent:")
