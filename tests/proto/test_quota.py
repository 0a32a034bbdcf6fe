"""Rate limits as arithmetic."""

import pytest

from asap_proto.errors import InvalidValue
from asap_proto.rules.quota import Allowed, Quota, Rate, RetryAfter, parse_quota


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
    """The answers to spending at these times, in order, and what is left."""
    buckets = buckets or quota.full(times[0])
    answers = []
    for now in times:
        answer, buckets = quota.spend(buckets, now=now, cost=cost)
        answers.append(answer)
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


def test_a_look_takes_nothing():
    """And finds out whether one more could be spent."""
    quota = parse_quota("1/second")
    assert spend(quota, [0, 0], cost=0)[0] == [Allowed(), Allowed()]
    _, empty = spend(quota, [0])
    assert spend(quota, [0], buckets=empty, cost=0)[0] == [RetryAfter(1.0, "1/second", 1)]
