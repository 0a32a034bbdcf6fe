"""Who of a server's callers makes room, and whose time is over: told the time, with no connection at all."""

import math

import pytest

from asap_adapters._shared.crowd import Crowd
from asap_proto.limits import Limits


def crowd(**limits):
    return Crowd(Limits(**{"header_seconds": 10.0, "idle_seconds": 20.0, "connections": 3} | limits))


def test_nobody_makes_room_while_there_is_some():
    """The bound itself still fits."""
    all_of_them = crowd()
    assert [all_of_them.come(one, 0.0) for one in "abc"] == [None] * 3
    all_of_them.go("b")
    assert all_of_them.come("d", 0.0) is None
    assert all_of_them.members == {"a", "c", "d"}


def test_who_was_answered_longest_ago_makes_room():
    """An answer puts its caller last; whoever waits for one is not asked."""
    all_of_them = crowd()
    for one in "abc":
        all_of_them.come(one, 0.0)
    all_of_them.ask("a")
    all_of_them.answer("a", 1.0)
    all_of_them.ask("b")
    assert all_of_them.come("d", 2.0) == "c"
    assert all_of_them.come("e", 2.0) == "a"
    assert all_of_them.members == {"b", "d", "e"}


def test_who_comes_last_goes_where_all_wait():
    """Nobody who waits for an answer is sent away for somebody who has not asked yet."""
    all_of_them = crowd()
    for one in "abc":
        all_of_them.come(one, 0.0)
        all_of_them.ask(one)
    assert all_of_them.come("d", 0.0) == "d"


def test_a_head_is_late():
    """From when its caller came, and anew from the first byte of it, however it drips."""
    all_of_them = crowd()
    all_of_them.come("a", 0.0)
    all_of_them.come("b", 1.0)
    assert all_of_them.late(9.9) == []
    assert all_of_them.late(10.0) == ["a"]
    all_of_them.hear("a", 9.0, begins=False)
    assert all_of_them.late(10.0) == ["a"]
    all_of_them.hear("a", 9.0, begins=True)
    all_of_them.hear("a", 15.0, begins=False)
    assert all_of_them.late(11.0) == ["b"]
    assert all_of_them.late(19.0) == ["b", "a"]
    all_of_them.listen("a")
    all_of_them.listen("b")
    assert all_of_them.late(math.inf) == []


def test_who_was_answered_is_idle():
    """Until something comes of it, which then has the time of a head."""
    all_of_them = crowd()
    all_of_them.come("a", 0.0)
    all_of_them.listen("a")
    all_of_them.answer("a", 5.0)
    assert all_of_them.waited_for == ["a"]
    assert all_of_them.late(24.9) == []
    assert all_of_them.late(25.0) == ["a"]
    all_of_them.hear("a", 24.0, begins=False)
    assert all_of_them.late(33.9) == []
    assert all_of_them.late(34.0) == ["a"]
    all_of_them.go("a")
    assert all_of_them.waited_for == []


@pytest.mark.parametrize(("head", "idle", "look"), [(10.0, 20.0, 10.0), (20.0, 10.0, 10.0), (0.0, 20.0, 0.05)])
def test_it_is_looked_in_time_for_who_may_come(head, idle, look):
    """With nobody there, as soon as somebody who comes now can be late; and never without a pause."""
    assert crowd(header_seconds=head, idle_seconds=idle).next_look(0.0) == look


def test_it_is_looked_when_the_first_is_late():
    """Not before somebody can be."""
    all_of_them = crowd()
    all_of_them.come("a", 0.0)
    all_of_them.come("b", 4.0)
    assert all_of_them.next_look(5.0) == 10.0
    all_of_them.listen("a")
    assert all_of_them.next_look(5.0) == 14.0
    all_of_them.answer("a", 5.0)
    assert all_of_them.next_look(12.0) == 14.0


def test_times_without_end():
    """Nobody is late, and it is never looked."""
    all_of_them = crowd(header_seconds=math.inf, idle_seconds=math.inf)
    all_of_them.come("a", 0.0)
    assert all_of_them.late(1e9) == []
    assert all_of_them.next_look(1e9) == math.inf
