"""Where ids come from: chance that nobody can tell beforehand."""

import os
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from asap_adapters._shared.sources import SYSTEM
from asap_proto.model.ulid import is_ulid

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def new_id():
    return SYSTEM.tokens.new_id(NOW)


DRAWN = pytest.mark.parametrize("draw", [new_id, SYSTEM.tokens.nonce], ids=["ids", "nonces"])


@DRAWN
def test_what_is_drawn_can_not_be_foretold(draw):
    """Whoever has seen what `random` gave, or has seeded it, knows nothing to come."""
    random.seed(1)
    first = [draw() for _ in range(600)]
    random.seed(1)
    assert not {*first} & {draw() for _ in range(600)}


@DRAWN
def test_many_threads_draw_what_is_all_different(draw):
    """However many ask at once, each is given another."""
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: draw(), range(20_000)))
    assert len(set(made)) == len(made)


def test_ids_are_ulids_and_nonces_say_nothing():
    """A nonce is 128 bits of chance, at least, in characters that need no quoting."""
    assert is_ulid(new_id())
    nonces = [SYSTEM.tokens.nonce() for _ in range(2000)]
    assert all(len(nonce) == 26 and nonce.isascii() and nonce.isalnum() for nonce in nonces)
    assert all(len({nonce[at] for nonce in nonces}) > 16 for at in range(26))


@DRAWN
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_worker_draws_for_itself(draw):
    """What was drawn before a fork is not used on both sides of it."""
    draw()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, draw().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 26).decode()
    os.close(reading)
    os.close(writing)
    assert len(theirs) == 26
    assert theirs[10:] != draw()[10:]  # the chance of an id comes behind its time
