"""A user's program with credentials of every kind, on both sides."""

from datetime import datetime

from asap_adapters import asyncio, sync
from asap_adapters.auth import (
    Authenticator,
    Basic,
    BasicLogin,
    Bearer,
    BearerToken,
    Credentials,
    Fetching,
    Identity,
    known_logins,
    known_tokens,
)
from asap_adapters.auth.jwks import FetchedKeys
from asap_adapters.auth.jwt import Jwt
from asap_adapters.auth.manifests import PinnedKey, SigningKey
from asap_adapters.auth.signatures import SharedKey, Signatures, Signer
from asap_proto.http import Headers, HttpRequest, RequestHead

ALI = "urn:asap:agent:ali"


class Gateway:
    """An authenticator of one's own."""

    scheme = "bearer"
    challenge = "Bearer"

    def verify(self, head: RequestHead, now: datetime) -> Identity | None:
        urn = head.headers.get("x-gateway-user")
        return Identity(urn) if urn else None


class Header:
    """Credentials of one's own."""

    def headers(self, request: HttpRequest, base_url: str, *, now: datetime, nonce: str) -> Headers:
        return {"x-gateway-user": ALI}


async def look_up(token: str) -> str | None:
    return {"open sesame": ALI}.get(token)


jwt = Jwt(FetchedKeys("https://issuer.example/keys"), issuer="https://issuer.example", audience=ALI)
fetching: Fetching = jwt
taken: list[Authenticator] = [
    Bearer(known_tokens({"open sesame": ALI})),
    Basic(known_logins({("ali", "open sesame"): Identity(ALI, frozenset({"read"}))})),
    Signatures({"ali-1": SharedKey(bytes(32), ALI)}),
    Gateway(),
    jwt,
]
shown: list[Credentials] = [
    BearerToken("open sesame"),
    BasicLogin("ali", "open sesame"),
    Signer("ali-1", bytes(32)),
    Header(),
]

plain = sync.Agent("urn:asap:agent:a", auth=taken, strict_http=True, credentials={ALI: shown[0]})
waiting = asyncio.Agent("urn:asap:agent:a", auth=[Bearer(look_up), *taken])
client = sync.Client("https://a.example", me=ALI, auth=shown[2])

key = SigningKey.read("key.pem")
signing = asyncio.Agent(ALI, manifest_key=key, targets="public", pins={ALI: PinnedKey(key.public)})
pinning = sync.Client("https://a.example", me=ALI, peer=ALI, pinned=PinnedKey(key.public), targets=["public", "::1"])
