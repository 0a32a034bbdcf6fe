"""The reply slot."""

from asap_proto.rules.slot import Busy, Fresh, Kept, Reused, Slot, keep, look

SLOT = Slot(b"digest", until=10.0)


def test_absent_busy_kept():
    """A request finds nothing, then that it is running, then its reply."""
    assert look(None, digest=b"digest", now=0.0) == Fresh()
    assert look(SLOT, digest=b"digest", now=0.0) == Busy()
    assert look(keep(SLOT, b"reply", until=20.0), digest=b"digest", now=0.0) == Kept(b"reply")


def test_every_slot_ends():
    """At its time exactly, busy or kept, it is as if it never was."""
    assert look(SLOT, digest=b"digest", now=9.9) == Busy()
    assert look(SLOT, digest=b"digest", now=10.0) == Fresh()
    assert look(keep(SLOT, b"reply", until=20.0), digest=b"digest", now=20.0) == Fresh()


def test_one_key_can_not_fetch_another_requests_reply():
    """A key that stands for another request answers nothing of it, whether it is running or done."""
    assert look(SLOT, digest=b"other", now=0.0) == Reused()
    assert look(keep(SLOT, b"reply", until=20.0), digest=b"other", now=0.0) == Reused()
    assert look(SLOT, digest=b"other", now=10.0) == Fresh()
