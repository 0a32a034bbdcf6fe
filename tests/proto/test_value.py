"""What all nouns have in common."""

import attrs
import pytest

from asap_proto.errors import InvalidValue
from asap_proto.model import TaskCancel, TaskRequest, TextPart
from asap_proto.model._value import SOME, between, length


def test_nouns_are_equal_by_class_and_fields():
    """Two classes with the same fields differ."""
    assert TaskCancel("t") == TaskCancel("t", None)
    assert TaskCancel("t") != TaskCancel("u")
    assert TextPart("t") != TaskCancel("t")
    assert TextPart("t") != "t"


def test_equal_nouns_hash_alike():
    """So they find each other in a set; one that holds an object can't be hashed, as the object can't."""
    assert len({TaskCancel("t"), TaskCancel("t"), TextPart("t")}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(TaskRequest("c", "s", {}))


def test_nouns_show_their_fields():
    """Each field stands in the repr, as it would be written."""
    assert repr(TaskCancel("t")) == "TaskCancel(task_id='t', reason=None)"


def test_nouns_are_frozen():
    """No field can be set, and none added."""
    noun = TaskCancel("t")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        noun.task_id = "u"
    with pytest.raises((AttributeError, attrs.exceptions.FrozenInstanceError)):
        noun.other = 1


def test_evolving_checks_again():
    """A changed copy obeys the same rules."""
    assert attrs.evolve(TaskCancel("t"), reason="r") == TaskCancel("t", "r")
    with pytest.raises(InvalidValue):
        attrs.evolve(TaskCancel("t"), task_id="x" * 4097)


def test_a_rule_names_the_field():
    """Whoever makes a wrong noun learns which field is wrong, and why."""
    with pytest.raises(InvalidValue, match="at most 4096") as caught:
        TaskCancel("x" * 4097)
    [fault] = caught.value.faults
    assert (fault.path, fault.type) == ("$.task_id", "too_long")


def test_rules_answer_what_is_wrong_or_nothing():
    """Lengths, ranges and emptiness, each at its edge."""
    assert length(3).check("abc") is None
    assert length(3).check("abcd") == "has 4 characters; at most 3 are allowed"
    assert between(1).check(1) is None
    assert between(1).check(0) == "is 0; expected at least 1"
    assert between(0, 10).check(10) is None
    assert between(0, 10).check(11) == "is 11; expected 0 to 10"
    assert SOME.check(("a",)) is None
    assert SOME.check(()) == "is empty; at least one item is required"
