"""Tokens that carry their own proof: by whom, for whom, until when, and signed how."""

import asyncio
import json
from datetime import timedelta

import pytest

from asap_adapters.auth.jwks import FetchedKeys, KeySet
from asap_adapters.auth.jwt import Jwt
from asap_proto.errors import InvalidValue, MalformedReply, UnsupportedScheme
from asap_proto.rules.identity import Identity
from asap_testkit import NOW, PEER

from .given import ALI, URN, head
from .tokens import ISSUER, SECONDS, bearing, claims, encoded, key, made, made_with_secret, public, published

ALL = published("ed-1", "ec-1", "rsa-1")
URL = "https://issuer.example/keys"


def agent(document=ALL, **options):
    return Jwt(KeySet(document), **{"issuer": ISSUER, "audience": PEER, **options})


def verdict(token, now=NOW, **options):
    return agent(**options).verify(bearing(token), now)


def good(name="ed-1", algorithm="Ed25519", header=None, **changes):
    return made(claims(**changes), name, algorithm, **(header or {}))


@pytest.mark.parametrize(
    ("name", "algorithm"), [("ed-1", "Ed25519"), ("ed-1", "EdDSA"), ("ec-1", "ES256"), ("rsa-1", "RS256")]
)
def test_algorithms(name, algorithm):
    """Each that is allowed verifies; one that was not allowed does not, though the key is there."""
    token = good(name, algorithm)
    assert verdict(token) == ALI
    assert verdict(token, algorithms=[algorithm]) == ALI
    others = {"Ed25519", "EdDSA", "ES256", "RS256"} - {algorithm}
    assert verdict(token, algorithms=others) is None


@pytest.mark.parametrize("algorithms", [["HS256"], ["none"], ["RS256", "HS256"], ["ES512"], ["es256"], []])
def test_algorithms_that_are_never_allowed(algorithms):
    """Shared secrets, no signature at all, and what we have no key for: refused when the agent is built."""
    with pytest.raises(UnsupportedScheme):
        agent(algorithms=algorithms)


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", "", None, 5, ["Ed25519"], {}], ids=repr)
def test_no_signature(algorithm):
    """A token that says that it is not signed, however it says so, is nobody's."""
    unsigned = f"{encoded({'alg': algorithm, 'kid': 'ed-1'})}.{encoded(claims())}."
    assert verdict(unsigned) is None
    assert verdict(unsigned + good().rpartition(".")[2]) is None


@pytest.mark.parametrize("name", ["ed-1", "ec-1", "rsa-1"])
def test_a_public_key_is_no_secret(name):
    """HS256 with what everybody may know of the key, in each way that it can be written."""
    pem = key(name).as_pem(private=False)
    texts = [pem, pem.strip(), key(name).as_der(private=False), json.dumps(public(name)).encode()]
    for text in texts:
        assert verdict(made_with_secret(claims(), text, kid=name)) is None
        assert verdict(made_with_secret(claims(), text)) is None


@pytest.mark.parametrize(
    ("name", "algorithm", "header"),
    [
        ("ed-1", "Ed25519", {"kid": "ec-1"}),
        ("ed-1", "Ed25519", {"kid": "ed-2"}),
        ("ed-2", "Ed25519", {"kid": "ed-1"}),
        ("ec-1", "ES256", {"kid": "ed-1"}),
        ("rsa-2", "RS256", {"kid": "rsa-1"}),
        ("ed-1", "Ed25519", {"kid": ""}),
        ("ed-2", "Ed25519", {"kid": "ed-1", "jwk": public("ed-2")}),
        ("ed-2", "Ed25519", {"kid": "ed-2", "jwk": public("ed-2")}),
        ("ed-2", "Ed25519", {"kid": "ed-2", "jku": "https://thief.example/keys"}),
        ("ed-2", "Ed25519", {"kid": "../../dev/null"}),
        ("ed-1", "Ed25519", {"crit": ["exp"], "exp": 5}),
        ("ed-1", "Ed25519", {"crit": ["b64"], "b64": True}),
        ("ed-1", "Ed25519", {"crit": []}),
    ],
)
def test_keys_and_names_that_do_not_belong_together(name, algorithm, header):
    """Only the issuer's own key of that name counts; a key that a token brings along, or where it is, is no proof."""
    assert verdict(good(name, algorithm, header)) is None


