"""The command line, `asap`. Importing this loads neither a front nor the extra `cli`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .outcome import USAGE, Stop, guarded

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; answers the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    return guarded(_run, words, as_json="--json" in words)


def _run(words: list[str]) -> int:
    try:
        from .commands import run

        return run(words)
    except ModuleNotFoundError as error:
        if error.name not in ("cyclopts", "rich"):
            raise
        remedy = "Install the extra: pip install 'asap-proto[cli]'"
        what = f"the command line needs {error.name}, which is not installed"
        raise Stop(USAGE, what, remedy=remedy) from None
