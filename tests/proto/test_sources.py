"""Time and chance are handed in."""

from asap_proto.sources import Clock, Sources, Tokens
from asap_testkit import CountingTokens, FixedClock


def test_a_role_is_given_its_clock_and_tokens():
    """Anything with the right methods will do."""
    clock: Clock = FixedClock()
    tokens: Tokens = CountingTokens()
    assert Sources(clock, tokens).clock is clock
    assert Sources(clock, tokens).tokens is tokens
