"""Who calls: verifying the credentials of callers, and sending our own.

What needs the extra `auth` is imported by its module: `auth.jwt`, `auth.jwks` and `auth.signatures`.
"""

from asap_proto.rules.identity import Identity

from .._shared.bearer import Bearer, BearerToken
from .._shared.schemes import Authenticator, Credentials, Fetching
from .basic import Basic, BasicLogin
from .known import known_logins, known_tokens

__all__ = [
    "Authenticator",
    "Basic",
    "BasicLogin",
    "Bearer",
    "BearerToken",
    "Credentials",
    "Fetching",
    "Identity",
    "known_logins",
    "known_tokens",
]
