"""The address that a client's usage is charged to.

It is the peer's address. Behind a proxy it is the rightmost address of `X-Forwarded-For` or `Forwarded` (RFC 7239) that
is not a proxy's. Only proxies that the configuration names are believed, because everybody can send these headers.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from roomd.config.sections import UNIX

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

IPV6_PREFIX = 64
"""The bits of an IPv6 address that count: one subscriber usually has all addresses behind them (RFC 6177)."""
MASKED_PREFIX = {4: 24, 6: 48}
"""The bits of an address that a masked log shows, by the version of IP."""

# RFC 7239, section 4: pairs of a token and a value; the value may be a quoted string with separators in it.
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^",;\s]*)\s*([,;]|$)')
_WITH_PORT = re.compile(r"\[([^\]]*)\](?::[^:]*)?|([^:]*):[^:]*")


class Address(msgspec.Struct, frozen=True, cache_hash=True):
    """An address that usage is charged to: one of IPv4, or a network of 64 bits of IPv6."""

    network: IpNetwork
    """The network; one address for IPv4."""
    text: str
    """The address as a log shows it in full. It is kept, because writing it takes some microseconds."""

    def __str__(self) -> str:
        return self.text

    def masked(self) -> str:
        """Return the network that a masked log shows."""
        return str(self.network.supernet(new_prefix=MASKED_PREFIX[self.network.version]))


class Proxies:
    """The proxies whose headers are believed. `entries` are networks like 10.0.0.0/8, and `unix`.

    Raises `ValueError` for an entry that is neither.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        names = list(entries)
        self._networks = [ipaddress.ip_network(name) for name in names if name != UNIX]
        self._trusts_unix = UNIX in names
        self._resolve = lru_cache(maxsize=1024)(self._inspect)

    def is_remote_proxy(self, peer: str | None) -> bool:
        """Return whether the other end of a connection is a proxy on another machine."""
        ip = _parse(peer) if peer is not None and self._resolve(peer)[1] else None
        return ip is not None and not ip.is_loopback

    def peer(self, peer: str | None) -> Address | None:
        """Return the address of the other end of a connection; None for a Unix socket, and when it is not known."""
        return self._resolve(peer)[0]

    def client(self, peer: str | None, forwarded_for: Sequence[str], forwarded: Sequence[str]) -> Address | None:
        """Return the client's address; None when it is not known.

        `peer` is the other end of the connection; None for a Unix socket. `forwarded_for` and `forwarded` are the
        values of the two headers, in their order. `X-Forwarded-For` is used when both are there.
        """
        address, is_proxy = self._resolve(peer)
        if not is_proxy:
            return address
        hops = _split(forwarded_for) if forwarded_for else _nodes(forwarded)
        for hop in reversed(hops):
            found, is_proxy = self._resolve(hop)
            if found is None:
                return address
            address = found
            if not is_proxy:
                break
        return address

    def _inspect(self, host: str | None) -> tuple[Address | None, bool]:
        """Return the address that a text names, and whether it is a proxy's. None stands for a Unix socket."""
        if host is None:
            return None, self._trusts_unix
        ip = _parse(host)
        if ip is None:
            return None, False
        return _address(ip), any(ip in network for network in self._networks)


def _parse(text: str) -> IpAddress | None:
    """Read an address with or without a port (RFC 7239, section 6). None for anything else."""
    match = _WITH_PORT.fullmatch(text)
    host = (match[1] if match[1] is not None else match[2]) if match else text
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(ip, "ipv4_mapped", None) or ip


def _address(ip: IpAddress) -> Address:
    if ip.version == 4:
        return Address(ipaddress.ip_network(ip), str(ip))
    network = ipaddress.ip_network((ip, IPV6_PREFIX), strict=False)
    return Address(network, str(network))


def _split(values: Sequence[str]) -> list[str]:
    return [hop.strip() for value in values for hop in value.split(",")]


def _nodes(values: Sequence[str]) -> list[str]:
    """Return the parameter `for` of each element of `Forwarded`; an empty text for an element without one.

    A header that does not follow the grammar has one empty element: nothing in it is believed.
    """
    nodes: list[str] = []
    for value in values:
        position, node = 0, ""
        while match := _PAIR.match(value, position):
            name, text, separator = match.groups()
            if name.lower() == "for":
                node = re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
            position = match.end()
            if separator != ";":
                nodes.append(node)
                node = ""
            if not separator:
                break
        else:
            nodes.append("")
    return nodes
