"""Addresses that only some can reach, in every form that leads to one."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images.addresses import DENIED, is_public


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("64:ff9b::808:808", True),
        ("::ffff:8.8.8.8", True),
        ("2a00:1450:4001:810::5efe:808", True),
        ("192.0.0.192", False),
        ("192.0.0.9", False),
        ("192.88.99.1", False),
        ("198.18.0.1", False),
        ("192.31.196.1", False),
        ("192.175.48.1", False),
        ("3fff::1", False),
        ("3fff:fff::1", False),
        ("fec0::1", False),
        ("feff::1", False),
        ("5f00::1", False),
        ("100::1", False),
        ("2001:db8::1", False),
        ("4000::1", False),
        ("2a00:1450:4001:810:0:5efe:a9fe:a9fe", False),
        ("2a00:1450:4001:810:200:5efe:7f00:1", False),
        ("fe80::5efe:8.8.8.8", False),
        ("64:ff9b:1::808:808", False),
        ("64:ff9b::7f00:1", False),
        ("::ffff:0:808:808", False),
        ("::ffff:192.0.0.192", False),
        ("::8.8.8.8", False),
        ("2002:7f00:1::", False),
        ("2002:c058:6301::1", False),
        ("2001:0:53aa:64c:0:7e00:80fe:fefe", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("::ffff:169.254.169.254", False),
        ("::ffff:a9fe:a9fe", False),
        ("::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:a9fe:a9fe::", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("ff0e::1", False),
        ("2130706433", False),
        ("localhost", False),
        ("", False),
        ("127.1", False),
        ("0177.0.0.1", False),
        ("1::2::3", False),
    ],
)
def test_addresses(address: str, public: bool) -> None:
    assert is_public(address) == public


def test_no_address_of_a_denied_network_is_public() -> None:
    for network in DENIED:
        assert not is_public(str(network.network_address + 1))
        assert not is_public(str(network.broadcast_address))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_an_address_within_an_address_counts(inner: int, outer: int) -> None:
    """Of every tunnel and translator; Python knows what is private, at the least."""
    address = ipaddress.IPv4Address(inner)
    if address.is_global and is_public(str(address)):
        return
    for whole in (
        0x0064FF9B << 96 | inner,
        0xFFFF << 32 | inner,
        0x2002 << 112 | inner << 80 | outer,
        0x20010000 << 96 | outer << 32 | inner ^ 0xFFFFFFFF,
        0x2A001450 << 96 | outer << 64 | 0x5EFE << 32 | inner,
        0x2A001450 << 96 | outer << 64 | 0x02005EFE << 32 | inner,
    ):
        assert not is_public(str(ipaddress.IPv6Address(whole)))
