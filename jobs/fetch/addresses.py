"""Which network addresses may be connected to: those of the public internet.

The address is judged where the socket for it is made. What was judged is what is connected to, whatever
a name resolves to a moment later, and redirects, odd spellings and numeric hosts all come through here.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_REFUSED = tuple(
    map(
        ipaddress.ip_network,
        (
            "168.63.129.16/32",  # a cloud's metadata, though the address is a public one
            "192.0.0.0/24",
            "192.88.99.0/24",
            "64:ff9b:1::/48",
            "2001::/32",  # tunnels, which end at any IPv4 address
            "2002::/16",
            "fec0::/10",
        ),
    )
)
"""What `is_global` of some Python versions takes for public."""


class PrivateAddressError(OSError):
    """A host's address is not of the public internet."""

    def __init__(self) -> None:
        # One text for all addresses, so that several of a host stay this error.
        super().__init__("the address is not of the public internet")


def is_public(address: Address) -> bool:
    """Whether an address is of the public internet: no loopback, private, link-local or metadata range."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    refused = any(address in network for network in _REFUSED)
    return address.is_global and not address.is_multicast and not refused


def any_address(_address: Address) -> bool:
    """Permits every address: for data sets on one's own network."""
    return True


def guarded_sockets(permits: Callable[[Address], bool]) -> Callable[[tuple[Any, ...]], socket.socket]:
    """A maker of sockets for aiohttp's connector, which asks for one for the very address it connects to.

    The maker raises PrivateAddressError for addresses that are not permitted.
    """

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, place = info
        if not permits(ipaddress.ip_address(str(place[0]).partition("%")[0])):
            raise PrivateAddressError
        return socket.socket(family, kind, protocol)

    return make
