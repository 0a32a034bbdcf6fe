"""When work is turned away, and when it is let in again."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_proto.rules.shedding import SAMPLE_SECONDS, Shedding


def felt(rule, delays, *, start=0.0):
    """The rule after these delays, a sample each."""
    for index, delay in enumerate(delays):
        rule = rule.felt(delay, now=start + index * SAMPLE_SECONDS)
    return rule


def let_in(rule, requests):
    """How many of so many requests are let in."""
    count = 0
    for _ in range(requests):
        wait, rule = rule.admit()
        count += wait is None
    return count


def test_all_are_let_in_where_nothing_is_late():
    """And to ask changes nothing."""
    rule = felt(Shedding(0.1), [0.0, 0.1] * 50)
    assert rule.share == 1.0
    assert rule.admit() == (None, rule)


def test_a_burst_is_not_shed():
    """A queue that was short once in a window goes by itself."""
    assert felt(Shedding(0.1), [0.0, 9.0, 9.0, 9.0, 9.0] * 20).share == 1.0


def test_a_queue_that_stands_is_shed():
    """A window that was late throughout takes three in ten away, and the next of what is left."""
    late = felt(Shedding(0.1), [0.0] + [0.2] * 5)
    assert late.share == pytest.approx(0.7)
    assert let_in(late, 1000) in (699, 700)
    assert felt(late, [0.2] * 5, start=0.6).share == pytest.approx(0.49)


def test_what_is_as_late_as_it_may_be_is_not_shed():
    """The target itself is no delay too many."""
    assert felt(Shedding(0.1), [0.1] * 50).share == 1.0
    assert felt(Shedding(0.1), [0.11] * 50).share < 1.0


def test_a_window_ends_when_its_time_is_over():
    """Half a second after it began, and not before; the next begins there, and knows nothing of it."""
    rule = Shedding(0.1, lowest=0.2, until=2.0)
    assert rule.felt(0.3, now=1.9) == rule
    assert rule.felt(0.15, now=1.9) == Shedding(0.1, lowest=0.15, until=2.0)
    assert rule.felt(0.3, now=2.0) == Shedding(0.1, share=0.7, until=2.5)
    assert Shedding(0.1, share=0.5, lowest=0.0, until=2.0).felt(0.3, now=2.0) == Shedding(0.1, share=0.55, until=2.5)


def test_of_half_of_the_requests_every_other_is_let_in():
    """Evenly: none is drawn by lot."""
    rule, waits = Shedding(0.1, share=0.5), []
    for _ in range(4):
        wait, rule = rule.admit()
        waits.append(wait)
    assert waits == [5.0, None, 5.0, None]
    assert rule == Shedding(0.1, share=0.5)


def test_some_are_always_let_in():
    """However late: else nobody would find out that it is better."""
    rule = felt(Shedding(0.1), [5.0] * 500)
    assert rule.share == 0.05
    assert let_in(rule, 100) == 5


def test_who_is_turned_away_is_told_when_all_is_well_again():
    """If nothing is late from now on: after so long all are let in."""
    rule = felt(Shedding(0.1), [5.0] * 500)
    wait, rule = rule.admit()
    assert wait == pytest.approx(9.5)
    start = rule.until
    soon = felt(rule, [0.0] * round((wait - 0.5) / SAMPLE_SECONDS), start=start)
    assert soon.share < 1.0
    assert felt(rule, [0.0] * (round(wait / SAMPLE_SECONDS) + 1), start=start).share == 1.0


@given(st.lists(st.tuples(st.floats(-1, 10), st.floats(0, 3)), max_size=60), st.integers(1, 200))
def test_the_share_is_what_is_let_in(samples, requests):
    """Whatever was felt, and however many ask: within one of their share, and no share beyond its bounds."""
    rule, now = Shedding(0.25), 0.0
    for delay, passed in samples:
        now += passed
        rule = rule.felt(delay, now=now)
        assert 0.05 <= rule.share <= 1.0
    assert abs(let_in(rule, requests) - requests * Fraction(rule.share)) <= 1


@given(st.lists(st.floats(0, 0.25), max_size=100))
def test_what_is_in_time_is_never_shed(delays):
    """Up to the target, for as long as it may be."""
    assert felt(Shedding(0.25), delays).share == 1.0


@pytest.mark.parametrize("overload", [1.5, 3, 10])
def test_a_queue_stays_near_the_target(overload):
    """A server that does 1000 a second and is asked for more does not queue without end, and stays busy."""
    rule, queue, now, longest, done = Shedding(0.25), 0.0, 0.0, 0.0, 0.0
    while now < 60:
        asked = round(1000 * overload * SAMPLE_SECONDS)
        for _ in range(asked):
            wait, rule = rule.admit()
            queue += wait is None
        work = min(queue, 1000 * SAMPLE_SECONDS)
        queue -= work
        now += SAMPLE_SECONDS
        if now > 30:  # it has settled
            longest, done = max(longest, queue / 1000), done + work
        rule = rule.felt(queue / 1000, now=now)
    assert longest < 10 * 0.25
    assert done / 30 > 800
