"""Whether a body is the one that was signed."""

import base64

import pytest

from asap_proto.errors import Unauthenticated
from asap_proto.wire.digests import BodyDigest

#: The text of the examples in RFC 9530, and its digests there.
BODY = b'{"hello": "world"}\n'
SHA256 = base64.b64decode("RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=")
SHA512 = base64.b64decode("YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==")


def check(digests, *pieces):
    digest = BodyDigest(digests)
    for piece in pieces:
        assert digest.feed(piece) is piece
    digest.finish()


@pytest.mark.parametrize("digests", [{"sha-256": SHA256}, {"sha-512": SHA512}, {"sha-256": SHA256, "sha-512": SHA512}])
def test_the_body_that_was_signed(digests):
    """It may come in pieces."""
    check(digests, BODY)
    check(digests, BODY[:5], b"", BODY[5:])


@pytest.mark.parametrize(
    ("digests", "body"),
    [
        ({"sha-256": SHA256}, b""),
        ({"sha-256": SHA256}, BODY[:-1]),
        ({"sha-256": SHA256}, BODY + b" "),
        ({"sha-256": SHA256, "sha-512": bytes(64)}, BODY),
        ({"sha-256": bytes(32), "sha-512": SHA512}, BODY),
        ({}, BODY),
        ({}, b""),
    ],
)
def test_another_body(digests, body):
    """Each digest has to fit, and where there is none nothing was signed."""
    with pytest.raises(Unauthenticated, match="signed"):
        check(digests, body)


def test_a_body_that_nobody_signed():
    """Where there is no signature, any body passes."""
    check(None, BODY)
    check(None)
