"""The reference, asap-protocol 1.0.0: an interpreter that has it, where there is one."""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from typing import Final

__all__ = ["RELEASE", "find_reference"]

RELEASE: Final = "1.0.0"
_ASK: Final = "from importlib.metadata import version; print(version('asap-protocol'))"


@cache
def find_reference(given: str | None) -> tuple[str, str]:
    """The interpreter, or why there is none; it is the one given, else a Python 3.13 that has the release."""
    python = given or shutil.which("python3.13")
    if python is None:
        return "", f"no Python 3.13 with asap-protocol {RELEASE} was found; --reference names one"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(  # nosec B603  # an interpreter of the caller's
            [python, "-c", _ASK], capture_output=True, text=True, timeout=60, env=clean, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"{python} can't be run: {type(error).__name__}"
    found = done.stdout.strip()
    if found != RELEASE:
        return "", f"{python} has {f'asap-protocol {found}' if found else 'no asap-protocol'}; {RELEASE} is compared to"
    return python, ""
