"""Which new seeds a run of the tests tries: those of its commit."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

__all__ = ["first_of_run"]


def first_of_run() -> int:
    """Where they begin: the same for all processes of a run, and for each commit another.

    ASAP_SIMULATION_FIRST names it instead; without git it is always the same.
    """
    if named := os.environ.get("ASAP_SIMULATION_FIRST"):
        return int(named)
    try:
        told = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, check=False
        ).stdout
    except FileNotFoundError:
        told = b""
    return int.from_bytes(hashlib.blake2b(told, digest_size=4).digest())
