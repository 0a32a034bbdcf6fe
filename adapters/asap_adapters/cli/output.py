"""What goes to stdout: JSON for machines, tables for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import orjson

from asap_proto.rules.redaction import redact

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

__all__ = ["console", "dump_json", "print_json", "table"]

_WRITE = orjson.OPT_UTC_Z | orjson.OPT_NAIVE_UTC | orjson.OPT_APPEND_NEWLINE

#: Columns where there is no terminal to ask: wide, so that what is piped is not folded.
_WIDE = 200


def dump_json(document: Any, *, one_line: bool = False) -> bytes:
    """One JSON document, to be read by people too unless it is to be one line."""
    return orjson.dumps(document, option=_WRITE if one_line else _WRITE | orjson.OPT_INDENT_2)


def print_json(document: Any, *, one_line: bool = False, whole: bool = False) -> None:
    """One JSON document, UTF-8 whatever the locale says, and without secrets unless it is to be `whole`."""
    text = dump_json(document if whole else redact(document, most=sys.maxsize), one_line=one_line)
    sys.stdout.flush()
    sys.stdout.buffer.write(text)
    sys.stdout.flush()


def console() -> Console:
    """Where tables go; without colours unless stdout is a terminal."""
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table; columns whose name ends in ``>`` are aligned to the right."""
    from rich import box
    from rich.table import Table

    made = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name in columns:
        made.add_column(name.rstrip(">"), justify="right" if name.endswith(">") else "left", overflow="fold")
    return made
