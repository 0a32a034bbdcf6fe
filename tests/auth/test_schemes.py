"""What every scheme reads of a request, and what a validator may answer."""

import asyncio

import pytest

from asap_adapters._shared.schemes import CREDENTIAL_LENGTH, credentials, identity_of, vouched
from asap_proto.errors import InvalidValue
from asap_proto.rules.identity import Identity, SignedIdentity
from asap_testkit import NOW

from .given import ALI, URN, head


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("Bearer secret", "secret"),
        ("bearer secret", "secret"),
        (" BEARER   secret ", "secret"),
        ("Bearer open sesame", "open sesame"),
        ("Bearer a, Bearer b", "a, Bearer b"),
        ("", None),
        ("Bearer", None),
        ("Bearer ", None),
        ("Bearersecret", None),
        ("Basic secret", None),
        ("Bearer s\xe9cret", None),
        ("Bearer sec\tret", None),
        ("Bearer sec\0ret", None),
    ],
)
def test_what_authorization_says(value, secret):
    """The scheme in any case, then visible ASCII, trimmed; two headers that were joined are one odd secret."""
    assert credentials(head(authorization=value), "bearer") == secret


def test_no_authorization():
    """Without the header there are no credentials."""
    assert credentials(head(), "bearer") is None


@pytest.mark.parametrize(("more", "read"), [(0, True), (1, False)])
def test_length_of_credentials(more, read):
    """A header of the longest length is read, one character more is not."""
    secret = "x" * (CREDENTIAL_LENGTH - len("Bearer ") + more)
    assert credentials(head(authorization=f"Bearer {secret}"), "bearer") == (secret if read else None)


def test_answers_of_a_validator():
    """A URN, an identity or nobody; anything else is the validator's fault, and told."""
    scoped = Identity(URN, frozenset({"read"}))
    assert identity_of(URN) == ALI
    assert identity_of(scoped) is scoped
    assert identity_of(None) is None
    with pytest.raises(InvalidValue):
        identity_of("ali")
    with pytest.raises(TypeError, match="not bool"):
        identity_of(True)


def test_an_answer_that_has_to_be_awaited():
    """What a validator will have said is judged once it has."""

    async def later(answer):
        return answer

    assert asyncio.run(vouched(later(URN))) == ALI
    assert asyncio.run(vouched(later(None))) is None
    with pytest.raises(TypeError):
        asyncio.run(vouched(later(5)))


def test_a_signed_identity_is_one():
    """Whoever asks for an identity may be answered one that has signed."""
    digests = {"sha-256": bytes(32)}
    signed = SignedIdentity(URN, frozenset({"read"}), nonce="n", key_id="k", created=NOW, digests=digests)
    assert identity_of(signed) is signed
    assert (signed.urn, signed.scopes) == (URN, frozenset({"read"}))
