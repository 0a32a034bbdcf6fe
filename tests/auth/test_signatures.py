"""Signed requests: who signed, what, and when."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import attrs
import pytest
from http_message_signatures import MappingKeyResolver
from http_message_signatures.exceptions import HTTPMessageSignaturesException

from asap_adapters._shared.schemes import CREDENTIAL_LENGTH
from asap_adapters.auth.signatures import COVERED, SECRET_BYTES, SharedKey, Signatures, Signer, verified
from asap_proto.errors import InvalidTimestamp, InvalidValue, Misuse, Unauthenticated
from asap_proto.http import HttpRequest, RequestHead
from asap_proto.limits import Limits
from asap_proto.rules.identity import Identity, SignedIdentity
from asap_proto.wire.digests import BodyDigest
from asap_testkit import NOW

from .given import URN, head

SECRET = bytes(range(32))
OTHER = bytes(range(1, 33))
BODY = b'{"jsonrpc":"2.0"}'
SIGNED_AT = int(NOW.timestamp())

#: RFC 9421 appendix B.1.5 and B.2.
SHARED = base64.b64decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
EXAMPLE = RequestHead(
    "POST",
    "/foo",
    {
        "host": "example.com",
        "date": "Tue, 20 Apr 2021 02:07:55 GMT",
        "content-type": "application/json",
        "content-length": "18",
        "signature-input": 'sig-b25=("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"',
        "signature": "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:",
    },
)
EXAMPLE_AT = datetime.fromtimestamp(1618884473, UTC)


def agent(secret=SECRET, *, urn=URN, **options):
    return Signatures({"ali-1": SharedKey(secret, urn)}, **options)


def signed(
    *, secret=SECRET, key_id="ali-1", base_url="https://peer.example", at=NOW, nonce="nonce-1", body=BODY, **headers
):
    """A request as our client signs it, and as it arrives."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = HttpRequest("POST", "/asap", {"content-type": "application/json", **named}, body)
    added = Signer(key_id, secret).headers(request, base_url, now=at, nonce=nonce)
    host = base_url.partition("//")[2].partition("/")[0]
    return RequestHead("POST", "/asap", {"host": host, **request.headers, **added}, "192.0.2.1")


