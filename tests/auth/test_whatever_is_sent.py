"""Whatever stands in the headers, an authenticator answers: whom it knows, or nobody."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters._shared.bearer import Bearer
from asap_adapters.auth.basic import Basic
from asap_adapters.auth.jwks import FetchedKeys, KeySet
from asap_adapters.auth.jwt import Jwt
from asap_adapters.auth.known import known_logins, known_tokens
from asap_adapters.auth.signatures import SharedKey, Signatures, Signer
from asap_proto.http import HttpRequest, RequestHead
from asap_testkit import NOW, PEER

from .given import URN
from .tokens import ISSUER, claims, encoded, made, published

SECRET = bytes(32)
SIGNED = {
    "host": "peer.example",
    **Signer("k", SECRET).headers(HttpRequest("POST", "/asap"), "https://peer.example", now=NOW, nonce="n"),
}
JWT = Jwt(KeySet(published("ed-1", "ec-1", "rsa-1")), issuer=ISSUER, audience=PEER)
FETCHING = Jwt(FetchedKeys("https://issuer.example/keys"), issuer=ISSUER, audience=PEER)
SCHEMES = [
    Bearer(known_tokens({"open sesame": URN})),
    Basic(known_logins({("ali", "open sesame"): URN})),
    Signatures({"k": SharedKey(SECRET, URN)}),
    JWT,
    FETCHING,
]

# What a server hands on of any bytes (RFC 9112: latin-1), and some texts that get further than most.
text = st.text(st.characters(max_codepoint=255), max_size=60)
piece = st.one_of(
    text,
    st.binary(max_size=40).map(encoded),
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), text),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["alg", "kid", "b64", "crit"]), inner)
        ),
        max_leaves=6,
    ).map(encoded),
)
token = st.lists(piece, min_size=1, max_size=4).map(".".join)
authorization = st.one_of(
    text, st.builds("{} {}".format, st.sampled_from(["Bearer", "basic", "Signature"]), st.one_of(text, token))
)
words = ["x", "asap", "=", "(", ")", '"@method"', '"@path"', '"content-digest"', ";created", ";keyid", "k", '"k"', "1"]
words += [
    ";tag",
    '"asap"',
    ";nonce",
    "99999999999999",
    ",",
    ":AAAA:",
    "sha-256",
    ";key",
    ";bs",
    ";sf",
    ";req",
    "?1",
    "@1",
]
structured = st.one_of(text, st.lists(st.sampled_from([*words, " "]), max_size=14).map("".join))


@pytest.mark.parametrize("scheme", SCHEMES, ids=["bearer", "basic", "signatures", "jwt", "fetching"])
@given(
    headers=st.fixed_dictionaries(
        {},
        optional={
            "authorization": authorization,
            "signature-input": structured,
            "signature": structured,
            "content-digest": structured,
            "host": text,
        },
    ),
    method=st.sampled_from(["POST", "post", "", "GET"]),
    path=st.one_of(st.just("/asap"), text),
)
def test_nobody_is_let_in_and_nothing_fails(scheme, headers, method, path):
    """Nonsense is nobody's, and never an error."""
    assert scheme.verify(RequestHead(method, path, headers, "192.0.2.1"), NOW) is None


@given(data=st.data())
def test_a_signed_request_with_one_header_changed(data):
    """What is left of a good signature is none."""
    name = data.draw(st.sampled_from(["signature-input", "signature", "content-digest"]))
    value = SIGNED[name]
    at = data.draw(st.integers(0, len(value) - 1))
    new = data.draw(st.characters(max_codepoint=255).filter(lambda character: character != value[at]))
    head = RequestHead("POST", "/asap", {**SIGNED, name: value[:at] + new + value[at + 1 :]})
    signatures = SCHEMES[2]
    assert signatures.verify(attrs.evolve(head, headers=SIGNED), NOW) is not None
    answer = signatures.verify(head, NOW)
    # A blank for another, or a bit of base64 that stands for nothing, changes nothing that was signed.
    assert answer is None or answer == signatures.verify(attrs.evolve(head, headers=SIGNED), NOW)


GOOD = made(claims(), "ed-1", "Ed25519")


@given(at=st.integers(0, len(GOOD) - 1), new=st.characters(max_codepoint=255))
def test_a_token_with_one_character_changed(at, new):
    """What is left of a good token is none."""
    changed = GOOD[:at] + new + GOOD[at + 1 :]
    answer = JWT.verify(RequestHead("POST", "/asap", {"authorization": f"Bearer {changed}"}), NOW)
    assert (answer is not None) is (changed == GOOD)
