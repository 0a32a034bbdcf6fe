"""No cell of the table of stores and fronts is empty."""

from typing import get_args

import pytest

from asap_adapters.cli.states import Sort
from chaos import test_chaos
from chaos.pairs import ALONE, DURABLE, PAIRS, STORES, cells
from scenarios.fronts import FRONTS


def played(*, whole):
    return {(test, *pair) for test in DURABLE for pair in cells(test, whole=whole)}


def test_whatever_keeps_tasks_is_in_the_table():
    """Every sort of store that outlives a server, with every front, for every test of what is promised of tasks."""
    assert {*STORES} == {*get_args(Sort)} - {"memory"}
    assert {*PAIRS} == {(store, front) for store in STORES for front in FRONTS}
    assert played(whole=True) == {(test, *pair) for test in DURABLE for pair in PAIRS}


def test_each_run_plays_each_store_with_each_front():
    """And each test with each front."""
    each_time = played(whole=False)
    assert each_time <= played(whole=True)
    assert {(store, front) for _, store, front in each_time} == {*PAIRS}
    assert {(test, front) for test, _, front in each_time} == {(test, front) for test in DURABLE for front in FRONTS}


@pytest.mark.parametrize("test", ALONE)
def test_each_run_plays_each_front(test):
    """What a front does by itself is tried on each of them."""
    assert {pair.front for pair in cells(test, whole=False)} == {*FRONTS}


def test_each_row_is_a_test():
    """A row that names none would be played by nobody, and a test without a row with nothing."""
    assert {name for name in vars(test_chaos) if name.startswith("test_")} == {*DURABLE, *ALONE}
