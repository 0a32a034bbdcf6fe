"""Which seeds are run: some that stay, and for each commit some of its own."""

from __future__ import annotations

import pytest

from simulation.seeds import first_of_run

#: New seeds of a run, in so many tests that processes can share them out.
_NEW, _TESTS = 40, 2


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option is known to runs that name this folder."""
    parser.addoption("--seeds", type=int, default=_NEW, metavar="N", help=f"how many new seeds; {_NEW} if unsaid")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of `new_seeds` runs for a part of those that belong to this commit."""
    if "new_seeds" in metafunc.fixturenames:
        first = first_of_run()
        seeds = range(first, first + metafunc.config.getoption("seeds", default=_NEW))
        parts = [seeds[number::_TESTS] for number in range(min(_TESTS, len(seeds)))]
        metafunc.parametrize("new_seeds", parts, ids=[f"from-{part.start}" for part in parts])
