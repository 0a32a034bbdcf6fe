"""Which keys of a set are used, and when a set is fetched again."""

import json
from datetime import timedelta

import pytest

from asap_adapters.auth.jwks import KEYS_MOST, FetchedKeys, KeySet
from asap_proto.errors import InvalidValue, MalformedReply, Misuse
from asap_testkit import NOW

from .tokens import encoded, key, public, published

URL = "https://issuer.example/keys?policy=1"
AGENTS = json.dumps(published("ed-1")).encode()


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def same(found, name):
    """Whether it is the public key of this name, and nothing more."""
    return found is not None and not found.is_private and found.thumbprint() == key(name).thumbprint()


@pytest.mark.parametrize(
    ("kid", "algorithm", "name"),
    [
        ("ed-1", "Ed25519", "ed-1"),
        ("ed-1", "EdDSA", "ed-1"),
        ("ec-1", "ES256", "ec-1"),
        ("rsa-1", "RS256", "rsa-1"),
        ("ed-2", "Ed25519", "ed-2"),
        (None, "ES256", "ec-1"),
        (None, "RS256", "rsa-1"),
        (None, "Ed25519", None),
        ("ed-1", "ES256", None),
        ("rsa-1", "ES256", None),
        ("ec-1", "RS256", None),
        ("ed-3", "Ed25519", None),
        ("", "RS256", None),
    ],
)
def test_a_key_is_found_by_its_name_and_its_algorithm(kid, algorithm, name):
    """Both have to fit; without a name it is the only one of its kind."""
    found = KeySet(published("ed-1", "ed-2", "ec-1", "rsa-1")).find(kid, algorithm)
    assert same(found, name) if name else found is None


def test_a_name_that_is_not_unique():
    """Is none, unless the algorithm tells the keys apart."""
    keys = KeySet({"keys": [public("ed-1", kid="k"), public("ed-2", kid="k"), public("ec-1", kid="k")]})
    assert keys.find("k", "Ed25519") is None
    assert same(keys.find("k", "ES256"), "ec-1")


@pytest.mark.parametrize(
    "changes",
    [
        {"use": "sig"},
        {"use": "sig", "key_ops": ["verify"]},
        {"key_ops": ["sign", "verify"]},
        {"alg": "RS256"},
        {"x5c": ["no certificate"], "unknown": {}},
        {"kid": None},
        {"kid": 5},
    ],
)
def test_keys_that_are_used(changes):
    """Those for verifying; what else is said of them does not matter."""
    assert same(KeySet({"keys": [public("rsa-1", **changes)]}).find(None, "RS256"), "rsa-1")


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("rsa-1", {"use": "enc"}),
        ("rsa-1", {"use": 5}),
        ("rsa-1", {"key_ops": ["encrypt"]}),
        ("rsa-1", {"key_ops": []}),
        ("rsa-1", {"key_ops": "verify"}),
        ("rsa-1", {"alg": "RS512"}),
        ("rsa-1", {"alg": "RSA-OAEP"}),
        ("rsa-1", {"alg": ["RS256"]}),
        ("rsa-1", {"n": None}),
        ("rsa-1", {"n": 5}),
        ("rsa-1", {"n": "-!-"}),
        ("rsa-1", {"e": "AA"}),
        ("rsa-1", {"kty": "oct", "k": "c2VjcmV0"}),
        ("rsa-1", {"kty": ["RSA"]}),
        ("rsa-1", {"kty": None}),
        ("ec-1", {"alg": "Ed25519"}),
        ("ec-1", {"crv": "P-384"}),
        ("ec-1", {"crv": None}),
        ("ec-1", {"y": "AA"}),
        ("ed-1", {"crv": "Ed448"}),
        ("ed-1", {"crv": "X25519"}),
        ("ed-1", {"kty": "OKP Ed25519", "crv": None}),
        ("ed-1", {"x": "AAAA"}),
    ],
)
def test_keys_that_are_passed_over(name, changes):
    """Those for something else, of another kind or broken; they spoil no other, and alone they are no set."""
    odd = public(name, **changes)
    keys = KeySet({"keys": [odd, public("ec-2"), public("ed-2"), public("rsa-2")]})
    assert all(same(keys.find(None, algorithm), other) for algorithm, other in [("ES256", "ec-2"), ("RS256", "rsa-2")])
    with pytest.raises(InvalidValue):
        KeySet({"keys": [odd]})


def test_a_private_key_is_taken_for_its_public_part():
    """What verifies holds nothing that could sign, whatever was published."""
    keys = KeySet({"keys": [{**key("ec-1").as_dict(private=True), "kid": "ec-1"}]})
    assert same(keys.find("ec-1", "ES256"), "ec-1")


