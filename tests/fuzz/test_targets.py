"""What fuzzing begins with breaks nothing."""

import pytest

from fuzz.mutating import mutated
from fuzz.targets import TARGETS, dictionary, words


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_break_nothing(name):
    """Every seed of every target: so a fuzzer that starts with them starts with none that fails."""
    target = TARGETS[name]
    seeds = set(target.seeds())
    assert len(seeds) > 20
    for seed in sorted(seeds):
        target.feed(seed)


@pytest.mark.parametrize("name", ["server", "replies"])
def test_what_is_changed_breaks_nothing(name):
    """Seeds changed by their values stay inputs, no longer than they may be; the same change can be made again."""

    def plainly(data, most):
        return data[:most]

    for number, seed in enumerate(sorted(set(TARGETS[name].seeds()))):
        made = mutated(seed, 4096, number, plainly)
        assert made == mutated(seed, 4096, number, plainly)
        assert len(made) <= 4096
        TARGETS[name].feed(made)


def test_the_dictionary_is_one():
    """A line for each word, in quotes, with nothing in it that libFuzzer would not read."""
    lines = dictionary().splitlines()
    assert len(lines) == len(list(words()))
    assert all(line.isascii() and line.isprintable() and line.count('"') == 2 for line in lines)
