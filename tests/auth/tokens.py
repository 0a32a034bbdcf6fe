"""An issuer with a key of each kind, and tokens of any make."""

import base64
import hmac
import json
from functools import cache

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from asap_testkit import NOW, PEER

from .given import URN, head

ISSUER = "https://issuer.example"
SECONDS = int(NOW.timestamp())


@cache
def key(name):
    """The issuer's private key of this name; those that begin alike are of one kind."""
    kind = name.partition("-")[0]
    if kind == "rsa":
        return RSAKey.generate_key(2048)
    return {"ed": OKPKey, "ec": ECKey}[kind].generate_key()


def public(name, **more):
    """A public key as it is published, changed by `more`; None takes a member away."""
    told = {**key(name).as_dict(private=False), "kid": name, **more}
    return {member: value for member, value in told.items() if value is not None}


def published(*names):
    return {"keys": [public(name) for name in names]}


def claims(**changes):
    """The claims of a good token, changed; None leaves one out."""
    plain = {"iss": ISSUER, "aud": PEER, "sub": URN, "exp": SECONDS + 60, "iat": SECONDS, **changes}
    return {name: value for name, value in plain.items() if value is not None}


def encoded(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def made(payload, name, algorithm, **header):
    """A token signed with the key of this name, whatever it says of itself: `header`; None leaves a member out."""
    said = {"alg": algorithm, "kid": name, **header}
    signing = f"{encoded({member: value for member, value in said.items() if value is not None})}.{encoded(payload)}"
    return f"{signing}.{encoded(JWSRegistry.algorithms[algorithm].sign(signing.encode(), key(name)))}"


def made_with_secret(payload, secret, **header):
    """A token that whoever knows the secret could have made."""
    signing = f"{encoded({'alg': 'HS256', **header})}.{encoded(payload)}"
    return f"{signing}.{encoded(hmac.digest(secret, signing.encode(), 'sha256'))}"


def bearing(token):
    return head(authorization=f"Bearer {token}")
