"""At whose address a caller is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asap_proto.errors import InvalidValue
from asap_proto.http import fold
from asap_proto.rules.forwarding import Proxies, bucket_of, is_local, parse_proxies

NEAR = "10.0.0.1"
OURS = parse_proxies(["10.0.0.0/8", "::1", " fd00::/8 "])


def at(*, peer=NEAR, proxies=OURS, **headers):
    return proxies.address_of(peer, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.proves("quota.forwarded")
@pytest.mark.parametrize("peer", ["192.0.2.9", "11.0.0.1", "::2", "", "unix:", "10.0.0.1.example"])
def test_nobody_else_is_believed(peer):
    """Who is no proxy of ours is where it connects from, whatever it says."""
    assert at(peer=peer, x_forwarded_for="192.0.2.1", forwarded="for=192.0.2.1") == peer


@pytest.mark.proves("quota.forwarded")
def test_without_proxies_nobody_is_believed():
    """Which is so unless they are named."""
    assert at(proxies=Proxies(), x_forwarded_for="192.0.2.1") == NEAR


@pytest.mark.proves("quota.forwarded")
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("2001:DB8:0::1%eth0", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.7, 192.0.2.1", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.3, fd00::7 ,10.0.0.2", "192.0.2.1"),
        ("10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("", NEAR),
        ("192.0.2.1,", NEAR),
        ("192.0.2.1, unknown", NEAR),
        ("192.0.2.1, 10.0.0.2, _hidden, 10.0.0.3", "10.0.0.3"),
        ("192.0.2.1, 999.0.0.1", NEAR),
        ("192.0.2.1, 10.0.0.2.example", NEAR),
        ("192.0.2.1, ::ffff:10.0.0.2", "192.0.2.1"),
        ("192.0.2.1" + ", 10.0.0.2" * 31, "192.0.2.1"),
        ("192.0.2.1" + ", 10.0.0.2" * 32, "10.0.0.2"),
        ("192.0.2.1" + ", 10.0.0.2" * 100_000, "10.0.0.2"),
    ],
)
def test_the_last_address_that_is_no_proxy_counts(value, found):
    """What stands before it the caller may have written; after what is no address nothing is known."""
    assert at(x_forwarded_for=value) == found


@pytest.mark.proves("quota.forwarded")
@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("for=192.0.2.1", "192.0.2.1"),
        ("For=192.0.2.1;proto=http;by=203.0.113.43", "192.0.2.1"),
        ('proto=https;for="192.0.2.1:4711"', "192.0.2.1"),
        ('for="[2001:db8::1]:4711"', "2001:db8::1"),
        ('for=192.0.2.7, for=192.0.2.1, for="10.0.0.2"', "192.0.2.1"),
        ("for=192.0.2.1 , proto=http", NEAR),
        ('for=192.0.2.7"for=192.0.2.1', NEAR),
        ("for=X192.0.2.1", NEAR),
        ("for=_hidden", NEAR),
        ("for=unknown", NEAR),
        ("for=192.0.2.1;", NEAR),
        ("for=192.0.2.1,", NEAR),
        ("for=192.0.2.1 for=192.0.2.2", NEAR),
        ("for = 192.0.2.1", NEAR),
        ("", NEAR),
        ("192.0.2.1", NEAR),
        ('for="192.0.2.9, for=192.0.2.1', NEAR),
        ('for="x, for="[2001:db8::1]"', NEAR),
        ('for="192.0.2.9\\", for=192.0.2.8"', NEAR),
        ('for="192.0.2.9", for=192.0.2.1;host="a, for=b"', "192.0.2.1"),
    ],
)
def test_the_same_in_the_words_of_rfc_7239(value, found):
    """What can't be read says nothing: what a caller has begun may reach into what our proxy adds."""
    assert at(forwarded=value) == found


@pytest.mark.parametrize("headers", [{}, {"x_forwarded_for": "unknown"}, {"forwarded": "for=unknown"}])
def test_a_proxy_that_names_nobody_is_the_caller(headers):
    """By one spelling, whatever it says: in two it would be two callers."""
    assert at(peer="::ffff:10.0.0.1", **headers) == NEAR


@pytest.mark.proves("quota.forwarded")
def test_both_headers_have_to_agree():
    """A proxy that writes one of them passes the other on, as the caller has made it up."""
    assert at(x_forwarded_for="192.0.2.1", forwarded="for=192.0.2.1") == "192.0.2.1"
    assert at(x_forwarded_for="192.0.2.1", forwarded="for=192.0.2.2") == NEAR
    assert at(x_forwarded_for="192.0.2.1", forwarded="") == NEAR
    assert at() == NEAR


