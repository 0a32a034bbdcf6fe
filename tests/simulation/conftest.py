"""Which seeds are run: some that stay, and for each commit some of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

#: New seeds of a run, in so many tests that processes can share them out.
NEW, _TESTS = 100, 4


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option is known to runs that name this folder."""
    parser.addoption("--seeds", type=int, default=NEW, metavar="N", help=f"how many new seeds; {NEW} if unsaid")


def pytest_report_header(config: pytest.Config) -> str:
    return f"simulation: new seeds from {_first()} on"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of `new_seeds` runs for a part of those that belong to this commit."""
    if "new_seeds" in metafunc.fixturenames:
        seeds = range(_first(), _first() + metafunc.config.getoption("seeds", default=NEW))
        parts = [seeds[number::_TESTS] for number in range(_TESTS)]
        metafunc.parametrize("new_seeds", parts, ids=[f"from-{part[0]}" for part in parts if part])


def _first() -> int:
    """Where the new seeds begin: the same for all processes of a run, and for each commit another.

    ASAP_SIMULATION_FIRST names it instead; without git it is always the same.
    """
    if named := os.environ.get("ASAP_SIMULATION_FIRST"):
        return int(named)
    told = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return int.from_bytes(hashlib.blake2b(told.stdout.encode(), digest_size=4).digest())