@pytest.mark.parametrize(("bits", "taken"), [(2048, True), (2047, False), (1024, False)])
def test_size_of_an_rsa_key(bits, taken):
    """2048 bits at least (RFC 7518 section 3.3)."""
    modulus = (1 << (bits - 1)) + 1
    odd = {"kty": "RSA", "e": "AQAB", "n": encoded(modulus.to_bytes((bits + 7) // 8)), "kid": "x"}
    keys = KeySet({"keys": [odd, public("ec-1")]})
    assert (keys.find("x", "RS256") is not None) is taken


@pytest.mark.parametrize(
    "document", [{}, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": [None, 5, "key", []]}], ids=repr
)
def test_what_is_no_key_set(document):
    """It is refused when the agent is built."""
    with pytest.raises(InvalidValue):
        KeySet(document)


@pytest.mark.parametrize(("count", "taken"), [(KEYS_MOST, True), (KEYS_MOST + 1, False)])
def test_size_of_a_key_set(count, taken):
    """As many keys as no issuer has are no key set."""
    document = {"keys": [{"kty": "oct"}] * (count - 1) + [public("ed-1")]}
    if taken:
        assert same(KeySet(document).find("ed-1", "Ed25519"), "ed-1")
    else:
        with pytest.raises(InvalidValue, match="100"):
            KeySet(document)


def fetched(*, since=0, **options):
    keys = FetchedKeys(URL, **options)
    keys.learn(AGENTS, at(since))
    return keys


def test_keys_are_fetched_when_first_needed():
    """Nothing is fetched before a token asks for it."""
    keys = FetchedKeys(URL)
    assert keys.at(NOW) is None
    assert keys.wanted("ed-1", "Ed25519", NOW)
    keys.learn(AGENTS, NOW)
    assert same(keys.at(NOW).find("ed-1", "Ed25519"), "ed-1")
    assert not keys.wanted("ed-1", "Ed25519", NOW)


@pytest.mark.parametrize(
    ("seconds", "again"), [(0, False), (59.9, False), (60, True), (3600, True), (-59.9, False), (-60, True)]
)
def test_an_unknown_name_is_looked_for_once_a_minute(seconds, again):
    """However many tokens come with it, and whatever they name; a clock that is set back stops nothing for long."""
    keys = fetched()
    assert keys.wanted("ed-2", "Ed25519", at(seconds)) is again
    assert keys.wanted("ed-1", "ES256", at(seconds)) is again
    assert keys.wanted(None, "RS256", at(seconds)) is again


@pytest.mark.parametrize(("seconds", "again"), [(299.9, False), (300, True)])
def test_keys_are_refreshed(seconds, again):
    """So that a key that is withdrawn is not believed for long."""
    assert fetched().wanted("ed-1", "Ed25519", at(seconds)) is again


@pytest.mark.parametrize("answer", [None, b"", b"no JSON", b"[]", b"{}", b'{"keys": []}', b"[" * 17 + b"]" * 17])
def test_a_fetch_that_failed(answer):
    """It is not tried again at once, and the keys that are there go on for an hour."""
    keys = fetched(since=-300)
    if answer is None:
        keys.learn(None, NOW)
    else:
        with pytest.raises(MalformedReply, match=r"https://issuer\.example/keys: "):
            keys.learn(answer, NOW)
    assert not keys.wanted("ed-2", "Ed25519", at(59.9))
    assert keys.wanted("ed-1", "Ed25519", at(60))
    assert keys.at(at(3300)) is not None
    assert keys.at(at(3300.1)) is None


def test_a_key_that_is_withdrawn_is_gone():
    """The next set counts alone."""
    keys = fetched()
    keys.learn(json.dumps(published("ec-1")).encode(), at(300))
    assert keys.at(at(300)).find("ed-1", "Ed25519") is None
    assert same(keys.at(at(300)).find("ec-1", "ES256"), "ec-1")


@pytest.mark.parametrize("url", ["http://issuer.example/keys", "issuer.example", "file:///keys", ""])
def test_where_keys_may_come_from(url):
    """Not in clear text from elsewhere: whoever is in between could send its own."""
    with pytest.raises(Misuse):
        FetchedKeys(url)


def test_where_keys_may_come_from_if_it_is_said():
    """This machine, and elsewhere for whoever insists."""
    assert FetchedKeys("http://127.0.0.1:8000/keys").url == "http://127.0.0.1:8000/keys"
    assert FetchedKeys("http://issuer.example/keys", allow_http=True).url == "http://issuer.example/keys"
