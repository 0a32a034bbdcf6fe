"""Manifests that are signed, and whose signature is believed.

`reference_manifests.json` holds what asap-protocol 2.5.10 made of two manifests with the first key of RFC 8032: its
documents as text, and the public key as it writes it.
"""

import base64
import json
import pickle
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from asap_adapters.asyncio import Agent
from asap_adapters.auth.manifests import PinnedKey, SigningKey
from asap_proto.errors import InvalidValue, Misuse, UnverifiedManifest
from asap_proto.limits import SIGNED_BYTES
from asap_proto.wire.json import load
from asap_proto.wire.manifests import Published, dump_manifest, open_manifest, read_manifest
from asap_testkit import PEER

#: Private and public keys of RFC 8032 section 7.1.
RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    ),
]
KEY = SigningKey(bytes.fromhex(RFC_8032[0][0]))
PIN = PinnedKey(KEY.public)
REFERENCE = json.loads((Path(__file__).parent / "reference_manifests.json").read_text())
ORDER = 2**252 + 27742317777372353535851937790883648493


def b64(raw):
    return base64.b64encode(raw).decode()


def opened(text):
    return open_manifest(load(text.encode() if isinstance(text, str) else text, depth=99))


def published(**changes):
    """What an agent with the key publishes, changed afterwards."""
    document = load(dump_manifest(Agent(PEER, manifest_key=KEY).manifest()), depth=99)
    return open_manifest({**document, **changes})


def is_believed(it, pin=PIN):
    try:
        pin(it)
    except UnverifiedManifest:
        return False
    return True


@pytest.mark.parametrize(("private", "public"), RFC_8032)
def test_keys_are_those_of_rfc_8032(private, public):
    """A public key is the 32 bytes of the RFC, as Base64."""
    assert base64.b64decode(SigningKey(bytes.fromhex(private)).public).hex() == public


VALUES = (
    r"""{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"""
    r""""string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"""
)
CANONICAL_VALUES = (
    r"""{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],"""
    r""""string":"€$\u000f\nA'B\"\\\\\"/"}"""
)


@pytest.mark.parametrize(
    ("document", "canonical"),
    [
        (VALUES, CANONICAL_VALUES),
        (
            r'{"\u20ac":5,"\r":1,"\ufb33":7,"1":2,"\ud83d\ude00":6,"\u0080":3,"\u00f6":4}',
            '{"\\r":1,"1":2,"\u0080":3,"ö":4,"€":5,"😀":6,"\ufb33":7}',
        ),
        ('{"b":{"d":[],"c":{}},"a":[{"z":1,"y":-0.0}]}', '{"a":[{"y":0,"z":1}],"b":{"c":{},"d":[]}}'),
    ],
)
def test_what_is_signed_is_canonical(document, canonical):
    """The examples of RFC 8785 sections 3.2.2 and 3.2.3: two texts of one value have one signature."""
    signature = KEY.sign(load(document.encode(), depth=9))
    assert signature == b64(
        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(RFC_8032[0][0])).sign(canonical.encode())
    )


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_numbers_are_written_as_rfc_8785_has_them(bits, text):
    """Appendix B: the shortest text of a double, as ECMAScript writes it."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    expected = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(RFC_8032[0][0])).sign(f'{{"n":{text}}}'.encode())
    assert KEY.sign({"n": number}) == b64(expected)


@pytest.mark.parametrize("number", [2**53, -(2**53), 2**63])
def test_numbers_that_others_can_not_read_exactly_are_not_signed(number):
    """RFC 8785 knows doubles alone: whoever signs such an integer is told, whoever verifies one does not believe."""
    with pytest.raises(Misuse, match="can't be signed"):
        KEY.sign({"n": number})
    assert not is_believed(Published({}, {"n": number}, KEY.sign({})))


@pytest.mark.proves("manifest.signed")
@pytest.mark.parametrize("text", REFERENCE["documents"])
def test_what_the_reference_signs_is_verified(text):
    """The document as it came, with fields that we do not know, and texts and numbers that have many spellings."""
    pin = PinnedKey(REFERENCE["public_key"])
    pin(opened(text))
    assert read_manifest(opened(text).document).id == "urn:asap:agent:reference"
    for old, new in [
        ('"ttl_seconds": ', '"ttl_seconds": 1'),
        ('"sla": ', '"later": 1, "sla": '),
        ("agents.", "agent5."),
    ]:
        assert old in text
        assert not is_believed(opened(text.replace(old, new)), pin)


@pytest.mark.proves("manifest.signed")
def test_an_agent_signs_what_it_publishes():
    """In the field that every release knows, and enclosed for those that look for it there."""
    agent = Agent(PEER, manifest_key=KEY, url="https://agents.example")
    assert is_believed(opened(dump_manifest(agent.manifest())))
    enclosed = agent.enclosed(agent.manifest())
    assert is_believed(opened(enclosed))
    assert json.loads(enclosed)["public_key"] == KEY.public
    assert unsigned(opened(enclosed)) == unsigned(opened(dump_manifest(agent.manifest())))
    assert Agent(PEER).manifest().signature is None
    assert Agent(PEER).enclosed(Agent(PEER).manifest()) is None


def unsigned(it):
    return read_manifest({**it.document, "signature": None})


def test_an_agent_signs_only_what_others_verify():
    """What is too large for them is told when it is served; without a signature it is served."""
    for room, fits in ((SIGNED_BYTES - 4096, True), (SIGNED_BYTES, False)):
        for key in (KEY, None):
            agent = Agent(PEER, description="x" * room, **({"manifest_key": key} if key else {}))
            if fits or key is None:
                assert agent.app() is not None
            else:
                with pytest.raises(Misuse, match="shorten schemas"):
                    agent.app()


#: What canonical JSON can say: doubles, and integers that are doubles too.
VALUES_SIGNED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES_SIGNED, max_size=6), st.booleans(), st.sampled_from([None, 1]), st.randoms())
def test_a_signature_is_of_the_value_and_not_of_its_text(document, ascii_only, indent, chance):
    """However a gateway writes it down: keys in another order, characters escaped or not, blanks between."""
    signature = KEY.sign(document)
    text = json.dumps(shuffled(document, chance), ensure_ascii=ascii_only, indent=indent).encode()
    assert is_believed(Published({}, load(text, depth=99), signature))


def shuffled(value, chance):
    if isinstance(value, dict):
        keys = list(value)
        chance.shuffle(keys)
        return {key: shuffled(value[key], chance) for key in keys}
    return [shuffled(one, chance) for one in value] if isinstance(value, list) else value


@pytest.mark.proves("client.pinned")
@pytest.mark.parametrize(
    "changes",
    [
        {"signature": None},
        {"signature": ""},
        {"signature": {"alg": "ed25519", "signature": "x"}},
        {"name": "Another"},
        {"id": "urn:asap:agent:another"},
        {"new": None},
        {"endpoints": {"asap": "https://evil.example/asap", "events": None}},
        {"auth": {"schemes": ["bearer"], "oauth2": None}},
    ],
)
def test_what_was_changed_is_not_believed(changes):
    """Nor what is not signed: a field more is a change, whoever knows it."""
    assert is_believed(published())
    assert not is_believed(published(**changes))


@pytest.mark.proves("client.pinned")
def test_the_key_that_a_manifest_brings_with_it_is_not_believed():
    """Anybody can sign with a key of their own; only the one that was pinned counts."""
    other = SigningKey.new()
    agent = Agent(PEER, manifest_key=other)
    for text in (dump_manifest(agent.manifest()), agent.enclosed(agent.manifest())):
        assert is_believed(opened(text), PinnedKey(other.public))
        assert not is_believed(opened(text))


@pytest.mark.proves("client.pinned")
def test_a_signature_has_one_form():
    """Not its scalar with the group's order added to it, nor another way to write its Base64."""
    raw = base64.b64decode(published().signature)
    scalar = int.from_bytes(raw[32:], "little") + ORDER
    malleable = raw[:32] + scalar.to_bytes(32, "little")
    for signature in (
        b64(malleable),
        b64(raw + b"\0"),
        b64(raw[:-1]),
        b64(bytes(64)),
        b64(raw).rstrip("="),
        b64(raw) + "\n",
        " " + b64(raw),
        base64.urlsafe_b64encode(b"\xff" * 64).decode(),
        raw.hex(),
        "é" * 88,
        b64(raw)[:-3] + chr(ord(b64(raw)[-3]) + 1) + "==",
    ):
        assert not is_believed(published(signature=signature)), signature