@pytest.mark.proves("quota.forwarded")
def test_headers_that_come_twice_are_one_list():
    """A proxy may add a line of its own: what the caller wrote stands before it, and does not count."""
    for name, first, second in (
        (b"X-Forwarded-For", b"192.0.2.9", b"192.0.2.1"),
        (b"Forwarded", b"for=192.0.2.9", b"for=192.0.2.1"),
    ):
        assert OURS.address_of(NEAR, fold([(name, first), (name, second)])) == "192.0.2.1"


@pytest.mark.proves("quota.forwarded")
@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({"x_forwarded_for": "192.0.2.9, 192.0.2.1"}, "192.0.2.1"),
        ({"x_forwarded_for": "192.0.2.1, 10.0.0.2"}, "192.0.2.1"),
        ({"forwarded": "for=192.0.2.1"}, "192.0.2.1"),
        ({"x_forwarded_for": "192.0.2.1", "forwarded": "for=192.0.2.1"}, "192.0.2.1"),
        ({"x_forwarded_for": "192.0.2.1", "forwarded": "for=192.0.2.2"}, ""),
        ({"x_forwarded_for": "unix:", "forwarded": "for=192.0.2.2"}, ""),
        ({"x_forwarded_for": "unknown"}, ""),
        ({}, ""),
    ],
)
def test_a_gateway_on_a_unix_socket(headers, found):
    """It has no address itself, and is believed where that was said; whoever has an address is judged by it."""
    gateway = parse_proxies(["unix", "10.0.0.0/8"])
    assert at(peer="", proxies=gateway, **headers) == found
    assert at(peer="192.0.2.9", proxies=gateway, **headers) == "192.0.2.9"
    assert at(peer="192.0.2.9", proxies=parse_proxies(["unix"]), **headers) == "192.0.2.9"


WRITTEN = st.text(st.characters(codec="latin-1"), max_size=60) | st.text('for="=[];, .:192\\', max_size=60)


@pytest.mark.proves("quota.forwarded")
@given(WRITTEN, WRITTEN)
def test_nothing_that_a_caller_writes_moves_it(listed, told):
    """It is where our proxy saw it, or where our proxy is: never where it likes."""
    assert at(x_forwarded_for=f"{listed}, 192.0.2.1") == "192.0.2.1"
    assert at(forwarded=f"{told}, for=192.0.2.1") in ("192.0.2.1", NEAR)
    assert at(x_forwarded_for=f"{listed}, 192.0.2.1", forwarded=told) in ("192.0.2.1", NEAR)
    assert at(x_forwarded_for=listed, forwarded=f"{told}, for=192.0.2.1") in ("192.0.2.1", NEAR)
    assert at(peer="192.0.2.1", x_forwarded_for=listed, forwarded=told) == "192.0.2.1"


def test_a_unix_socket_is_believed_where_it_was_named():
    """Between addresses too, and with blanks around it; without that word it is not."""
    assert parse_proxies(["::1", " unix ", "10.0.0.0/8"]).unix is True
    assert parse_proxies(["::1", "10.0.0.0/8"]).unix is False
    assert len(parse_proxies(["unix", "10.0.0.0/8", "::1"]).networks) == 2


@pytest.mark.parametrize("text", ["", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "*", "10.0.0.0-10.0.0.9"])
def test_proxies_are_addresses_and_networks(text):
    """A name would have to be looked up, and may lead elsewhere tomorrow."""
    with pytest.raises(InvalidValue, match=r"10\.0\.0\.0/8"):
        parse_proxies(["::1", text])


@pytest.mark.parametrize(
    ("address", "bucket"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::4", "2001:db8:1:3::/64"),
        ("", ""),
        ("testclient", "testclient"),
    ],
)
def test_who_is_counted_as_one(address, bucket):
    """An IPv6 host has a network of addresses to itself, and would be somebody new with each."""
    assert bucket_of(address) == bucket


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("", True),
        ("unix:", True),
        ("x" * 65, True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("2001:db8::1%" + "z" * 54, False),
    ],
)
def test_who_is_on_this_machine(address, local):
    """Whoever is at a loopback address, or at none; the length of what was told does not matter."""
    assert is_local(address) is local


def test_what_is_longer_than_any_address_is_not_remembered():
    """A proxy may make up whole lines of text, each another: a thousand of them would be held."""
    first, again = ("".join(["x"] * 100) for _ in range(2))
    assert bucket_of(first) is first
    assert bucket_of(again) is again
