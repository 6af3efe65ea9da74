"""Which addresses are public: a webhook goes to no other one, unless the configuration allows it for its endpoint.

Otherwise a host name that somebody else controls could have roomd send requests to the services of its own network
(server-side request forgery).
"""

import ipaddress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

SPECIAL = IPv4Network("192.0.0.0/24")
"""For protocols (RFC 6890). Older versions of Python call most of it global."""
NAT64 = IPv6Network("64:ff9b::/96")
"""The addresses by which a host with IPv6 alone reaches IPv4 (RFC 6052)."""


def is_public(text: str) -> bool:
    """Return whether an address belongs to the public internet.

    Not public are those that IANA's registries of special addresses do not call global (RFC 6890): loopback, link-local
    (and with it the metadata services of clouds), private, shared (100.64.0.0/10, RFC 6598), unspecified, reserved;
    multicast too. An IPv6 address that has an IPv4 address in it is judged by that one.
    """
    address = _innermost(ipaddress.ip_address(text))
    if address.is_multicast or address.is_reserved or not address.is_global:
        return False
    return not address.is_site_local if isinstance(address, IPv6Address) else address not in SPECIAL


def _innermost(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    if isinstance(address, IPv4Address):
        return address
    if address in NAT64:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)
