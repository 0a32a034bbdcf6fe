"""Where a client may connect to, by the addresses that a resolver answered."""

import pytest

from asap_proto.errors import ForbiddenTarget, InvalidValue
from asap_proto.rules.targets import Targets, parse_targets, redirect_host, targets_of

PUBLIC = parse_targets("public")


@pytest.mark.proves("client.targets")
@pytest.mark.parametrize(
    "address",
    [
        *("9.9.9.9", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0"),
        *("198.17.255.255", "198.20.0.0", "223.255.255.255", "168.63.129.15", "2606:4700::1111", "2620:fe::fe"),
        *("::ffff:9.9.9.9", "64:ff9b::9.9.9.9", "2001:200::1", "2001:4860:4860::8888", "2003::1"),
    ],
)
def test_what_is_for_everybody_is_public(address):
    """Right up to the networks that are not."""
    assert PUBLIC.allows(address)


@pytest.mark.proves("client.targets")
@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.255.255.255", "10.0.0.0", "10.255.255.255", "100.64.0.0", "100.127.255.255", "127.0.0.1"),
        *("127.255.255.255", "168.63.129.16", "169.254.169.254", "172.16.0.0", "172.31.255.255", "192.0.0.192"),
        *("192.0.2.1", "192.88.99.1", "192.168.0.0", "192.168.255.255", "198.18.0.0", "198.19.255.255"),
        *("198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.0", "255.255.255.255"),
        # unspecified, loopback, link-local with and without its interface, site-local, unique-local, multicast
        *("::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1"),
        # discard, benchmarks and documentation, reserved, what nobody was given
        *("100::1", "2001:2::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1", "1fff::1"),
        # others in disguise: mapped, compatible, translated, 6to4, Teredo
        *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::10.0.0.1"),
        *("64:ff9b::169.254.169.254", "64:ff9b:1::9.9.9.9", "2002:7f00:1::", "2002:909:909::", "2001:0:7f00:1::"),
        *("2001::80ff:fffe",),
        # spellings that a resolver takes are none of an address
        *("0x7f.1", "0177.0.0.1", "2130706433", "127.1", "", "localhost", "9.9.9.9 ", "9.9.9.9:443", "[::1]"),
    ],
)
def test_what_is_not_for_everybody_is_not_public(address):
    """Neither as itself, nor in disguise; and what is no address may be anything."""
    assert not PUBLIC.allows(address)


@pytest.mark.proves("client.targets")
@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost.", "agents.localhost", "127.0.0.1", "127.8.8.8", "::1", "127.0.0.1%lo"]
)
def test_a_url_that_names_this_machine_stays_on_it(host):
    """Unless somebody says more: whatever the name leads to elsewhere is refused."""
    targets = targets_of(host)
    assert targets.public is False
    assert all(map(targets.allows, ("127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1")))
    assert not any(map(targets.allows, ("9.9.9.9", "10.0.0.1", "169.254.169.254", "0.0.0.0", "::", "fe80::1")))


@pytest.mark.proves("client.targets")
@pytest.mark.parametrize("host", ["agents.example", "10.0.0.1", "fe80::1%lo", "localhost.example", "xlocalhost", ""])
def test_any_other_url_leads_to_what_is_public(host):
    """Its name, or its address, gives no leave to go inside."""
    assert targets_of(host) == PUBLIC


@pytest.mark.proves("client.targets")
def test_any_address_may_be_allowed():
    """For a network of one's own, where names are believed."""
    anywhere = parse_targets("any")
    assert all(map(anywhere.allows, ("9.9.9.9", "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "ff02::1")))
    assert not anywhere.allows("localhost")


@pytest.mark.proves("client.targets")
def test_networks_are_allowed_by_name():
    """They alone, or beside what is public; an IPv4 address in its IPv6 spelling too."""
    inside = parse_targets(["10.0.0.0/8", " ::1 "])
    assert inside == parse_targets(iter(["10.0.0.0/8", "::1"]))
    for address in ("10.255.255.255", "::ffff:10.0.0.1", "64:ff9b::a00:1", "::1"):
        assert inside.allows(address)
    for address in ("11.0.0.0", "9.9.9.9", "::2", "127.0.0.1"):
        assert not inside.allows(address)
    both = parse_targets(["public", "10.0.0.0/8"])
    assert both.allows("10.0.0.1")
    assert both.allows("9.9.9.9")
    assert not both.allows("192.168.0.1")
    assert parse_targets("127.0.0.0/8").allows("127.0.0.1")
    assert Targets() == PUBLIC


@pytest.mark.parametrize("targets", ["", "private", "10.0.0.1/8", "all", "localhost", ["public", "10"], []])
def test_targets_that_are_none(targets):
    """Whoever wrote them is told; a network with bits of a host may be a slip."""
    with pytest.raises(InvalidValue, match="expected 'public'"):
        parse_targets(targets)


@pytest.mark.proves("client.targets")
def test_all_addresses_of_a_name_are_looked_at():
    """One that is forbidden is enough, and so is none; which one it was is not told."""
    PUBLIC.check("agents.example", ["9.9.9.9", "2620:fe::fe"])
    for addresses in (["9.9.9.9", "10.0.0.1"], ["10.0.0.1", "9.9.9.9"], ["::1"], []):
        with pytest.raises(ForbiddenTarget) as caught:
            PUBLIC.check("agents.example", addresses)
        assert caught.value.message == "agents.example leads to an address that may not be connected to (see targets)"


def test_of_an_endless_name_only_the_beginning_is_told():
    """256 characters, as many as a name can have."""
    with pytest.raises(ForbiddenTarget) as caught:
        PUBLIC.check("a" * 257, [])
    assert caught.value.message.startswith("a" * 256 + " leads")


@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("https://Other.example/asap?token=secret#x", "other.example"),
        ("https://user:secret@other.example:8443", "other.example"),
        ("http://[::1]:80/", "[::1]"),
        ("//other.example/x", "other.example"),
        ("https://other.example?secret", "other.example"),
        ("/secret", None),
        ("../asap", None),
        ("", None),
        ("https://", None),
        ("ftp://other.example/", None),
        ("https://a b/", None),
        ("https://other.example:secret/", None),
        ("https://é.example/", None),
        ("https://" + "a" * 5000, "a" * 256),
    ],
)
def test_a_redirect_is_told_by_its_host_alone(location, host):
    """What else a Location says may be a secret, and what is odd is not repeated."""
    assert redirect_host(location) == host
