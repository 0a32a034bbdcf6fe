"""Rate limits as arithmetic."""

import math

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from asap_proto.errors import InvalidValue
from asap_proto.rules.quota import Allowed, Left, Quota, Rate, RetryAfter, parse_quota


@pytest.mark.proves("quota.grammar")
@pytest.mark.parametrize(
    ("text", "rates"),
    [
        ("10/second;100/minute", (Rate(10, 1), Rate(100, 60))),
        ("1/hour", (Rate(1, 3600),)),
        (" 5 / days ", (Rate(5, 86_400),)),
        ("999999999/second", (Rate(999_999_999, 1),)),
    ],
)
def test_quotas_that_are_understood(text, rates):
    """Counts per unit, joined by semicolons."""
    assert parse_quota(text) == Quota(rates, text)


@pytest.mark.proves("quota.grammar")
@pytest.mark.parametrize(
    "text",
    ["", ";", "10", "10/fortnight", "0/second", "-1/second", "1.5/second", "10/second;", "9" * 10 + "/day", "٣/day"],
)
def test_quotas_that_are_not(text):
    """All else is refused with an example."""
    with pytest.raises(InvalidValue, match="10/second;100/minute"):
        parse_quota(text)


def spend(quota, times, *, buckets=None, cost=1):
    """The answers to spending at these times, in order, without what they say is left, and the buckets."""
    buckets = buckets or quota.full(times[0])
    answers = []
    for now in times:
        answer, buckets = quota.spend(buckets, now=now, cost=cost)
        answers.append(evolve(answer, left=()))
    return answers, buckets


def test_as_many_as_the_count_may_come_at_once():
    """The next has to wait for one token, and no longer."""
    quota = parse_quota("2/second")
    answers, buckets = spend(quota, [0, 0, 0])
    assert answers == [Allowed(), Allowed(), RetryAfter(0.5, "2/second", 2)]
    assert spend(quota, [0.5], buckets=buckets)[0] == [Allowed()]


def test_all_rates_hold_at_once():
    """What one bucket refuses costs nothing in the other; the longer wait is told."""
    quota = parse_quota("2/second;3/minute")
    answers, buckets = spend(quota, [0, 0, 0, 1, 1])
    assert answers[:2] == [Allowed(), Allowed()]
    assert answers[2] == RetryAfter(0.5, quota.text, 2)
    assert answers[3] == Allowed()
    assert answers[4].seconds == pytest.approx(19)
    assert buckets.levels == (pytest.approx(1), pytest.approx(0.05))


@pytest.mark.parametrize("text", ["1/second;1/minute", "1/minute;1/second"])
def test_the_longest_wait_is_told(text):
    """Whichever rate stands first."""
    assert spend(parse_quota(text), [0, 0])[0] == [Allowed(), RetryAfter(60.0, text, 1)]


def test_buckets_never_hold_more_than_their_count():
    """A caller that was quiet for a day has no more than a full bucket."""
    quota = parse_quota("2/second")
    assert spend(quota, [0, 86_400])[1].levels == (1.0,)


def test_time_that_goes_back_refills_nothing():
    """A clock that jumps back gives no tokens and takes none."""
    quota = parse_quota("2/second")
    assert spend(quota, [10, 5])[1].levels == (0.0,)


def test_a_cost_that_no_bucket_can_hold():
    """It is told how much the bucket holds."""
    quota = parse_quota("2/second")
    assert spend(quota, [0], cost=3)[0] == [RetryAfter(0.0, "2/second", 2)]
    _, buckets = spend(quota, [0, 0])
    assert spend(quota, [0], buckets=buckets, cost=3)[0] == [RetryAfter(1.0, "2/second", 2)]


def test_buckets_of_another_quota_are_not_spent_from():
    """Neither of one with more rates, nor of one with fewer: that would hold some of them only."""
    one, two = parse_quota("1/second"), parse_quota("1/second;1/minute")
    for quota, other in ((one, two), (two, one)):
        with pytest.raises(ValueError, match="zip"):
            quota.spend(other.full(0), now=0)


def test_a_look_takes_nothing():
    """And finds out whether one more could be spent."""
    quota = parse_quota("1/second")
    assert spend(quota, [0, 0], cost=0)[0] == [Allowed(), Allowed()]
    _, empty = spend(quota, [0])
    assert spend(quota, [0], buckets=empty, cost=0)[0] == [RetryAfter(1.0, "1/second", 1)]


def test_a_time_that_went_back_does_not_count_twice():
    """Threads may come out of order: what has flowed in once does not flow in again."""
    quota = parse_quota("1/second")
    _, buckets = spend(quota, [10, 5])
    assert spend(quota, [10.5], buckets=buckets)[0] == [RetryAfter(0.5, "1/second", 1)]


def test_what_was_paid_in_vain_is_given_back():
    """Even where there is nothing left; no bucket holds more than its count for that."""
    quota = parse_quota("2/second")
    _, empty = spend(quota, [0, 0])
    assert spend(quota, [0], buckets=empty, cost=-1) == ([Allowed()], evolve(empty, levels=(1.0,)))
    assert spend(quota, [0, 0, 0], buckets=empty, cost=-1)[1].levels == (2.0,)


@pytest.mark.proves("quota.left")
def test_what_is_left_is_told():
    """Of each rate: so many requests now, and when the whole bucket is there again; refused or not."""
    quota = parse_quota("2/second;3/minute")
    second, minute = quota.rates
    answer, buckets = quota.spend(quota.full(0), now=0, cost=2)
    assert answer == Allowed((Left(second, 0, 1.0), Left(minute, 1, 40.0)))
    refused, _ = quota.spend(buckets, now=0.25)
    assert refused == RetryAfter(0.25, quota.text, 2, (Left(second, 0, 0.75), Left(minute, 1, 39.75)))


@given(
    st.lists(
        st.tuples(st.integers(1, 1000), st.sampled_from(["second", "minute", "hour", "day"])), min_size=1, max_size=3
    ),
    st.lists(st.floats(0, 90), max_size=30),
    st.floats(0, 1e9),
)
def test_who_waits_as_long_as_told_is_let_in(rates, pauses, start):
    """After the whole seconds of Retry-After; a second less is not enough. What is left can be spent, and no more."""
    quota = parse_quota(";".join(f"{count}/{unit}" for count, unit in rates))
    buckets, now = quota.full(start), start
    for pause in pauses:
        now += pause
        answer, buckets = quota.spend(buckets, now=now)
        most = min(left.requests for left in answer.left)
        if most:
            assert isinstance(quota.spend(buckets, now=now, cost=most)[0], Allowed)
        refused, _ = quota.spend(buckets, now=now, cost=most + 1)
        assert isinstance(refused, RetryAfter)
        if most < refused.most:
            wait = max(1, math.ceil(refused.seconds))
            assert isinstance(quota.spend(buckets, now=now + wait, cost=most + 1)[0], Allowed)
            assert wait == 1 or isinstance(quota.spend(buckets, now=now + wait - 1, cost=most + 1)[0], RetryAfter)
