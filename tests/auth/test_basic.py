"""User and password, shown and verified."""

import asyncio
import base64

import pytest

from asap_adapters.auth.basic import Basic, BasicLogin
from asap_adapters.auth.known import known_logins
from asap_proto.errors import InvalidValue
from asap_proto.http import HttpRequest
from asap_testkit import NOW

from .given import ALI, URN, head


def shown(user, password):
    added = BasicLogin(user, password).headers(HttpRequest("POST", "/asap"), "https://a.example", now=NOW, nonce="n")
    return head(**added)


def basic(text):
    return head(authorization="Basic " + base64.b64encode(text).decode())


def taken(request):
    """The logins that a validator was asked about."""
    asked = []
    Basic(lambda user, password: asked.append((user, password))).verify(request, NOW)
    return asked


@pytest.mark.parametrize(
    ("user", "password", "encoded"),
    [
        ("Aladdin", "open sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123£", "dGVzdDoxMjPCow=="),
        ("a", "b:c", "YTpiOmM="),
        ("a", "", "YTo="),
    ],
)
def test_the_examples_of_the_standard(user, password, encoded):
    """RFC 7617 sections 2 and 2.1, both ways; a password may have colons, or be empty."""
    assert shown(user, password).headers == {"authorization": f"Basic {encoded}"}
    assert taken(head(authorization=f"Basic {encoded}")) == [(user, password)]
    assert taken(head(authorization=f"BASIC  {encoded}")) == [(user, password)]


def test_who_knows_the_password_is_let_in():
    """What our client shows, our agent takes."""
    scheme = Basic(known_logins({("ali", "open sesame"): URN}))
    assert scheme.verify(shown("ali", "open sesame"), NOW) == ALI
    assert scheme.verify(shown("ali", "open barley"), NOW) is None
    assert scheme.verify(shown("bob", "open sesame"), NOW) is None
    assert scheme.verify(head(), NOW) is None


def test_a_validator_that_waits():
    """One that is ``async def`` is awaited by whoever can."""

    async def validate(user, password):
        return URN if (user, password) == ("ali", "x") else None

    assert asyncio.run(Basic(validate).verify(shown("ali", "x"), NOW)) == ALI
    assert asyncio.run(Basic(validate).verify(shown("ali", "y"), NOW)) is None


@pytest.mark.parametrize(
    "request_head",
    [
        head(),
        head(authorization="Bearer YTpi"),
        head(authorization="Basic YTpi, Basic YTpi"),
        head(authorization="Basic YTp i"),
        head(authorization="Basic YT-_"),
        head(authorization="Basic a:b"),
        basic(b"no colon"),
        basic(b"a:\xff"),
        basic(b"a:b\n"),
        basic(b"a\0:b"),
        basic(b"a:\x7f"),
    ],
)
def test_no_login(request_head):
    """What is not well-formed never reaches the validator."""
    assert taken(request_head) == []


def test_scheme_and_challenge():
    """The name in lower case, and what a refusal says of it: RFC 7617 asks for a realm."""
    scheme = Basic(known_logins({}))
    assert (scheme.scheme, scheme.challenge) == ("basic", 'Basic realm="asap", charset="UTF-8"')


@pytest.mark.parametrize(
    ("user", "password"), [("a:b", "c"), ("a\n", "b"), ("a", "b\0"), ("a", "\x7f"), ("a", "\ud800")]
)
def test_what_the_scheme_can_not_carry(user, password):
    """It is refused at once."""
    with pytest.raises(InvalidValue):
        BasicLogin(user, password)


def test_a_password_is_not_shown():
    """Not where the credentials are printed."""
    assert repr(BasicLogin("ali", "open sesame")) == "BasicLogin(user='ali')"
