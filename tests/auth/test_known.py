"""Tokens and logins that are known beforehand."""

import hmac

import pytest

from asap_adapters.auth import known
from asap_adapters.auth.known import known_logins, known_tokens
from asap_proto.errors import InvalidValue
from asap_proto.rules.identity import Identity

from .given import ALI, URN

SCOPED = Identity("urn:asap:agent:bob", frozenset({"read"}))


def test_tokens():
    """A token that is known stands for its agent; one that only begins so, or differs in case, for nobody."""
    find = known_tokens({"open sesame": URN, "open barley": SCOPED})
    assert find("open sesame") == ALI
    assert find("open barley") == SCOPED
    for wrong in ("", "open", "open sesame ", "Open sesame", "open sesam\xe9"):
        assert find(wrong) is None


def test_logins():
    """User and password belong together; where one ends and the other begins matters."""
    find = known_logins({("ali", "open sesame"): URN, ("bob", "ali:x"): SCOPED, ("čau", "čau"): URN})
    assert find("ali", "open sesame") == ALI
    assert find("bob", "ali:x") == SCOPED
    assert find("čau", "čau") == ALI
    for wrong in (("ali", "ali:x"), ("bob", "open sesame"), ("bob:ali", "x"), ("", ""), ("ali", "")):
        assert find(*wrong) is None


def test_every_secret_is_compared_in_constant_time(monkeypatch):
    """The right one first or last, or none: each is compared, by `hmac.compare_digest`, and only there."""
    compared = []

    def compare(one, other):
        compared.append((len(one), len(other)))
        return hmac.compare_digest(one, other)

    find = known_tokens({"a": URN, "bb": URN, "ccc": URN})
    monkeypatch.setattr(known, "hmac", type("watched", (), {"compare_digest": staticmethod(compare)}))
    for secret in ("a", "ccc", "none"):
        compared.clear()
        find(secret)
        assert compared == [(32, 32)] * 3


def test_secrets_are_not_kept():
    """What is held is digests: no secret shows in what a traceback prints."""
    find = known_tokens({"open sesame": URN})
    assert "sesame" not in repr(vars(find.__self__))


@pytest.mark.parametrize("tokens", [{"": URN}, {"a": "ali"}, {"a": URN, "b": ""}], ids=repr)
def test_tokens_that_can_not_be_known(tokens):
    """An empty token and an agent without a URN are refused when they are given."""
    with pytest.raises(InvalidValue):
        known_tokens(tokens)


@pytest.mark.parametrize(
    "logins", [{("", "x"): URN}, {("ali", ""): URN}, {("a:li", "x"): URN}, {("ali", "x"): "ali"}], ids=repr
)
def test_logins_that_can_not_be_known(logins):
    """So are an empty user or password, and a user with a colon."""
    with pytest.raises(InvalidValue):
        known_logins(logins)
