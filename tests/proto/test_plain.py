"""Plain values: compared, hashed and shown by their fields."""

from asap_proto.plain import plain
from asap_proto.roles import Invoke, Observe, Pause
from asap_proto.rules.slot import Busy, Fresh, Reused


@plain
class Point:
    x: int
    y: int = 0


def test_plain_values_are_equal_by_class_and_fields():
    """An answer without fields is not another answer without fields."""
    assert Point(1) == Point(1, 0)
    assert Point(1) != Point(2)
    assert Fresh() != Reused()
    assert Busy("a") != "a"


def test_equal_values_hash_alike():
    """So they find each other in a set."""
    assert len({Point(1), Point(1, 0), Point(2)}) == 2
    assert len({Fresh(), Fresh(), Reused()}) == 2


def test_a_value_shows_its_fields():
    """As it would be written."""
    assert repr(Pause(0.5)) == "Pause(seconds=0.5)"


def test_a_value_has_no_other_fields():
    """It is slotted."""
    assert not hasattr(Point(1), "__dict__")


def test_values_match_by_position():
    """As the fronts match commands."""
    match Pause(0.5):
        case Invoke() | Observe():
            matched = None
        case Pause(seconds):
            matched = seconds
    assert matched == 0.5
