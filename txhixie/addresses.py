"""
Hosts, ports and networks, as text.
"""

from __future__ import annotations

import re
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Brackets for IPv6, a name or IPv4 otherwise. No name is longer than 255 characters.
_AUTHORITY = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z._-]{1,255})(?::([0-9]{1,5}))?")
# This is stricter than ipaddress, which also accepts masks, and any text as a zone.
_NETWORK = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?")
_IPV4_MAPPED = IPv6Network("::ffff:0:0/96")


def parseAuthority(value: bytes) -> tuple[bytes, int | None] | None:
    """
    Read a host and an optional port, as in C{Host} (RFC 9110 section 7.2).

    @return: the host, with the brackets of an IPv6 address, and the port or C{None}; C{None}
        alone if C{value} is malformed.
    """
    match = _AUTHORITY.fullmatch(value)
    if match is None:
        return None
    port = None if match[2] is None else int(match[2])
    if port is not None and not 1 <= port <= 65535:
        return None
    return match[1], port


def parseAddress(text: str) -> Address | None:
    """
    Read an address. An IPv4-mapped IPv6 address (C{::ffff:1.2.3.4}) becomes IPv4.

    @return: C{None} if it is malformed.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def unmapped(text: str) -> str | None:
    """
    Return the IPv4 address in an IPv4-mapped IPv6 address (C{::ffff:1.2.3.4}), or C{None} for any
    other address.
    """
    if ":" not in text:
        return None
    address = parseAddress(text)
    return str(address) if isinstance(address, IPv4Address) else None


def parseNetwork(text: str) -> Network:
    """
    Read a network such as C{"10.0.0.0/8"} or C{"2001:db8::/32"}, or a single address.

    @raise ValueError: if it is neither, or has host bits set. Such a mistake must not make an
        address trusted that was not meant.
    """
    try:
        if not _NETWORK.fullmatch(text):
            raise ValueError
        network = ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"{text!r} is not a network like 10.0.0.0/8, nor an address") from None
    if network.network_address != ip_address(text.partition("/")[0]):
        raise ValueError(f"{text!r} has host bits set: the network would be {network}")
    if isinstance(network, IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        packed = network.network_address.packed[-4:]
        return IPv4Network((packed, network.prefixlen - _IPV4_MAPPED.prefixlen))
    return network
