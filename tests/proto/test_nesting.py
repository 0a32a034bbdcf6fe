"""How deep a subtask may go."""

import pytest

from asap_proto.errors import NestedTooDeep
from asap_proto.rules.nesting import check_depth, child_depth, depth_of


@pytest.mark.proves("task.depth")
@pytest.mark.parametrize(("extensions", "depth"), [(None, 0), ({}, 0), ({"other": 1}, 0), ({"task_depth": 10}, 10)])
def test_a_request_says_how_deep_it_is(extensions, depth):
    """Without a word it is at the top."""
    assert depth_of(extensions) == depth


@pytest.mark.parametrize("depth", [-1, 11, True, 1.0, "1", None, [], 2**64 - 1])
def test_no_other_depth_is_believed(depth):
    """What is no whole number from 0 to 10 is refused."""
    with pytest.raises(NestedTooDeep) as caught:
        depth_of({"task_depth": depth})
    assert caught.value.path == "$.extensions.task_depth"
    assert "depth" in caught.value.message


@pytest.mark.proves("task.depth")
def test_a_child_is_one_deeper():
    """A subtask of a task at depth 9 is the last that may be."""
    assert child_depth(9) == 10
    with pytest.raises(NestedTooDeep) as caught:
        child_depth(10)
    assert caught.value.facts == {"depth": 11, "most": 10}
    assert "depth 11" in caught.value.message


def test_a_deployment_may_allow_less():
    """`most` lowers the bound for what is received."""
    assert check_depth(2, most=2) == 2
    with pytest.raises(NestedTooDeep):
        depth_of({"task_depth": 3}, most=2)


def test_a_deployment_may_allow_less_to_its_own_tasks():
    """`most` lowers the bound for subtasks too, and may raise it."""
    assert child_depth(1, most=2) == 2
    assert child_depth(10, most=11) == 11
    with pytest.raises(NestedTooDeep):
        child_depth(2, most=2)
