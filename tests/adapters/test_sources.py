"""Where ids come from: chance that nobody can tell beforehand."""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from asap_adapters._shared.sources import SYSTEM
from asap_proto.model.ulid import is_ulid

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def test_ids_can_not_be_foretold():
    """Whoever has seen what `random` gave, or has seeded it, knows no id to come."""
    random.seed(1)
    first = [SYSTEM.tokens.new_id(NOW) for _ in range(600)]
    random.seed(1)
    assert not {*first} & {SYSTEM.tokens.new_id(NOW) for _ in range(600)}


def test_ids_of_many_threads_are_all_different():
    """However many ask at once, each is given another."""
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: SYSTEM.tokens.new_id(NOW), range(20_000)))
    assert len(set(made)) == len(made)
    assert all(map(is_ulid, made))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_worker_draws_ids_of_its_own():
    """What was drawn before a fork is not used on both sides of it."""
    SYSTEM.tokens.new_id(NOW)
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, SYSTEM.tokens.new_id(NOW).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 26).decode()
    os.close(reading)
    os.close(writing)
    assert is_ulid(theirs)
    assert theirs != SYSTEM.tokens.new_id(NOW)