def by_hand(components, parameters, *, secret=SECRET, label="x", **headers):
    """A request signed as RFC 9421 section 2.5 says, whatever it leaves out."""
    values = {
        "@method": "POST",
        "@path": "/asap",
        "@authority": "peer.example",
        "host": "peer.example",
        "content-digest": f"sha-256=:{base64.b64encode(hashlib.sha256(BODY).digest()).decode()}:",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    said = f"({' '.join(f'{chr(34)}{name}{chr(34)}' for name in components)}){parameters}"
    lines = [*(f'"{name}": {values[name]}' for name in components), f'"@signature-params": {said}']
    mac = hmac.digest(secret, "\n".join(lines).encode(), "sha256")
    sent = {name: value for name, value in values.items() if not name.startswith("@")}
    sent |= {"signature-input": f"{label}={said}", "signature": f"{label}=:{base64.b64encode(mac).decode()}:"}
    return RequestHead("POST", "/asap", sent, "192.0.2.1")


def usual(**changes):
    """The parameters of a good signature, changed; None leaves one out."""
    plain = {"created": SIGNED_AT, "keyid": "ali-1", "nonce": "nonce-1", "tag": "asap", **changes}
    written = {
        name: value if isinstance(value, int) else f'"{value}"' for name, value in plain.items() if value is not None
    }
    return "".join(f";{name}={value}" for name, value in written.items())


def changed(request, **headers):
    """The request with headers changed on its way; None takes one away."""
    named = {**request.headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return attrs.evolve(request, headers={name: value for name, value in named.items() if value is not None})


def example(request=EXAMPLE, *, secret=SHARED, now=EXAMPLE_AT, covers=("date", "@authority", "content-type")):
    keys = MappingKeyResolver(public_keys={"test-shared-secret": secret}, private_keys={})
    return verified(request, keys, covers=covers, tag=None, now=now, limits=Limits())


def test_the_example_of_the_standard():
    """RFC 9421 appendix B.2.5 verifies, at its own time, whatever the clock of this machine says."""
    result = example()
    assert result.parameters == {"created": 1618884473, "keyid": "test-shared-secret"}
    assert result.covered_components['"@authority"'] == "example.com"


@pytest.mark.parametrize(
    "changes",
    [
        {"date": "Tue, 20 Apr 2021 02:07:56 GMT"},
        {"content_type": "application/JSON"},
        {"host": "example.org"},
        {"signature": "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtF8=:"},
        {"signature": "sig-b26=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:"},
    ],
    ids=repr,
)
def test_the_example_of_the_standard_tampered_with(changes):
    """Nothing that it covers may change."""
    with pytest.raises(HTTPMessageSignaturesException):
        example(changed(EXAMPLE, **changes))


def test_the_example_of_the_standard_for_other_keys_times_and_needs():
    """Another secret, a time outside the window, or a component that it does not cover."""
    with pytest.raises(HTTPMessageSignaturesException):
        example(secret=SHARED[:-1] + b"x")
    with pytest.raises(HTTPMessageSignaturesException, match="@method"):
        example(covers=("@method",))
    with pytest.raises(InvalidTimestamp):
        example(now=NOW)


def test_what_we_sign_we_verify():
    """The agent of the key, with what is left to check: the nonce, and the body's digest."""
    scoped = Identity(URN, frozenset({"read"}))
    answer = agent(urn=scoped).verify(signed(), NOW)
    expected = {"sha-256": hashlib.sha256(BODY).digest()}
    assert answer == SignedIdentity(
        URN,
        frozenset({"read"}),
        nonce="nonce-1",
        key_id="ali-1",
        created=NOW.replace(microsecond=0),
        digests=expected,
    )
    digest = BodyDigest(answer.digests)
    digest.feed(BODY)
    digest.finish()
    other = BodyDigest(answer.digests)
    other.feed(BODY + b" ")
    with pytest.raises(Unauthenticated):
        other.finish()


def test_an_empty_body_is_signed_too():
    """It has a digest like any other."""
    assert agent().verify(signed(body=b""), NOW).digests == {"sha-256": hashlib.sha256(b"").digest()}


def test_each_try_is_signed_by_itself():
    """Another nonce makes another signature."""
    assert signed(nonce="a").headers["signature"] != signed(nonce="b").headers["signature"]
    assert agent().verify(signed(nonce="b"), NOW).nonce == "b"


def test_what_was_there_stays():
    """Signing adds headers and changes none."""
    request = HttpRequest("POST", "/asap", {"x-idempotency-key": "k", "accept": "application/json"}, BODY)
    added = Signer("ali-1", SECRET).headers(request, "https://peer.example", now=NOW, nonce="n")
    assert added.keys() == {"content-digest", "signature-input", "signature"}
    assert request.headers == {"x-idempotency-key": "k", "accept": "application/json"}


@pytest.mark.parametrize(
    "request_head",
    [
        attrs.evolve(signed(), method="PUT"),
        attrs.evolve(signed(), method="post"),
        attrs.evolve(signed(), path="/asap/stream"),
        attrs.evolve(signed(), path="/asap "),
        attrs.evolve(signed(), path="/asap?x"),
        attrs.evolve(signed(), path="/asap#x"),
        changed(signed(), host="other.example"),
        changed(signed(), host=None),
        changed(signed(), host="a b"),
        changed(signed(), content_digest=signed(body=b"{}").headers["content-digest"]),
        changed(signed(), content_digest=None),
        changed(signed(), content_digest="sha-256=:" + "A" * 44 + ":"),
        changed(signed(), signature_input=signed().headers["signature-input"].replace("nonce-1", "nonce-2")),
        changed(
            signed(), signature_input=signed().headers["signature-input"].replace(str(SIGNED_AT), str(SIGNED_AT + 1))
        ),
        changed(signed(), signature_input=signed().headers["signature-input"].replace("ali-1", "ali-2")),
        changed(signed(), signature_input=signed().headers["signature-input"].replace("hmac-sha256", "ed25519")),
        changed(signed(), signature_input=signed().headers["signature-input"].replace('"@path" ', "")),
        changed(signed(), signature_input=None),
        changed(signed(), signature_input=""),
        changed(signed(), signature_input="asap"),
        changed(signed(), signature=None),
        changed(signed(), signature="asap=:AAAA:"),
        changed(signed(), signature='asap="text"'),
        changed(signed(), x_idempotency_key="another"),
        changed(signed(), content_encoding="gzip"),
        changed(signed(x_idempotency_key="k"), x_idempotency_key="other"),
        changed(signed(x_idempotency_key="k"), x_idempotency_key=None),
        signed(secret=OTHER),
        signed(key_id="nobody"),
        head(),
    ],
)
def test_tampered_with(request_head):
    """Method, path, host, digest, nonce, time, key, and what changes a request's meaning: all as it was signed."""
    assert agent().verify(request_head, NOW) is None


def test_headers_that_mean_something_are_covered():
    """Our client covers those that are there."""
    assert agent().verify(signed(x_idempotency_key="k", content_encoding="gzip"), NOW) is not None


def test_what_was_signed_by_hand():
    """The least that a signature has to say, in any order, under any label, whoever made it."""
    assert agent().verify(by_hand(COVERED, usual()), NOW) is not None
    assert agent().verify(by_hand(("content-digest", "@path", "@method"), usual(alg="hmac-sha256")), NOW) is not None


@pytest.mark.parametrize("left_out", COVERED)
def test_what_has_to_be_covered(left_out):
    """Each of them."""
    components = [name for name in COVERED if name != left_out]
    assert agent().verify(by_hand(components, usual()), NOW) is None


@pytest.mark.parametrize(
    "parameters",
    [
        usual(created=None),
        usual(nonce=None),
        usual(keyid=None),
        usual(tag=None),
        usual(tag="other"),
        usual(alg="hmac-sha512"),
        usual(alg="none"),
        usual(created="now"),
        usual(created=10**14),
        usual(created=-(10**14)),
        usual(nonce=""),
        usual(nonce=" "),
        usual(nonce=5),
        usual(other="x"),
    ],
)
def test_what_a_signature_has_to_say_of_itself(parameters):
    """When, by whom, for what, and a nonce; of another algorithm, or of what we do not know, nothing."""
    assert agent().verify(by_hand(COVERED, parameters), NOW) is None


@pytest.mark.parametrize(("length", "passes"), [(1, True), (256, True), (257, False)])
def test_length_of_a_nonce(length, passes):
    """The longest that an envelope's may have still passes."""
    assert (agent().verify(by_hand(COVERED, usual(nonce="n" * length)), NOW) is not None) is passes


@pytest.mark.parametrize(
    ("age", "passes"), [(0, True), (300, True), (301, False), (-30, True), (-31, False), (-(10**9), False)]
)
def test_window_for_the_time_of_signing(age, passes):
    """That of envelopes: both ends still pass."""
    at = NOW.replace(microsecond=0)
    assert (agent().verify(signed(at=at), at + timedelta(seconds=age)) is not None) is passes


def test_the_window_is_that_of_the_limits():
    """As the deployment turns it."""
    at, limits = NOW.replace(microsecond=0), Limits(oldest_seconds=5, ahead_seconds=0)
    for age, passes in ((5, True), (6, False), (-1, False)):
        assert (agent(limits=limits).verify(signed(at=at), at + timedelta(seconds=age)) is not None) is passes


@pytest.mark.parametrize(("expires", "passes"), [(0, True), (-1, False), (10**14, False)])
def test_a_signature_may_end_earlier(expires, passes):
    """At the very second that it names it is still valid."""
    at = NOW.replace(microsecond=0)
    request = by_hand(COVERED, usual(expires=SIGNED_AT + expires))
    assert (agent().verify(request, at) is not None) is passes


@pytest.mark.parametrize(("nonce_seconds", "serves"), [(331, True), (330, False)])
def test_a_nonce_is_remembered_for_longer_than_a_signature_lives(nonce_seconds, serves):
    """Else it could be played again; that is told when the agent is built."""
    limits = Limits(nonce_seconds=nonce_seconds)
    if serves:
        assert agent(limits=limits).verify(signed(), NOW) is not None
    else:
        with pytest.raises(InvalidValue, match="nonce_seconds"):
            agent(limits=limits)


def test_behind_a_proxy_that_changes_host_and_path():
    """With the URL that callers use, what a proxy makes of host and path does not matter."""
    public = "https://agents.example/ali"
    request = changed(signed(base_url=public), host="10.0.0.7:8000")
    assert agent().verify(request, NOW) is None
    assert agent(url=public).verify(request, NOW) is not None
    assert agent(url=public + "/").verify(request, NOW) is not None
    assert agent(url="https://agents.example/bob").verify(request, NOW) is None
    assert agent(url="https://others.example/ali").verify(request, NOW) is None


def test_with_a_url_the_host_has_to_be_covered():
    """What was signed for one agent can't be played to another that knows the same secret."""
    assert agent(url="https://peer.example").verify(by_hand((*COVERED, "@authority"), usual()), NOW) is not None
    assert agent(url="https://peer.example").verify(by_hand(COVERED, usual()), NOW) is None


@pytest.mark.parametrize(
    ("asked", "host"),
    [
        ("https://PEER.example", "peer.example"),
        ("https://peer.example:443", "peer.example"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_the_host_as_our_client_names_it(asked, host):
    """In lower case, without the port that goes without saying."""
    assert agent().verify(changed(signed(base_url=asked), host=host), NOW) is not None


def test_a_gateway_may_sign_as_well():
    """Only what is tagged as ours is looked at; two of ours are none."""
    ours, theirs = signed(), by_hand(COVERED, usual(tag="gateway", keyid="gateway"), label="gateway", secret=OTHER)
    second = by_hand(COVERED, usual(nonce="nonce-2"), label="second")

    def together(other):
        names = ("signature-input", "signature")
        joined = {name.replace("-", "_"): f"{ours.headers[name]}, {other.headers[name]}" for name in names}
        return changed(ours, **joined)

    assert agent().verify(together(theirs), NOW).nonce == "nonce-1"
    assert agent().verify(together(second), NOW) is None


@pytest.mark.parametrize(
    ("digest", "known"),
    [
        ("sha-256=:{sha256}:", {"sha-256"}),
        ("sha-512=:{sha512}:", {"sha-512"}),
        ("sha-512=:{sha512}:, sha-256=:{sha256}:", {"sha-256", "sha-512"}),
        ("md5=:AAAA:, sha-256=:{sha256}:", {"sha-256"}),
        ("md5=:AAAA:", None),
        ("sha-256=:AAAA:", None),
        ("sha-256", None),
        ("sha-256=5", None),
        ("sha-256=(:AAAA:)", None),
        ("", None),
        ("=", None),
    ],
)
def test_digests_that_are_computed(digest, known):
    """One that we compute has to be there; the old ones are passed over (RFC 9530 section 5)."""
    made = {name: base64.b64encode(hashlib.new(name, BODY).digest()).decode() for name in ("sha256", "sha512")}
    answer = agent().verify(by_hand(COVERED, usual(), content_digest=digest.format(**made)), NOW)
    assert (answer and answer.digests.keys()) == known


def test_a_part_of_the_digest_is_not_enough():
    """To cover one member of Content-Digest leaves the others to whoever passes the request on."""
    digest = base64.b64encode(hashlib.sha256(BODY).digest()).decode()
    request = by_hand(("@method", "@path"), usual())
    said = f'("@method" "@path" "content-digest";key="sha-256"){usual()}'
    lines = [
        '"@method": POST',
        '"@path": /asap',
        f'"content-digest";key="sha-256": :{digest}:',
        f'"@signature-params": {said}',
    ]
    mac = base64.b64encode(hmac.digest(SECRET, "\n".join(lines).encode(), "sha256")).decode()
    assert agent().verify(changed(request, signature_input=f"x={said}", signature=f"x=:{mac}:"), NOW) is None


@pytest.mark.parametrize("name", ["signature", "signature-input", "content-digest"])
@pytest.mark.parametrize(("more", "passes"), [(0, True), (1, False)])
def test_length_of_what_is_read(name, more, passes):
    """Each of the headers may be as long as credentials may; one character more is not looked at."""
    request = signed()
    if name == "content-digest":
        filled = request.headers[name] + ", a=1;" + "b" * (CREDENTIAL_LENGTH - len(request.headers[name]) - 6 + more)
        request = by_hand(COVERED, usual(), content_digest=filled)
    else:
        gap = " " * (CREDENTIAL_LENGTH - len(request.headers[name]) + more)
        request = attrs.evolve(request, headers={**request.headers, name: request.headers[name] + gap})
    assert len(request.headers[name]) == CREDENTIAL_LENGTH + more
    assert (agent().verify(request, NOW) is not None) is passes


@pytest.mark.parametrize(("length", "serves"), [(SECRET_BYTES, True), (SECRET_BYTES - 1, False), (0, False)])
def test_length_of_a_secret(length, serves):
    """One that is shorter than the digest makes signatures weaker than that: refused on both sides."""
    if serves:
        assert agent(bytes(length)).verify(signed(secret=bytes(length)), NOW) is not None
        return
    with pytest.raises(InvalidValue, match="32 bytes"):
        SharedKey(bytes(length), URN)
    with pytest.raises(InvalidValue, match="32 bytes"):
        Signer("ali-1", bytes(length))


def test_what_can_not_be_served():
    """An agent without a URN and a URL that is none are refused when the agent is built."""
    with pytest.raises(InvalidValue):
        SharedKey(SECRET, "ali")
    with pytest.raises(Misuse):
        agent(url="agents.example")


@pytest.mark.parametrize("key_id", ["", "a\n", "čau"])
def test_ids_that_no_header_can_carry(key_id):
    """They are refused at once."""
    with pytest.raises(InvalidValue):
        Signer(key_id, SECRET)


@pytest.mark.parametrize(
    ("base_url", "headers"), [("https://a b", {}), ("https://peer.example", {"x-idempotency-key": "čau"})]
)
def test_what_can_not_be_signed(base_url, headers):
    """It is told as our own misuse, before anything is sent."""
    with pytest.raises(InvalidValue, match="can't be signed"):
        Signer("ali-1", SECRET).headers(HttpRequest("POST", "/asap", headers, BODY), base_url, now=NOW, nonce="n")


@pytest.mark.parametrize(("length", "serves"), [(1, True), (256, True), (257, False), (0, False)])
def test_length_of_a_key_id(length, serves):
    """It is remembered with each nonce, so it is no longer than one."""
    if serves:
        Signatures({"k" * length: SharedKey(SECRET, URN)})
    else:
        with pytest.raises(InvalidValue, match="id of a key"):
            Signatures({"k" * length: SharedKey(SECRET, URN)})


def test_an_id_may_have_quotes():
    """It is written as a structured field's text."""
    keys = {'a"b\\c': SharedKey(SECRET, URN)}
    assert Signatures(keys).verify(signed(key_id='a"b\\c'), NOW) is not None


def test_scheme_and_challenge():
    """The name in lower case, and what a refusal says that a signature has to cover."""
    scheme = agent()
    assert scheme.scheme == "signature"
    expected = 'Signature algorithm="hmac-sha256", tag="asap", components="@method @path content-digest"'
    assert scheme.challenge == expected


def test_a_secret_is_not_shown():
    """Not where keys are printed."""
    assert "secret" not in repr(SharedKey(SECRET, URN))
    assert repr(Signer("ali-1", SECRET)) == "Signer(key_id='ali-1')"
