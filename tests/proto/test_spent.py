"""Keys whose reply had to go."""

from asap_proto.stores.records import Slot
from asap_proto.stores.spent import Spent


def slot(key, caller="a"):
    return Slot(caller, key, b"")


def test_a_key_is_spent_until_its_time():
    """It is that of one caller alone, however the two would look when joined."""
    spent = Spent(2)
    assert not spent.has(slot("k"), now=0.0)
    spent.add(slot("k"), 10.0, now=0.0)
    assert [spent.has(slot("k"), now=now) for now in (0.0, 9.9, 10.0)] == [True, True, False]
    assert not spent.has(slot("k", "b"), now=0.0)
    assert not spent.has(slot("", "ak"), now=0.0)


def test_what_is_over_goes_as_others_come():
    """Two for each: however many came at once, they are gone in time."""
    spent = Spent(100)
    for number in range(100):
        spent.add(slot(str(number)), 10.0, now=0.0)
    for number in range(50):
        spent.add(slot(f"later {number}"), 30.0, now=20.0)
    assert len(spent) == 50


def test_there_are_no_more_than_so_many():
    """The oldest goes for the newest."""
    spent = Spent(2)
    for key in ("one", "two", "three"):
        spent.add(slot(key), 10.0, now=0.0)
    assert [spent.has(slot(key), now=0.0) for key in ("one", "two", "three")] == [False, True, True]


def test_a_key_that_is_spent_again_is_so_until_its_later_time():
    """The end of its first time does not end its second."""
    spent = Spent(100)
    spent.add(slot("k"), 10.0, now=0.0)
    spent.add(slot("k"), 25.0, now=5.0)
    spent.add(slot("other"), 30.0, now=20.0)
    assert [spent.has(slot("k"), now=now) for now in (20.0, 24.9, 25.0)] == [True, True, False]
    for number in range(3):
        spent.add(slot(str(number)), 45.0, now=35.0)
    assert len(spent) == 3
