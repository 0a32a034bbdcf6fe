"""Agent URNs."""

import pytest

from asap_proto.errors import InvalidValue
from asap_proto.model import agent_urn
from asap_proto.model.urn import _KNOWN, _KNOWN_MOST

HEAD = "urn:asap:agent:"


@pytest.mark.proves("urn.shape")
@pytest.mark.parametrize("name", ["a", "-", "0", "a-b", "a:b", "0-9:-", "x" * 241])
def test_names_and_one_part_pass(name):
    """Lower-case letters, digits and hyphens, and at most one further part of the same."""
    assert agent_urn(HEAD + name) == HEAD + name


@pytest.mark.proves("urn.shape", "urn.no-newline")
@pytest.mark.parametrize("name", ["", "A", "a_b", "a.b", "a:", ":a", "a:b:c", "a\n", "a b", "ä", "a:b\n", "a\r", "٣"])
def test_all_else_is_refused(name):
    """Upper case, other signs, empty or third parts, and a trailing newline are refused."""
    with pytest.raises(InvalidValue, match="is no agent URN") as caught:
        agent_urn(HEAD + name)
    assert caught.value.path == "$"


@pytest.mark.parametrize("text", ["", "urn:asap:agent", "URN:ASAP:AGENT:a", "urn:asap:skill:a", " urn:asap:agent:a"])
def test_the_head_is_exact(text):
    """What does not begin with urn:asap:agent: is another name."""
    with pytest.raises(InvalidValue):
        agent_urn(text)


def test_a_long_text_is_not_repeated():
    """The message of an error does not grow with what was refused."""
    with pytest.raises(InvalidValue) as caught:
        agent_urn(HEAD + "x" * 100_000)
    assert len(caught.value.message) < 400


def test_valid_urns_are_remembered_within_bounds():
    """A flood of valid names costs no memory without end, and each is still found valid."""
    for number in range(2 * _KNOWN_MOST):
        assert agent_urn(f"{HEAD}flood-{number}")
        assert len(_KNOWN) <= _KNOWN_MOST
