"""Which failures deserve another try, and when."""

import pytest

from asap_proto.errors import MalformedEnvelope, PeerUnreachable, RateLimited
from asap_proto.rules.retry import RetryRule

RULE = RetryRule()
AWAY = PeerUnreachable("refused")


def test_what_may_pass_is_tried_three_times():
    """Three tries, not three retries."""
    assert [RULE.again(AWAY, attempt=attempt) for attempt in (1, 2, 3)] == [True, True, False]


def test_what_will_not_pass_is_tried_once():
    """The same wrong request is not sent again."""
    assert not RULE.again(MalformedEnvelope("no"), attempt=1)


def test_pauses_double_up_to_a_cap():
    """1, 2, 4 ... seconds, never more than a minute; a rule of a thousand tries does not overflow."""
    pauses = [RULE.pause(AWAY, attempt=attempt, jitter=0.0) for attempt in (1, 2, 3, 7, 5000)]
    assert pauses == [1.0, 2.0, 4.0, 60.0, 60.0]


def test_jitter_adds_up_to_a_tenth():
    """Those who wait together come back apart."""
    assert RULE.pause(AWAY, attempt=1, jitter=0.5) == pytest.approx(1.05)


@pytest.mark.proves("client.retry-after")
@pytest.mark.parametrize(
    ("asked", "pause"), [(5, 5.0), (0.5, 0.5), (61, 60.0), (1e300, 60.0), (0, 1.0), (-1, 1.0), ("soon", 1.0)]
)
def test_a_peer_may_ask_for_a_pause_within_reason(asked, pause):
    """Retry-After counts, up to the cap; nonsense does not."""
    assert RULE.pause(RateLimited("no", facts={"retry_after": asked}), attempt=1, jitter=0.0) == pause
