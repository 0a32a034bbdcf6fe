"""Whether a reply answers the request it came for."""

import pytest

from asap_proto.errors import MispairedReply
from asap_proto.rules.pairing import check_pair
from asap_testkit import ME, PEER, letter

OTHER = "urn:asap:agent:other"


def reply(sender=PEER, recipient=ME, correlation_id="letter-1"):
    return letter(sender=sender, recipient=recipient, correlation_id=correlation_id)


@pytest.mark.proves("reply.pairing")
@pytest.mark.parametrize("correlation_id", ["letter-1", None])
def test_a_reply_that_fits(correlation_id):
    """It comes from whom we asked, to us, and names our request or, as old releases do, none."""
    answer = reply(correlation_id=correlation_id)
    assert check_pair(letter(), answer) is answer


@pytest.mark.proves("reply.pairing")
@pytest.mark.parametrize(
    ("answer", "path", "told"),
    [
        (reply(correlation_id="letter-2"), "$.correlation_id", "'letter-2', not 'letter-1'"),
        (reply(correlation_id=""), "$.correlation_id", "'', not 'letter-1'"),
        (reply(sender=OTHER), "$.sender", f"{OTHER} answered what was sent to {PEER}"),
        (reply(recipient=OTHER), "$.recipient", OTHER),
    ],
)
def test_a_reply_that_does_not_fit(answer, path, told):
    """Another request's, another agent's or someone else's reply is not believed; whoever looks is told whose it is."""
    with pytest.raises(MispairedReply) as caught:
        check_pair(letter(), answer)
    assert caught.value.path == path
    assert told in caught.value.message
