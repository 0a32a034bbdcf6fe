"""Which store and which front meet what: the whole table, and the cells of it that are played each time.

A cell takes seconds, mostly those in which processes start. So each run of the tests plays each store with each front,
and each test with each front; `nox -s chaos` plays all. `test_pairs` fails where a cell is missing.
"""

from collections.abc import Mapping
from typing import NamedTuple

from scenarios.fronts import FRONTS

STORES = ("sqlite", "redis", "postgres")


class Pair(NamedTuple):
    """A store, and the front whose server keeps its tasks there."""

    store: str
    front: str

    def __str__(self) -> str:
        return f"{self.store}-{self.front}"


PAIRS = tuple(Pair(store, front) for store in STORES for front in FRONTS)


def _pairs(**fronts: str) -> tuple[Pair, ...]:
    return tuple(Pair(store, front) for store, words in fronts.items() for front in words.split())


#: Tests of what is promised of tasks, and what each run plays them with; the whole table has every pair for each.
#: A PostgreSQL that has to recover takes longest.
DURABLE: Mapping[str, tuple[Pair, ...]] = {
    "test_a_server_that_is_killed": _pairs(sqlite="asyncio", redis="trio", postgres="sync"),
    "test_a_server_that_is_told_to_stop": _pairs(sqlite="trio", redis="sync", postgres="asyncio"),
    "test_a_store_that_is_away": _pairs(sqlite="sync", redis="asyncio", postgres="trio"),
    "test_a_server_that_stands_still": _pairs(sqlite="asyncio sync", redis="trio"),
    "test_a_full_disk": _pairs(sqlite="asyncio trio", redis="sync"),
}
#: Tests of what a front does by itself, whatever its store.
ALONE = ("test_every_fault_of_the_network", "test_no_file_descriptor_is_left")


def cells(test: str, *, whole: bool) -> tuple[Pair, ...]:
    """What a test is played with: each time, or where it is the whole table."""
    if test in ALONE:
        return _pairs(sqlite=" ".join(FRONTS))
    return PAIRS if whole else DURABLE[test]
