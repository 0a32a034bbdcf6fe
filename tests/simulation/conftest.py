"""Which seeds are run: `--seed N` runs one again, `--seeds N` as many new ones."""

import os
import random

import pytest

#: New seeds of a run that names none; each takes about half a second.
_NEW = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options are known to runs that name this folder."""
    parser.addoption("--seed", type=int, action="append", metavar="N", help="run the simulation of this seed alone")
    parser.addoption(
        "--seeds", type=int, metavar="N", help=f"how many new seeds the simulation tries; {_NEW} if unsaid"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test of `any_seed` runs for the seeds that are asked for, or else for those it knows, and new ones.

    ASAP_SIMULATION_SEEDS names the new ones, such as ``17,4711``.
    """
    if "any_seed" in metafunc.fixturenames:
        asked = metafunc.config.getoption("seed", default=None)
        metafunc.parametrize("any_seed", asked or [*metafunc.module.KNOWN, *_new_seeds(metafunc.config)])


def _new_seeds(config: pytest.Config) -> list[int]:
    if named := os.environ.get("ASAP_SIMULATION_SEEDS"):
        return [int(seed) for seed in named.split(",")]
    count = config.getoption("seeds", default=None)
    # Where the tests are shared out among processes, all have to collect the same ones.
    chance = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))
    return chance.sample(range(1_000_000, 1_000_000_000), _NEW if count is None else count)
