"""Whatever stands in the headers, an authenticator answers: whom it knows, or nobody."""

import attrs
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from asap_adapters._shared.bearer import Bearer
from asap_adapters.auth.basic import Basic
from asap_adapters.auth.jwks import FetchedKeys, KeySet
from asap_adapters.auth.jwt import Jwt
from asap_adapters.auth.known import known_logins, known_tokens
from asap_adapters.auth.signatures import SharedKey, Signatures, Signer
from asap_proto.errors import Unauthenticated
from asap_proto.http import HttpRequest, RequestHead
from asap_proto.wire.digests import BodyDigest
from asap_testkit import NOW, PEER, error_of

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


WORDS = st.text("abcdefghij-0123456789", min_size=1, max_size=12)
BODIES = st.binary(max_size=60)
SENT = st.fixed_dictionaries({}, optional={"x-idempotency-key": WORDS, "content-encoding": st.just("gzip")})
AT_PEER = Signatures({"k": SharedKey(SECRET, URN)}, url="https://peer.example")


def arrived(headers, body, nonce):
    """A request as our client signs it, and as it reaches its peer."""
    request = HttpRequest("POST", "/asap", headers, body)
    added = Signer("k", SECRET).headers(request, "https://peer.example", now=NOW, nonce=nonce)
    return RequestHead("POST", "/asap", {"host": "peer.example", **headers, **added}, "192.0.2.1")


def replaced(name):
    return lambda head, other, word: attrs.evolve(head, headers={**head.headers, name: word})


def left_out(name):
    return lambda head, other, word: attrs.evolve(
        head, headers={each: value for each, value in head.headers.items() if each != name}
    )


def moved(name):
    """From another request, which was signed by the same key."""
    return lambda head, other, word: attrs.evolve(head, headers={**head.headers, name: other.headers[name]})


CHANGES = {
    "another method": lambda head, other, word: attrs.evolve(head, method="PUT"),
    "another path": lambda head, other, word: attrs.evolve(head, path=f"/{word}"),
    "another key": replaced("x-idempotency-key"),
    "no key": left_out("x-idempotency-key"),
    "another coding": replaced("content-encoding"),
    "no coding": left_out("content-encoding"),
    "the digest of another body": moved("content-digest"),
    "no digest": left_out("content-digest"),
    "the signature of another request": moved("signature"),
    "another nonce": lambda head, other, word: attrs.evolve(
        head,
        headers={**head.headers, "signature-input": head.headers["signature-input"].replace('nonce="', 'nonce="x')},
    ),
}


@given(SENT, BODIES, WORDS)
def test_what_our_client_signs_our_agent_believes(headers, body, nonce):
    """Whose it is, by its nonce, and with the digest of its body."""
    known = AT_PEER.verify(arrived(headers, body, nonce), NOW)
    assert (known.urn, known.nonce, known.key_id) == (URN, nonce, "k")
    digest = BodyDigest(known.digests)
    digest.feed(body)
    digest.finish()


@given(SENT, BODIES, WORDS, BODIES, st.sampled_from(sorted(CHANGES)))
def test_any_change_to_what_is_covered_is_refused(headers, body, nonce, other, name):
    """Its method, its path, its body, and each header that has a meaning: changed, added or taken away."""
    assume(other != body)
    head = arrived(headers, body, nonce)
    changed = CHANGES[name](head, arrived(headers, other, nonce), f"not-{nonce}")
    assume(changed != head)
    assert AT_PEER.verify(changed, NOW) is None
    digest = BodyDigest(AT_PEER.verify(head, NOW).digests)
    digest.feed(other)
    assert isinstance(error_of(digest.finish), Unauthenticated)


GOOD = made(claims(), "ed-1", "Ed25519")


@given(at=st.integers(0, len(GOOD) - 1), new=st.characters(max_codepoint=255))
def test_a_token_with_one_character_changed(at, new):
    """What is left of a good token is none."""
    changed = GOOD[:at] + new + GOOD[at + 1 :]
    answer = JWT.verify(RequestHead("POST", "/asap", {"authorization": f"Bearer {changed}"}), NOW)
    assert (answer is not None) is (changed == GOOD)