def test_weak_keys_are_not_pinned():
    """For a key of small order one signature fits many texts, and needs no private key."""
    order_8 = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
    for point in ("00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "00" * 31 + "80", order_8):
        with pytest.raises(InvalidValue, match="weak"):
            PinnedKey(b64(bytes.fromhex(point)))


@pytest.mark.parametrize(
    "key", ["", "AAAA", "x" * 44, KEY.public.rstrip("="), KEY.public + "\n", "é", KEY.pem().decode()]
)
def test_keys_that_are_none_are_not_pinned(key):
    """Base64 of 32 bytes is what a public key looks like."""
    with pytest.raises(InvalidValue, match="Base64 of 32 bytes"):
        PinnedKey(key)


def test_a_key_is_kept_in_a_file(tmp_path):
    """In PEM, as other tools write it; what is no such key is told, what is not there is an OSError."""
    new = SigningKey.new()
    assert new.public != SigningKey.new().public
    (tmp_path / "key.pem").write_bytes(new.pem())
    assert SigningKey.read(tmp_path / "key.pem") == new
    other = generate_private_key(SECP256R1())
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = Ed25519PrivateKey.generate().private_bytes(*pem, serialization.BestAvailableEncryption(b"x"))
    for text in (b"", b"x", other.private_bytes(*pem, serialization.NoEncryption()), locked):
        (tmp_path / "other.pem").write_bytes(text)
        with pytest.raises(Misuse, match="no Ed25519 private key"):
            SigningKey.read(tmp_path / "other.pem")
    with pytest.raises(OSError, match="No such file"):
        SigningKey.read(tmp_path / "nowhere.pem")


def test_a_key_goes_to_another_process_and_into_no_log():
    """Workers are started with it; what prints it shows nothing."""
    assert pickle.loads(pickle.dumps(KEY)) == KEY
    assert pickle.loads(pickle.dumps(PIN)) == PIN
    assert "9d61" not in repr(KEY)
    assert repr(bytes.fromhex(RFC_8032[0][0]))[2:-1] not in repr(Agent(PEER, manifest_key=KEY).settings)
