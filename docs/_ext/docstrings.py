"""Docstrings are written to be read in the source; this makes them reStructuredText for autodoc.

One pair of backticks marks code, and a line `Parameters` opens a list of names.
Sources such as (ASAP: envelope) are left out: the page on the wire tells the protocol by the same topics.
"""

from __future__ import annotations

import re
from typing import Any

_code = re.compile(r"(?<![`:])`([^`]+)`(?!`)(\w*)")
_note = re.compile(r"\s*\(ASAP:[^)]*\)")
_parameter = re.compile(r"    (\w+(?:, \w+)*): (.*)")


def translate(lines: list[str]) -> list[str]:
    """The same docstring for docutils."""
    found: list[str] = []
    listing = False
    for line in map(_marked, lines):
        if line.startswith("Parameters"):
            listing = True
            found += [line, ""]
        elif listing and (named := _parameter.fullmatch(line)):
            names = ", ".join(f"``{name}``" for name in named[1].split(", "))
            found.append(f"- {names}: {named[2]}")
        elif listing and line.startswith("    "):
            found.append(f"  {line.strip()}")
        else:
            listing = listing and not line.strip()
            found.append(line)
    return found


def _marked(line: str) -> str:
    # A letter right behind the mark, as in a plural, needs an escape between.
    return _code.sub(lambda hit: f"``{hit[1]}``" + (f"\\ {hit[2]}" if hit[2] else ""), _note.sub("", line))


def setup(app: Any) -> dict[str, Any]:
    """Tells autodoc."""

    def process(app: Any, what: str, name: str, thing: object, options: Any, lines: list[str]) -> None:
        lines[:] = translate(lines)

    app.connect("autodoc-process-docstring", process)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
