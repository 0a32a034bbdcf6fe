"""Nonces in memory: claimed once, bounded, and none forgotten before its time."""

import pytest

from asap_proto.limits import Limits
from asap_proto.rules.slot import Fresh
from asap_proto.stores import MemoryState, Refused
from asap_testkit.records import T, nonce_of


def claim(store, nonce="n", sender="a", now=T):
    return store.accept(None, nonce_of(nonce, sender, now + 600), (), now=now)


def test_a_nonce_is_claimed_once():
    """By its sender; another's same nonce is another. What asks for nothing is let through."""
    store = MemoryState()
    assert [claim(store), claim(store), claim(store, sender="b")] == [Fresh(), Refused("repeated"), Fresh()]
    assert store.accept(None, None, (), now=T) == Fresh()


def test_a_nonce_is_forgotten_at_its_time():
    """Until then it is remembered."""
    store = MemoryState()
    claim(store)
    assert claim(store, now=T + 599.9) == Refused("repeated")
    assert claim(store, now=T + 600.0) == Fresh()


def test_a_full_store_refuses_nonces_rather_than_forget_them():
    """To forget a nonce early would let its envelope in again; the oldest go when they are over."""
    store = MemoryState(Limits(nonces=2))
    assert [claim(store, nonce) for nonce in "xyz"] == [Fresh(), Fresh(), Refused("nonces full")]
    assert claim(store, "x") == Refused("repeated")
    assert claim(store, "z", now=T + 600.0) == Fresh()


def test_one_sender_locks_nobody_else_out():
    """Who has as many nonces as one may have waits for its own; whoever else has room goes on."""
    store = MemoryState(Limits(nonces=4, nonces_each=2))
    assert [claim(store, nonce) for nonce in "xyz"] == [Fresh(), Fresh(), Refused("nonces full")]
    assert [claim(store, nonce, "b", T + 1.0) for nonce in "xy"] == [Fresh()] * 2
    assert [claim(store, nonce, now=T + 600.0) for nonce in "zyx"] == [Fresh(), Fresh(), Refused("nonces full")]
    assert claim(store, "z", "b", T + 600.0) == Refused("nonces full")


def test_an_expired_nonce_that_still_stands_there_is_claimed_anew():
    """Two are forgotten at each claim; one left over from before does not count."""
    store = MemoryState(Limits(nonces=5))
    for nonce in "uvwxy":
        claim(store, nonce)
    assert claim(store, "y", now=T + 600.0) == Fresh()
    assert claim(store, "y", now=T + 700.0) == Refused("repeated")


def test_forget_makes_room_for_nonces_too():
    """As many as it is told, where a claim alone would forget two."""
    store = MemoryState(Limits(nonces=4))
    for nonce in "uvwx":
        claim(store, nonce)
    store.forget(now=T + 600.0, most=4)
    assert [claim(store, nonce, now=T + 600.0) for nonce in "abcd"] == [Fresh()] * 4


@pytest.mark.parametrize(("others", "first"), [(1001, Fresh()), (1002, Refused("nonces full"))])
def test_a_claim_without_room_looks_for_a_thousand_that_are_over(others, first):
    """Beside the two that each looks for: its sender's own may stand behind those of others. The next goes on there."""
    store = MemoryState(Limits(nonces_each=1))
    for n in range(others):
        claim(store, sender=f"other {n}")
    claim(store)
    assert claim(store, "m", now=T + 599.9) == Refused("nonces full")
    assert claim(store, "m", now=T + 600.0) == first
    assert claim(store, "m", now=T + 600.0) == (Refused("repeated") if first == Fresh() else Fresh())


@pytest.mark.parametrize("sender", ["one", "many"])
def test_however_many_nonces_there_are_they_lie_in_small_tables(sender):
    """A table that grows is moved as a whole, and the claim that lets it grow would have to wait for that."""
    store = MemoryState()
    for n in range(20_000):
        claim(store, f"nonce {n}" if sender == "one" else "nonce", f"sender {0 if sender == 'one' else n}")
    assert len(store._nonces) == 20_000
    assert max(len(table) for table in (*store._nonces._until, *store._nonces._senders)) < 500
