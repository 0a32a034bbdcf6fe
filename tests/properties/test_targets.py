"""No address that Python's own tables call special is ever for everybody, in whatever disguise it comes."""

from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import example, given
from hypothesis import strategies as st

from asap_proto.rules.targets import parse_targets, redirect_host

PUBLIC = parse_targets("public")
#: Near the edges of special networks chance alone would seldom look.
V4 = st.integers(0, 2**32 - 1).map(IPv4Address) | st.ip_addresses(v=4)
V6 = st.integers(0, 2**128 - 1).map(IPv6Address) | st.ip_addresses(v=6)


def is_special(address):
    kinds = ("private", "loopback", "link_local", "multicast", "reserved", "unspecified")
    return any(getattr(address, f"is_{kind}") for kind in kinds) or getattr(address, "is_site_local", False)


@given(V4)
@example(IPv4Address("100.64.0.1"))
@example(IPv4Address("192.168.255.255"))
def test_an_address_is_judged_alike_in_every_disguise(address):
    """What leads to an IPv4 address is as public as that; what led there once is not public at all."""
    number = int(address)
    allowed = PUBLIC.allows(str(address))
    assert not (allowed and is_special(address))
    mapped, translated = IPv6Address((0xFFFF << 32) | number), IPv6Address((0x64FF9B << 96) | number)
    assert PUBLIC.allows(str(mapped)) == PUBLIC.allows(str(translated)) == allowed
    for disguise in (number, (0x2002 << 112) | (number << 80), (0x20010000 << 96) | (number ^ 0xFFFFFFFF)):
        assert not PUBLIC.allows(str(IPv6Address(disguise)))


#: Where DNS64 puts the IPv4 addresses of the world (RFC 6052); Python calls all of them reserved.
NAT64 = ip_network("64:ff9b::/96")


@given(V6)
@example(IPv6Address("64:ff9b::100:0"))
@example(IPv6Address("64:ff9b::a00:0"))
def test_no_special_address_is_public(address):
    """Python's tables grow from release to release, and ours never say less."""
    meant = IPv4Address(int(address) & 0xFFFFFFFF) if address in NAT64 else address.ipv4_mapped or address
    assert not (PUBLIC.allows(str(address)) and is_special(meant))


@given(V4 | V6, st.integers(0, 32))
@example(IPv6Address("64:ff9b::1"), 32)
@example(IPv6Address("::ffff:1"), 32)
def test_a_network_that_is_named_is_allowed_and_nothing_else(address, length):
    """Whatever it is: who names it means it."""
    network = ip_network(f"{address}/{length}", strict=False)
    allowed = parse_targets([str(network)])
    assert allowed.allows(str(network[0]))
    outside = network[-1] + 1 if int(network[-1]) + 1 < 2**network.max_prefixlen else None
    if outside is not None and getattr(outside, "ipv4_mapped", None) is None:
        assert not allowed.allows(str(outside))


@given(st.text() | st.from_regex(r"https?://[a-z:@.\[\]/]*"))
def test_a_location_may_say_anything(location):
    """It is told as a host or not at all."""
    host = redirect_host(location)
    assert host is None or (host.isascii() and host.isprintable() and not set(host) & set("/?#@ "))