def test_without_a_name():
    """The only key of its kind is meant; of two, neither."""
    token = good(header={"kid": None})
    assert verdict(token) == ALI
    assert verdict(token, document=published("ed-1", "ed-2")) is None
    assert verdict(token, document=published("ed-2")) is None


@pytest.mark.parametrize(
    "token",
    [
        good()[:-2] + ("AA" if not good().endswith("AA") else "BA"),
        ".".join([*good().split(".")[:2], ""]),
        ".".join([good().split(".")[0], encoded(claims(sub="urn:asap:agent:bob")), good().split(".")[2]]),
        ".".join([encoded({"alg": "Ed25519", "kid": "ed-1"}) + "A", *good().split(".")[1:]]),
        ".".join(good().split(".")[:2]),
        good() + ".",
        good() + "=",
        "a.b.c",
        "..",
        ".",
        "open sesame",
        "x" * 10_000,
        f"{encoded(5)}.{encoded(claims())}.AAAA",
        f"{encoded(['alg', 'b64'])}.{encoded(claims())}.AAAA",
        f"{encoded('alg b64')}.{encoded(claims())}.AAAA",
        f"{encoded(b'{')}.{encoded(claims())}.AAAA",
        f"{encoded(b'[' * 300)}.{encoded(claims())}.AAAA",
        f"{encoded({'alg': 'Ed25519', 'kid': 5})}.{encoded(claims())}.AAAA",
        f"{encoded({'alg': 'Ed25519', 'b64': False})}.{encoded(claims())}.AAAA",
        f"{encoded({'alg': 'ES256', 'kid': 'ec-1'})}.{encoded(claims())}.{encoded(bytes(64))}",
        f"{encoded({'alg': 'ES256', 'kid': 'ec-1'})}.{encoded(claims())}.{encoded(bytes(1))}",
    ],
    ids=range(21),
)
def test_what_is_no_token(token):
    """Forged, cut, put together from pieces, or something else: nobody's, and no error."""
    assert verdict(token) is None


def test_tokens_for_other_schemes():
    """Without a bearer token there is none."""
    assert agent().verify(head(), NOW) is None
    assert agent().verify(head(authorization=f"Basic {good()}"), NOW) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"text",
        b"5",
        b"[]",
        b"{",
        b'{"exp": NaN}',
        json.dumps(claims(deep=json.loads("[" * 40 + "]" * 40))).encode(),
    ],
    ids=range(7),
)
def test_what_the_issuer_should_not_have_signed(payload):
    """A good signature around what are no claims."""
    assert verdict(made(payload, "ed-1", "Ed25519")) is None


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({}, True),
        ({"aud": [PEER, "others"]}, True),
        ({"nbf": None, "iat": None}, True),
        ({"unknown": {"a": 1}}, True),
        ({"iss": None}, False),
        ({"iss": "https://issuer.example/"}, False),
        ({"iss": [ISSUER]}, False),
        ({"aud": None}, False),
        ({"aud": "urn:asap:agent:other"}, False),
        ({"aud": []}, False),
        ({"aud": {PEER: True}}, False),
        ({"exp": None}, False),
        ({"exp": str(SECONDS + 60)}, False),
        ({"exp": True}, False),
        ({"exp": 10**400}, False),
        ({"nbf": "now"}, False),
        ({"iat": "now"}, False),
        ({"sub": None}, False),
        ({"sub": "ali"}, False),
        ({"sub": 5}, False),
        ({"sub": [URN]}, False),
    ],
    ids=repr,
)
def test_claims(changes, passes):
    """By this issuer, for this agent, with an end, of an agent."""
    assert verdict(good(**changes)) == (ALI if passes else None)


@pytest.mark.parametrize(("name", "limit"), [("exp", -30), ("nbf", 30), ("iat", 30)])
def test_clocks_may_differ_by_the_leeway(name, limit):
    """A token may be so much too old, or come so much too early; at its very end it has expired (RFC 7519)."""
    inside, outside = (limit + 1, limit) if name == "exp" else (limit, limit + 1)
    assert verdict(good(**{name: SECONDS + inside})) == ALI
    assert verdict(good(**{name: SECONDS + outside})) is None
    exact = (1, 0) if name == "exp" else (0, 1)
    assert verdict(good(**{name: SECONDS + exact[0]}), leeway=0) == ALI
    assert verdict(good(**{name: SECONDS + exact[1]}), leeway=0) is None


