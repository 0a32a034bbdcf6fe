"""Bearer tokens, shown and verified."""

import asyncio

import pytest

from asap_adapters._shared.bearer import Bearer, BearerToken
from asap_adapters.auth.known import known_tokens
from asap_proto.errors import InvalidValue
from asap_proto.http import HttpRequest
from asap_testkit import NOW

from .given import ALI, URN, head


def shown(token):
    added = BearerToken(token).headers(HttpRequest("POST", "/asap"), "https://peer.example", now=NOW, nonce="n")
    return head(**added)


def test_who_holds_the_token_is_let_in():
    """What our client shows, our agent takes."""
    bearer = Bearer(known_tokens({"open sesame": URN}))
    assert bearer.verify(shown("open sesame"), NOW) == ALI
    assert bearer.verify(shown("open barley"), NOW) is None
    assert bearer.verify(head(), NOW) is None


def test_the_validator_is_not_asked_without_a_token():
    """Credentials of another scheme are not its business."""
    asked = []
    bearer = Bearer(asked.append)
    bearer.verify(head(authorization="Basic YTpi"), NOW)
    bearer.verify(head(authorization="Bearer "), NOW)
    assert asked == []
    bearer.verify(head(authorization="Bearer a"), NOW)
    assert asked == ["a"]


def test_a_validator_that_waits():
    """One that is ``async def`` is awaited by whoever can."""

    async def validate(token):
        return URN if token == "good" else None

    bearer = Bearer(validate)
    assert asyncio.run(bearer.verify(shown("good"), NOW)) == ALI
    assert asyncio.run(bearer.verify(shown("bad"), NOW)) is None


def test_a_validator_that_fails_is_heard():
    """What it raises goes to whoever asked, who writes it down and lets nobody in."""

    def validate(token):
        raise OSError("the directory is down")

    with pytest.raises(OSError, match="directory"):
        Bearer(validate).verify(shown("good"), NOW)


def test_scheme_and_challenge():
    """The name in lower case, and what a refusal says of it."""
    bearer = Bearer(known_tokens({}))
    assert (bearer.scheme, bearer.challenge) == ("bearer", "Bearer")


@pytest.mark.parametrize(
    "token", ["", " ", "s3same ", " s3same", "s3same\n", "s3same\r\nX-Header: b", "s3samé", "s3same\0b"]
)
def test_a_token_that_no_header_can_carry(token):
    """It is refused at once, and not shown."""
    with pytest.raises(InvalidValue) as caught:
        BearerToken(token)
    assert "s3sam" not in str(caught.value)


def test_a_token_is_not_shown():
    """Not where the credentials are printed."""
    assert "sesame" not in repr(BearerToken("open sesame"))
