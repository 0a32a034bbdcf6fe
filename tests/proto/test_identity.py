"""Whether a caller may speak for a sender."""

import pytest

from asap_proto.errors import SenderMismatch
from asap_proto.rules.identity import Identity, check_sender
from asap_testkit import ME, PEER


@pytest.mark.proves("auth.sender")
def test_a_caller_speaks_for_itself_alone():
    """The sender is the agent that the credentials name."""
    check_sender(ME, caller=Identity(ME))
    with pytest.raises(SenderMismatch) as caught:
        check_sender(PEER, caller=Identity(ME))
    assert caught.value.path == "$.sender"
    assert "credentials" in caught.value.message


def test_where_nobody_is_asked_who_they_are_all_may_speak():
    """An agent without credentials believes the sender."""
    check_sender(PEER, caller=None)
