"""Which addresses anybody may reach.

Python's `ipaddress` knows the registries of special addresses as of its own release; the lists here are added to it.
"""

from __future__ import annotations

import ipaddress

IPv4, IPv6 = ipaddress.IPv4Address, ipaddress.IPv6Address
DENIED = tuple(
    map(
        ipaddress.ip_network,
        (
            "0.0.0.0/8",  # this network
            "100.64.0.0/10",  # carriers' NAT; Alibaba's metadata
            "192.0.0.0/24",  # protocol assignments; Oracle's metadata
            "192.31.196.0/24",  # AS112
            "192.52.193.0/24",  # AMT
            "192.88.99.0/24",  # 6to4 relays
            "192.175.48.0/24",  # AS112
            "198.18.0.0/15",  # benchmarks
            "::/96",  # IPv4-compatible
            "::ffff:0:0:0/96",  # IPv4-translated
            "64:ff9b:1::/48",  # local NAT64
            "100::/32",  # discard-only, dummy
            "2001::/23",  # protocol assignments, Teredo among them
            "2001:db8::/32",  # documentation
            "2620:4f:8000::/48",  # AS112
            "3fff::/20",  # documentation
            "5f00::/16",  # segment routing
            "fec0::/10",  # site-local
        ),
    )
)
NAT64 = ipaddress.ip_network("64:ff9b::/96")
GLOBAL = ipaddress.ip_network("2000::/3")  # all that is assigned as unicast
ISATAP = (0x00005EFE, 0x02005EFE)  # the upper half of an interface id, before an IPv4 address


def is_public(host: str) -> bool:
    """Return whether anybody may reach an address; an IPv4 address within an IPv6 address must be public, too."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # not an address, but a spelling that the operating system would take for one
        return False
    inner = _embedded(address) if isinstance(address, IPv6) else None
    if inner is not None and not _is_public(inner):
        return False
    if isinstance(address, IPv6) and (address.ipv4_mapped or address in NAT64):
        return inner is not None
    return _is_public(address)


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    special = address.is_multicast or address.is_reserved or any(address in network for network in DENIED)
    unicast = isinstance(address, IPv4) or address in GLOBAL
    return address.is_global and unicast and not special


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address to which an IPv6 address leads by a tunnel or a translator, if it does."""
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address.sixtofour:
        return address.sixtofour
    last = IPv4(address.packed[-4:])
    if address in NAT64 or int.from_bytes(address.packed[8:12], "big") in ISATAP:
        return last
    return None