def test_a_token_expires():
    """By the time that is handed in, not by the clock of this machine."""
    token = good(exp=SECONDS + 60)
    assert verdict(token, NOW + timedelta(seconds=89)) == ALI
    assert verdict(token, NOW + timedelta(seconds=90)) is None


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [(None, set()), ("", set()), ("read", {"read"}), ("read  write", {"read", "write"}), (["read"], set())],
)
def test_scopes(scope, scopes):
    """As RFC 9068 writes them."""
    assert verdict(good(scope=scope)) == Identity(URN, frozenset(scopes))


def test_agents_that_the_issuer_names_otherwise():
    """Whoever knows better says whose token it is; a function that waits is awaited, what it raises is heard."""
    token = good(sub="account-7")

    async def look_up(claims):
        return {"account-7": URN}.get(claims["sub"])

    def fail(claims):
        raise OSError("the directory is down")

    assert verdict(token, identify=lambda claims: {"account-7": URN}.get(claims["sub"])) == ALI
    assert asyncio.run(verdict(token, identify=look_up)) == ALI
    assert verdict(token, identify=lambda claims: None) is None
    with pytest.raises(OSError, match="directory"):
        verdict(token, identify=fail)


def test_nobody_is_identified_by_claims_that_are_not_verified():
    """The function is asked only once all else is right."""
    asked = []
    for token in (good(exp=SECONDS - 60), good("ed-2", header={"kid": "ed-1"}), "a.b.c"):
        verdict(token, identify=asked.append)
    assert asked == []


@pytest.mark.parametrize("changes", [{"issuer": ""}, {"audience": ""}, {"leeway": -1}], ids=repr)
def test_what_has_to_be_said(changes):
    """A token of anybody, or for anybody, is no proof: refused when the agent is built."""
    with pytest.raises(InvalidValue):
        agent(**changes)


def test_scheme_and_challenge():
    """It is a bearer token."""
    assert (agent().scheme, agent().challenge) == ("bearer", "Bearer")


def test_keys_that_are_fetched():
    """A token that could be good asks for them, with the URL; what came is used at once."""
    jwt = Jwt(FetchedKeys(URL), issuer=ISSUER, audience=PEER)
    request = bearing(good())
    assert jwt.verify(request, NOW) is None
    assert jwt.wanted(request, NOW) == URL
    jwt.learn(json.dumps(ALL).encode(), NOW)
    assert jwt.wanted(request, NOW) is None
    assert jwt.verify(request, NOW) == ALI


def test_a_key_that_is_new():
    """A name that is not known is looked for once a minute, and found when the issuer has published it."""
    jwt = Jwt(FetchedKeys(URL), issuer=ISSUER, audience=PEER)
    jwt.learn(json.dumps(ALL).encode(), NOW)
    request, later = bearing(good("ed-2")), NOW + timedelta(seconds=60)
    assert jwt.wanted(request, NOW) is None
    assert jwt.wanted(request, later) == URL
    with pytest.raises(MalformedReply):
        jwt.learn(b"the issuer is down", later)
    assert jwt.wanted(request, later) is None
    assert jwt.verify(bearing(good()), later) == ALI
    jwt.learn(json.dumps(published("ed-1", "ed-2")).encode(), later + timedelta(seconds=60))
    assert jwt.verify(request, later) == ALI


@pytest.mark.parametrize(
    "request_head",
    [
        head(),
        bearing("open sesame"),
        bearing(f"{encoded({'alg': 'none', 'kid': 'x'})}.{encoded(claims())}."),
        bearing(f"{encoded({'alg': 'HS256', 'kid': 'x'})}.{encoded(claims())}.AAAA"),
        bearing(f"{encoded({'alg': 'Ed25519', 'kid': 5})}.{encoded(claims())}.AAAA"),
    ],
    ids=range(5),
)
def test_what_is_no_token_fetches_nothing(request_head):
    """Only a token that some key could verify is worth asking for one."""
    assert Jwt(FetchedKeys(URL), issuer=ISSUER, audience=PEER).wanted(request_head, NOW) is None


def test_keys_that_were_handed_in_are_not_fetched():
    """Whatever a token names."""
    jwt = agent()
    jwt.learn(None, NOW)
    assert jwt.wanted(bearing(good("ed-2")), NOW) is None
