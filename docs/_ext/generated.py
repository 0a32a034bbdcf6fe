"""Tables and drawings made from the code while the pages are built, so that they can't fall behind it.

A page says ```` ```{generated} errors ```` and gets the Markdown that `MAKERS["errors"]` returns.
"""

from __future__ import annotations

import inspect
import io
import json
import re
import runpy
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from asap_proto import errors as errors_module
from asap_proto import limits
from asap_proto.errors import CATALOGUE, Misuse
from asap_proto.model import PAYLOADS, TaskStatus
from asap_proto.model import payloads as payloads_module
from asap_proto.roles import commands
from asap_proto.rules import lifecycle
from asap_proto.rules.lifecycle import MOVES, is_final
from asap_proto.wire import schema as schema_module
from asap_proto.wire.schema import EXTENSIONS
from asap_proto.wire.shapes import shapes

# -- tables ----------------------------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; a bar inside a cell would end it."""
    lines = [list(head), None, *rows]
    width = len(lines[0] or ())
    cells = (["---"] * width if line is None else [cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def errors() -> str:
    """Every row of the catalogue."""
    rows = (
        (
            f"`{code}`",
            f"`{row.__name__}`",
            "us" if issubclass(row, Misuse) else "the peer",
            str(row.kind.rpc_code),
            f"{row.kind.http_status} ({row.kind.strict_status})"
            if row.kind.strict_status
            else f"{row.kind.http_status}",
            "yes" if row.kind.retryable else "no",
            row.kind.remedy,
        )
        for code, row in sorted(CATALOGUE.items())
    )
    return table(("Code", "Class", "Whose", "JSON-RPC", "HTTP", "Retry", "What to do"), rows)


def settings() -> str:
    """What a deployment may turn: the fields of `Limits`, each with the comment above it."""
    return _numbers(inspect.getsource(limits.Limits), indent="    ")


def constants() -> str:
    """What the protocol fixes."""
    return _numbers(inspect.getsource(limits), indent="")


def _numbers(source: str, *, indent: str) -> str:
    found = re.findall(rf"((?:^{indent}#: .*\n)+)^{indent}(\w+): [^=\n]+ = (.*)$", source, re.MULTILINE)
    rows = ((f"`{name}`", f"`{value}`", _reason(comment)) for comment, name, value in found)
    return table(("Name", "Value", "Why"), rows)


def _reason(comment: str) -> str:
    words = " ".join(line.strip().removeprefix("#:").strip() for line in comment.splitlines())
    return re.sub(r"\s*\(ASAP:[^)]*\)", "", words)  # the source, which these pages are themselves


def asked() -> str:
    """Every command a story may ask, and what it takes for an answer."""
    rows = (
        (f"`{command.__name__}`", _about(command), ", ".join(f"`{_class_name(each)}`" for each in command.answers))
        for command in typing.get_args(commands.AnyCommand)
    )
    return table(("Command", "The question", "Answered with"), rows)


def _class_name(cls: type) -> str:
    return "None" if cls is type(None) else cls.__name__


def _about(cls: type) -> str:
    return (cls.__doc__ or "").partition("\n")[0].replace("``", "`")


def payloads() -> str:
    """The twelve payloads with their fields, required ones first and in bold."""
    rows = (
        (
            f"`{name}`",
            f"`{cls.__name__}`",
            ", ".join(f"**{each.name}**" if each.required else each.name for each in shapes(cls)),
            _about(cls),
        )
        for name, cls in PAYLOADS.items()
    )
    return table(("On the wire", "Class", "Fields", "Says"), rows)


def extensions() -> str:
    """What an envelope's extensions may hold, each with its schema; a noun's own schema is a document apart."""

    def shown(what: Any) -> str:
        return f"`asap schema {what.__name__}`" if isinstance(what, type) else f"`{json.dumps(what)}`"

    rows = ((f"`{name}`", about.replace("``", "`"), shown(what)) for name, (about, what) in EXTENSIONS.items())
    return table(("Member", "Where, and what it means", "JSON Schema"), rows)


def deviations() -> str:
    """Where we answer recorded traffic of reference releases otherwise than they did: the contract tests' own table."""
    path = Path(__file__).parents[2] / "tests/vectors/deviations.py"
    kept = runpy.run_path(str(path))
    sides = (("a model", kept["MODELS"]), ("a request", kept["SERVER"]), ("a reply", kept["CLIENT"]))
    reasons: dict[tuple[str, str], list[Any]] = {}
    for what, rows in sides:
        for row in rows:
            reasons.setdefault((what, row.reason), []).append(row)
    lines = ((what, reason, ", ".join(f"`{row.pattern}`" for row in rows)) for (what, reason), rows in reasons.items())
    return table(("Reading", "What we do, and why", "Recorded cases"), lines)


def meetings() -> str:
    """What clients and servers are held to in the live tests, ours and released: the tests' own table."""
    kept = runpy.run_path(str(Path(__file__).parents[2] / "tests/interop/matrix.py"))
    rows = (
        (scenario, *("yes" if getattr(row, kind) else "" for kind in kept["KINDS"]), row.lacks)
        for scenario, row in kept["MATRIX"].items()
    )
    return table(("What", "Their client, our server", "Our client, their server", "Ours among themselves", "But"), rows)


#: What `asap bench all --json` has said, on a machine that did nothing else.
RESULTS = Path(__file__).parents[1] / "benchmarks-results.json"


def figures() -> str:
    """Each figure of the run that is kept, as it was said, and what it was made with."""
    if not RESULTS.exists():
        return "None is kept yet."
    run = json.loads(RESULTS.read_text(encoding="utf-8"))
    machine = run["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    made = (
        f"{machine['at']}, {machine['python']} on {machine['system']}, {machine['cores']} cores, "
        f"load {machine['load']}; {run['rounds']} rounds of {run['seconds']:g} s; {packages}."
    )
    head = ("What", "Suite", "Measured", "Of", "Ratio", "Bound", "")
    return f"{made}\n\n{table(head, map(_figure, run['figures']))}"


def _figure(figure: Mapping[str, Any]) -> tuple[str, ...]:
    verdict = {True: "holds", False: "**not held**", None: ""}[figure["holds"]]
    return (
        figure["name"],
        figure["suite"],
        "" if (value := figure["value"]) is None else f"{value:{',.0f' if value >= 1000 else '.4g'}} {figure['unit']}",
        figure["baseline"] or "",
        "" if figure["ratio"] is None else f"{figure['ratio']:.2f}",
        "" if figure["floor"] is None else f"{'≥' if figure['at_least'] else '≤'} {figure['floor']:g}",
        " ".join(filter(None, (verdict, figure["note"]))),
    )


# -- the lifecycle ---------------------------------------------------------------------------------------------------

#: Where each status stands in the drawing: column and row. So placed, no two moves cross.
PLACES: Mapping[TaskStatus, tuple[float, float]] = {
    TaskStatus.COMPLETED: (0.4, 0),
    TaskStatus.FAILED: (1.6, 0),
    TaskStatus.WORKING: (1, 1),
    TaskStatus.SUBMITTED: (0, 2),
    TaskStatus.INPUT_REQUIRED: (2, 2),
    TaskStatus.CANCELLED: (1, 3),
}
_WIDE, _HIGH, _ACROSS, _DOWN, _EDGE = 130, 34, 190, 86, 70


def moves() -> str:
    """The lifecycle as a table."""
    rows = (
        (f"`{status}`", ", ".join(f"`{to}`" for to in sorted(onward)) or "nowhere: it is final")
        for status, onward in MOVES.items()
    )
    return table(("From", "To"), rows)


def drawing() -> str:
    """The lifecycle as a drawing: one box for each status, one arrow for each move."""
    width, height = _EDGE * 2 + 2 * _ACROSS, 60 + 3 * _DOWN
    lines = [
        '<figure class="lifecycle">',
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img"',
        ' fill="none" stroke="currentColor" font-family="sans-serif" font-size="14">',
        "<title>The moves of a task</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">',
        '<path d="M0 0 8 4 0 8z" fill="currentColor" stroke="none"/></marker></defs>',
        *(_box(status) for status in MOVES),
        *(_arrow(status, to) for status, onward in MOVES.items() for to in sorted(onward)),
        "</svg>",
        "</figure>",
    ]
    return "\n".join(lines)


def _middle(status: TaskStatus) -> tuple[float, float]:
    column, row = PLACES[status]
    return _EDGE + column * _ACROSS, 30 + row * _DOWN


def _box(status: TaskStatus) -> str:
    x, y = _middle(status)
    border = 3 if is_final(status) else 1
    return (
        f'<rect data-status="{status}" x="{x - _WIDE / 2:g}" y="{y - _HIGH / 2:g}" width="{_WIDE}" height="{_HIGH}"'
        f' rx="6" stroke-width="{border}"/>'
        f'<text x="{x:g}" y="{y + 5:g}" text-anchor="middle" stroke="none" fill="currentColor">{status}</text>'
    )


def _arrow(status: TaskStatus, to: TaskStatus) -> str:
    (x1, y1), (x2, y2) = _middle(status), _middle(to)
    across, down = x2 - x1, y2 - y1
    length = (across**2 + down**2) ** 0.5
    # Two moves there and back stand side by side.
    aside = 7 if status in MOVES[to] else 0
    shift_x, shift_y = -down / length * aside, across / length * aside
    # From border to border: the part of the line that lies in a box is left out.
    inside = min(_WIDE / 2 / abs(across) if across else 1, _HIGH / 2 / abs(down) if down else 1)
    points = (
        x1 + across * inside + shift_x,
        y1 + down * inside + shift_y,
        x2 - across * inside + shift_x,
        y2 - down * inside + shift_y,
    )
    start_x, start_y, end_x, end_y = (f"{point:.1f}" for point in points)
    return f'<path data-move="{status} {to}" d="M{start_x} {start_y}L{end_x} {end_y}" marker-end="url(#tip)"/>'


# -- the command line ------------------------------------------------------------------------------------------------


def command_names() -> list[str]:
    """The commands of `asap`, as its own help lists them, each with those below it."""
    from asap_adapters.cli.commands import build

    def names(app: Any, above: str) -> Iterable[str]:
        for name in app:
            if not name.startswith("-"):
                yield above + name
                if isinstance(below := app[name], type(app)):
                    yield from names(below, f"{above}{name} ")

    return [*names(build(), "")]


def command_line() -> str:
    """What `asap --help` says, and what each command's does."""
    sections = ((" ".join(filter(None, ("asap", name))), help_of(name)) for name in ("", *command_names()))
    return "\n\n".join(f"## {title}\n\n~~~text\n{text}\n~~~" for title, text in sections)


def help_of(name: str) -> str:
    """The help of one command, or with no name of `asap`, as a terminal of 100 columns shows it."""
    from rich.console import Console

    from asap_adapters.cli.commands import build

    shown = io.StringIO()
    console = Console(file=shown, width=100, color_system=None, force_terminal=False, highlight=False)
    build()([*name.split(), "--help"], console=console)
    return "\n".join(line.rstrip() for line in shown.getvalue().strip().splitlines())


#: A page is made again when one of these changes.
_SOURCES: tuple[ModuleType, ...] = (commands, errors_module, lifecycle, limits, payloads_module, schema_module)

MAKERS: Mapping[str, Callable[[], str]] = {
    "commands": asked,
    "command-line": command_line,
    "constants": constants,
    "deviations": deviations,
    "drawing": drawing,
    "errors": errors,
    "extensions": extensions,
    "figures": figures,
    "meetings": meetings,
    "moves": moves,
    "payloads": payloads,
    "settings": settings,
}


def setup(app: Any) -> dict[str, Any]:
    """Tells Sphinx of the directive."""
    from sphinx.util.docutils import SphinxDirective

    class Generated(SphinxDirective):
        required_arguments = 1

        def run(self) -> list[Any]:
            for module in _SOURCES:
                self.env.note_dependency(inspect.getsourcefile(module) or "")
            self.env.note_dependency(str(RESULTS))
            text = MAKERS[self.arguments[0]]()
            return self.parse_text_to_nodes(text, allow_section_headings=True)

    app.add_directive("generated", Generated)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
