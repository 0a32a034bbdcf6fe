"""At whose address a caller is, where proxies stand in between: what they say of it counts if they were named."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from ..errors import InvalidValue
from ..http import Headers
from ..plain import plain

__all__ = ["Proxies", "bucket_of", "is_local", "parse_proxies"]

#: Proxies on a caller's way that are looked at; nobody has as many, and each costs time.
_HOPS_MOST = 32
#: What an IPv6 host is given at least (RFC 6177): it has all addresses of it.
_IPV6_SITE = 64

#: Characters of the longest address: IPv6 with a zone and a port.
_ADDRESS_LENGTH = 64

#: One parameter of a Forwarded element (RFC 7239 section 4): a token, or a quoted text.
_pair = re.compile(r"""[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]+)[ \t]*""")
_port = re.compile(r"(?:\[([^\[\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?").fullmatch

_Address = IPv4Address | IPv6Address


@plain
class Proxies:
    """Those who are believed when they say for whom they ask."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    #: Whoever connects by a unix socket, and so from no address.
    unix: bool = False

    def address_of(self, peer: str, headers: Headers) -> str:
        """The address of the caller: the last one on the way here that is no proxy of ours.

        `peer` is who has connected. What a caller wrote itself stands further from us than what our proxies add, so
        it is never reached. Where X-Forwarded-For and Forwarded are both there, the proxy may know one of them alone
        and have passed the other on: they count if they agree. What names no address leaves the last one that did.
        """
        near = _address(peer)
        if not (self.unix and not peer if near is None else self._has(near)):
            return peer
        far = set()
        if (listed := headers.get("x-forwarded-for")) is not None:
            far.add(self._farthest(near, listed.split(",")))
        if (told := headers.get("forwarded")) is not None:
            far.add(self._farthest(near, _forwarded(told)))
        if len(far) > 1:
            return peer
        found = far.pop() if far else near
        return peer if found is None else str(found)

    def _farthest(self, near: _Address | None, hops: list[str]) -> _Address | None:
        for hop in hops[: -_HOPS_MOST - 1 : -1]:
            far = _address(hop)
            if far is None:
                return near
            near = far
            if not self._has(near):
                return near
        return near

    def _has(self, address: _Address) -> bool:
        return any(address in network for network in self.networks)


def parse_proxies(texts: Iterable[str]) -> Proxies:
    """Addresses and networks, such as ``10.0.0.0/8`` and ``::1``, or ``unix``; raises `InvalidValue`."""
    networks, unix = [], False
    for text in texts:
        if text.strip() == "unix":
            unix = True
            continue
        try:
            networks.append(ip_network(text.strip()))
        except ValueError:
            raise InvalidValue(
                f"{text[:64]!r} is no address and no network of them; expected something like 10.0.0.0/8, ::1 or unix"
            ) from None
    return Proxies(tuple(networks), unix)


def bucket_of(address: str) -> str:
    """What is counted as one caller: an IPv4 address, or all that an IPv6 host can call its own."""
    # Longer than any address is what a proxy made up: that is not remembered.
    return _known_bucket(address) if len(address) <= _ADDRESS_LENGTH else _bucket(address)


def _bucket(address: str) -> str:
    found = _address(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found, _IPV6_SITE), strict=False))
    return address if found is None else str(found)


def is_local(address: str) -> bool:
    """Whether a caller is on this machine: at a loopback address, or at none, as behind a Unix socket."""
    return _known_place(address) if len(address) <= _ADDRESS_LENGTH else _is_local(address)


def _is_local(address: str) -> bool:
    found = _address(address)
    return found is None or found.is_loopback


_known_bucket = lru_cache(maxsize=1024)(_bucket)  # to read an address is dear, and a caller comes again
_known_place = lru_cache(maxsize=1024)(_is_local)


def _address(text: str) -> _Address | None:
    """An address, with or without a port; IPv4 in its IPv6 spelling is IPv4."""
    text = text.strip()
    if match := _port(text):
        text = match[1] or match[2] or ""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _forwarded(text: str) -> list[str]:
    """Whom each element of a Forwarded header says it is for; nobody where it does not say, or can't be read."""
    hops, at, hop = [], 0, ""
    while True:
        found = _pair.match(text, at)
        end = text[found.end() : found.end() + 1] if found else None
        if found is None or end not in (",", ";", ""):
            # What stands behind may be inside of what a caller has begun.
            return [""]
        if found[1].lower() == "for":
            hop = found[2].strip('"')
        if end != ";":
            hops.append(hop)
            hop = ""
        if not end:
            return hops
        at = found.end() + 1
