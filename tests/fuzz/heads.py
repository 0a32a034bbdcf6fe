"""Bytes as the head of a request: to a server's role, and to all that may say who a caller is."""

from typing import Any

from asap_adapters._shared.bearer import Bearer
from asap_adapters._shared.schemes import secrets_of
from asap_adapters.auth.basic import Basic
from asap_adapters.auth.jwks import KeySet
from asap_adapters.auth.jwt import Jwt
from asap_adapters.auth.known import known_logins, known_tokens
from asap_adapters.auth.signatures import SharedKey, Signatures
from asap_proto.http import HttpResponse, RequestHead, fold
from asap_proto.roles import Admitted
from asap_proto.rules.forwarding import parse_proxies
from asap_proto.rules.identity import Identity
from asap_testkit import NOW, PEER, echo_manifest, link
from fuzz.answers import REFUSAL_MOST, check

URN = "urn:asap:agent:caller"
TOKEN, KEY = "open sesame", bytes(32)

#: Whoever may say who a caller is. The key of the tokens is public, so that no fuzzer can make one.
SCHEMES: tuple[Any, ...] = (
    Bearer(known_tokens({TOKEN: URN})),
    Basic(known_logins({("ali", TOKEN): URN})),
    Signatures({"k": SharedKey(KEY, URN)}),
    Jwt(
        KeySet(
            {"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}
        ),
        issuer="https://issuer.example",
        audience=PEER,
    ),
)

_OPTIONS = {
    "hosts": ("agent.example", "[::1]"),
    "proxies": parse_proxies(["192.0.2.0/24", "2001:db8::/32"]),
    "strict_http": True,
    "challenges": [scheme.challenge for scheme in SCHEMES],
}


def head_of(data: bytes) -> RequestHead:
    """``METHOD PATH``, and a line for each header, as a server hands them on that looks at nothing."""
    first, *lines = data.split(b"\n")
    method, _, path = first.decode("latin-1").partition(" ")
    pairs = [(name, value.strip(b" \t\r")) for name, colon, value in (line.partition(b":") for line in lines) if colon]
    return RequestHead(method, path, fold(pairs), "192.0.2.1", len(pairs))


def feed(data: bytes) -> None:
    """The head is answered, or its body asked for; nobody is let in who has no credentials, and nothing fails."""
    head = head_of(data)
    for scheme in SCHEMES:
        answer = scheme.verify(head, NOW)
        assert answer is None or answer.urn == URN
    assert all(secrets_of(head))
    for server in (link(quota="2/second"), link(server=_OPTIONS, manifest=echo_manifest(), callers=_CALLERS)):
        admitted = server.run(server.server.admit(head))
        if isinstance(admitted, Admitted):
            assert admitted.seen >= 0
            continue
        _check(admitted, head)


_CALLERS = {f"bearer {TOKEN}": Identity(URN)}


def _check(response: HttpResponse, head: RequestHead) -> None:
    if response.body.startswith(b'{"jsonrpc"'):
        check(response, b"", room=REFUSAL_MOST, strict=True)
    assert response.status < 500
    assert len(response.body) < REFUSAL_MOST
    for name, value in response.headers.items():
        value.encode("latin-1")
        assert not {"\r", "\n", "\0"} & set(value), (name, value)
