"""Where a client may connect to: so that no name which a stranger chose leads to this machine, or to one beside it.

A name says nothing: it may lead anywhere, and elsewhere a moment later (DNS rebinding). So what is judged are the
addresses that a resolver answered, each of them, and the connection goes to one of these, without asking again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ..errors import ForbiddenTarget, InvalidValue
from ..plain import plain

__all__ = ["Targets", "parse_targets", "redirect_host", "targets_of"]

_absolute = re.compile(
    r"(?:https?:)?//(?:[^/?#@]*@)?(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{0,5})?(?:[/?#].*)?"
).fullmatch

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

#: IPv4 that is not for everybody, of IANA's registry of special-purpose addresses. Written down here, as what Python's
#: own `is_global` says has changed between its releases.
_KEPT_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",  # private
            "100.64.0.0/10",  # shared by a carrier's customers
            "127.0.0.0/8",  # loopback
            "168.63.129.16/32",  # the host of a virtual machine in Azure: not in the registry, but for it alone
            "169.254.0.0/16",  # link-local, with the metadata of most clouds
            "172.16.0.0/12",  # private
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # relays of 6to4
            "192.168.0.0/16",  # private
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
#: All that is given out for everybody (RFC 4291 section 2.4): what lies outside is loopback, link-local, unique-local,
#: multicast, unspecified, IPv4-compatible or reserved.
_GIVEN_V6 = IPv6Network("2000::/3")
#: Of that, what is not for everybody, or is another address in disguise.
_KEPT_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments, with Teredo
            "2001:db8::/32",  # documentation
            "2002::/16",  # 6to4
            "3fff::/20",  # documentation
        ),
    )
)
#: Where DNS64 puts the IPv4 addresses of the world (RFC 6052): judged as what they stand for.
_NAT64 = IPv6Network("64:ff9b::/96")


@plain
class Targets:
    """The addresses that may be connected to: all that are for everybody, or some networks, or both."""

    public: bool = True
    networks: tuple[_Network, ...] = ()

    def allows(self, address: str) -> bool:
        """Whether this address may be connected to; text that is none may not."""
        try:
            found = ip_address(address)
        except ValueError:
            return False
        meant = _meant(found)
        named = any(found in network or meant in network for network in self.networks)
        return named or (self.public and _is_public(meant))

    def check(self, host: str, addresses: Sequence[str]) -> None:
        """Raises `ForbiddenTarget` unless `host` leads somewhere, and nowhere but where it may.

        One address that may not be connected to is enough: which of them is tried is chance, and whose name it is
        could choose it.
        """
        if not addresses or not all(map(self.allows, addresses)):
            # It does not say which: to tell a stranger what a name means in here is half of what it is after.
            raise ForbiddenTarget(f"{host[:256]} leads to an address that may not be connected to (see targets)")


#: Every address there is, and those of the machine itself.
_ANY: tuple[_Network, ...] = (IPv4Network("0.0.0.0/0"), IPv6Network("::/0"))
_LOOPBACK: tuple[_Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


def parse_targets(targets: str | Iterable[str]) -> Targets:
    """``public``, ``any``, and networks such as ``10.0.0.0/8``: one, or several; raises `InvalidValue`."""
    names = [name.strip() for name in ([targets] if isinstance(targets, str) else targets)]
    if not names:
        raise InvalidValue("targets that are none allow nothing; expected 'public', or networks such as 10.0.0.0/8")
    networks = tuple(_network(name) for name in names if name not in ("public", "any"))
    return Targets("public" in names, (*networks, *(_ANY if "any" in names else ())))


def targets_of(host: str) -> Targets:
    """Where a URL of this host may lead when nobody has said more: what names this machine stays on it (RFC 6761).

    Anything else leads to what is public.
    """
    name = host.lower().removesuffix(".")
    try:
        is_here = ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        is_here = name == "localhost" or name.endswith(".localhost")
    return Targets(False, _LOOPBACK) if is_here else Targets()


def redirect_host(location: str) -> str | None:
    """The host that a Location header names, where it names one; what else stands there may be a secret."""
    found = _absolute(location[:4096].lower())
    return found[1][:256] if found is not None else None


def _network(text: str) -> _Network:
    try:
        return ip_network(text)
    except ValueError:
        raise InvalidValue(
            f"{text[:64]!r} is no target; expected 'public', 'any', or addresses and networks such as 10.0.0.0/8 or ::1"
        ) from None


def _meant(address: _Address) -> _Address:
    """The IPv4 address that an IPv6 one stands for, where a packet to the one reaches the other."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_public(address: _Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _KEPT_V4)
    return address in _GIVEN_V6 and not any(address in network for network in _KEPT_V6)
