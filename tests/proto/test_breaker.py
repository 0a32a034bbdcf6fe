"""When to stop asking a peer that keeps failing."""

from asap_proto.rules.breaker import Breaker


def failed(breaker, times, now=0.0):
    for _ in range(times):
        breaker = breaker.failed(now)
    return breaker


def test_a_closed_breaker_admits_all():
    """And stays the value it is while nothing fails."""
    breaker = Breaker()
    assert breaker.admit(0.0) == (True, breaker)
    assert breaker.succeeded() is breaker


def test_it_opens_at_the_threshold():
    """Four failures are borne, the fifth opens it."""
    assert failed(Breaker(), 4).state == "closed"
    assert failed(Breaker(), 5).state == "open"


def test_a_success_between_failures_counts_them_anew():
    """Only failures in a row open it."""
    assert failed(failed(Breaker(), 4).succeeded(), 4).state == "closed"


def test_open_admits_nobody_until_it_has_rested():
    """At the very end of its rest one may try."""
    breaker = failed(Breaker(), 5, now=10.0)
    assert breaker.admit(69.9) == (False, breaker)
    allowed, probing = breaker.admit(70.0)
    assert (allowed, probing.state) == (True, "probing")


def test_probing_admits_one_alone():
    """The others wait for what the probe finds."""
    _, probing = failed(Breaker(), 5, now=0.0).admit(60.0)
    assert probing.admit(60.0)[0] is False


def test_a_probe_closes_or_opens_it():
    """A success closes it whole; one failure opens it for another rest."""
    _, probing = failed(Breaker(), 5, now=0.0).admit(60.0)
    assert probing.succeeded() == Breaker()
    again = probing.failed(61.0)
    assert (again.state, again.open_until, again.failures) == ("open", 121.0, 6)


def test_a_probe_that_never_reports_is_given_up():
    """A caller that was cancelled does not shut the peer out for good."""
    _, probing = failed(Breaker(), 5, now=0.0).admit(60.0)
    assert probing.admit(120.0)[0] is True
