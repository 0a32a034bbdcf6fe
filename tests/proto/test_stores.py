"""What an agent remembers in memory, and that it is bounded."""

from asap_proto.limits import Limits
from asap_proto.rules.quota import Allowed, RetryAfter, parse_quota
from asap_proto.rules.slot import Busy, Fresh, Kept, Reused
from asap_proto.stores import MemoryNonces, MemoryQuotas, MemorySlots


def claim(store, nonce="n", sender="a", now=0.0):
    return store.claim(sender, nonce, now=now, until=now + 600)


def test_a_nonce_is_claimed_once():
    """By its sender; another's same nonce is another."""
    store = MemoryNonces()
    assert [claim(store), claim(store), claim(store, sender="b")] == ["claimed", "repeated", "claimed"]


def test_a_nonce_is_forgotten_at_its_time():
    """Until then it is remembered."""
    store = MemoryNonces()
    claim(store)
    assert claim(store, now=599.9) == "repeated"
    assert claim(store, now=600.0) == "claimed"


def test_a_full_store_refuses_rather_than_forgets():
    """To forget a nonce early would let its envelope in again; the oldest go when they are over."""
    store = MemoryNonces(Limits(nonces=2))
    assert [claim(store, nonce) for nonce in "xyz"] == ["claimed", "claimed", "full"]
    assert claim(store, "x") == "repeated"
    assert claim(store, "z", now=600.0) == "claimed"


def test_an_expired_nonce_that_still_stands_there_is_claimed_anew():
    """Two are forgotten at each claim; one left over from before does not count."""
    store = MemoryNonces(Limits(nonces=5))
    for nonce in "uvwxy":
        claim(store, nonce)
    assert claim(store, "y", now=600.0) == "claimed"
    assert claim(store, "y", now=700.0) == "repeated"


def open_slot(store, key="k", digest=b"d", now=0.0, until=100.0):
    return store.open(("a", key), digest, now=now, until=until)


def test_a_slot_is_busy_then_kept():
    """Its reply is there for whoever asks the same again, and for nobody else."""
    store = MemorySlots()
    assert [open_slot(store), open_slot(store), open_slot(store, digest=b"other")] == [Fresh(), Busy(), Reused()]
    store.keep(("a", "k"), b"reply", until=200.0)
    assert [open_slot(store), open_slot(store, digest=b"other")] == [Kept(b"reply"), Reused()]
    assert open_slot(store, now=200.0) == Fresh()


def test_a_slot_that_was_freed_is_fresh():
    """Work that another try may mend runs again; what was never open is no trouble."""
    store = MemorySlots()
    store.free(("a", "k"))
    store.keep(("a", "k"), b"reply", until=200.0)
    assert open_slot(store) == Fresh()
    store.free(("a", "k"))
    assert open_slot(store) == Fresh()


def test_when_full_the_oldest_reply_goes():
    """Replies make room for new work."""
    store = MemorySlots(Limits(slots=2))
    for key in "xyz":
        open_slot(store, key)
        store.keep(("a", key), b"reply", until=200.0)
    assert [open_slot(store, key) for key in "zy"] == [Kept(b"reply"), Kept(b"reply")]
    assert open_slot(store, "x") == Fresh()


def test_when_full_of_running_work_the_next_waits():
    """Running work is never forgotten."""
    store = MemorySlots(Limits(slots=1))
    assert open_slot(store, "x") == Fresh()
    assert open_slot(store, "y") == Busy()
    store.free(("a", "x"))
    assert open_slot(store, "y") == Fresh()


def test_work_that_was_cut_off_makes_room_in_the_end():
    """A slot that nobody keeps nor frees ends at its time, even if its key never comes again."""
    store = MemorySlots(Limits(slots=2))
    open_slot(store, "x", until=100.0)
    open_slot(store, "y", now=50.0, until=150.0)
    assert open_slot(store, "z", now=99.9, until=200.0) == Busy()
    assert open_slot(store, "z", now=100.0, until=200.0) == Fresh()
    assert open_slot(store, "w", now=100.0, until=200.0) == Busy()


def test_work_that_was_cut_off_runs_again_in_the_end():
    """A busy slot whose time is over is opened anew, for this request or another."""
    store = MemorySlots()
    open_slot(store, until=100.0)
    assert open_slot(store, now=99.9) == Busy()
    assert open_slot(store, digest=b"other", now=100.0, until=200.0) == Fresh()
    assert open_slot(store, digest=b"other", now=100.0) == Busy()


def test_replies_are_bounded_by_their_bytes():
    """The oldest go until the rest fits; a reply that is over gives its bytes back."""
    store = MemorySlots(Limits(slot_bytes=10))
    for key, size in (("x", 4), ("y", 6), ("z", 1)):
        open_slot(store, key)
        store.keep(("a", key), b"r" * size, until=200.0)
    assert open_slot(store, "y") == Kept(b"r" * 6)
    assert open_slot(store, "x") == Fresh()
    store.keep(("a", "x"), b"r" * 3, until=200.0)
    assert open_slot(store, "y") == Kept(b"r" * 6)


def test_a_reply_larger_than_all_room_is_not_kept():
    """Nothing is remembered beyond the bound."""
    store = MemorySlots(Limits(slot_bytes=10))
    open_slot(store)
    store.keep(("a", "k"), b"r" * 11, until=200.0)
    assert open_slot(store) == Fresh()


def test_a_quota_is_each_callers_own():
    """What one caller spends, another still has."""
    store = MemoryQuotas(parse_quota("1/second"))
    assert store.spend("a", 1, now=0.0) == Allowed()
    assert store.spend("a", 1, now=0.0) == RetryAfter(1.0, "1/second", 1)
    assert store.spend("b", 1, now=0.0) == Allowed()


def test_the_caller_unseen_for_longest_is_forgotten():
    """Only so many callers are remembered; a forgotten one finds full buckets."""
    store = MemoryQuotas(parse_quota("1/day"), Limits(callers=2))
    for caller in "aba":
        store.spend(caller, 1, now=0.0)
    store.spend("c", 1, now=0.0)
    assert store.spend("a", 1, now=0.0) != Allowed()
    assert store.spend("b", 1, now=0.0) == Allowed()
