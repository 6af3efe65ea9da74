"""The address that usage is charged to."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roomd.limits.addresses import Proxies

LOCAL = Proxies(["127.0.0.0/8", "::1/128", "unix"])
CHAIN = Proxies(["10.0.0.0/8"])

CASES = {
    "no proxy": (LOCAL, "192.0.2.1", [], [], "192.0.2.1"),
    "loopback without a header is an address like any other": (LOCAL, "127.0.0.1", [], [], "127.0.0.1"),
    "a stranger's header is not believed": (LOCAL, "192.0.2.1", ["198.51.100.1"], [], "192.0.2.1"),
    "behind a proxy": (LOCAL, "127.0.0.1", ["198.51.100.1"], [], "198.51.100.1"),
    "behind a proxy on a Unix socket": (LOCAL, None, ["198.51.100.1"], [], "198.51.100.1"),
    "a Unix socket without a header": (LOCAL, None, [], [], None),
    "an untrusted Unix socket": (CHAIN, None, ["198.51.100.1"], [], None),
    "what the client wrote stands left of what the proxy wrote": (
        LOCAL, "127.0.0.1", ["203.0.113.9, 198.51.100.1"], [], "198.51.100.1",
    ),
    "a chain of proxies": (CHAIN, "10.0.0.1", ["198.51.100.1, 10.0.0.3", "10.0.0.2"], [], "198.51.100.1"),
    "proxies only": (CHAIN, "10.0.0.1", ["10.0.0.3, 10.0.0.2"], [], "10.0.0.3"),
    "nonsense from a proxy": (CHAIN, "10.0.0.1", ["198.51.100.1, unknown, 10.0.0.2"], [], "10.0.0.2"),
    "with ports": (LOCAL, "127.0.0.1", ["198.51.100.1:4711"], [], "198.51.100.1"),
    "IPv6 with a port": (LOCAL, "::1", ["[2001:db8:1:2:3::4]:4711"], [], "2001:db8:1:2::/64"),
    "IPv6 counts by network": (LOCAL, "2001:db8:1:2:ffff::9", [], [], "2001:db8:1:2::/64"),
    "IPv4 as IPv6": (LOCAL, "::ffff:192.0.2.1", [], [], "192.0.2.1"),
    "IPv6 with a zone": (LOCAL, "fe80::1%eth0", [], [], "fe80::/64"),
    "RFC 7239": (LOCAL, "127.0.0.1", [], ['for="[2001:db8:cafe::17]:4711";proto=https'], "2001:db8:cafe::/64"),
    "RFC 7239, a list": (LOCAL, "127.0.0.1", [], ["for=203.0.113.9, For=198.51.100.1;by=10.0.0.1"], "198.51.100.1"),
    "RFC 7239, separators in quotes": (
        LOCAL, "127.0.0.1", [], ['for=1.1.1.1, by="a,for=2.2.2.2;";for=3.3.3.3'], "3.3.3.3",
    ),
    "RFC 7239, an escape": (LOCAL, "127.0.0.1", [], [r'for="\1.1.1.1"'], "1.1.1.1"),
    "RFC 7239, an element without a node": (LOCAL, "127.0.0.1", [], ["for=1.1.1.1, proto=http"], "127.0.0.1"),
    "RFC 7239, a hidden node": (LOCAL, "127.0.0.1", [], ["for=1.1.1.1, for=_secret"], "127.0.0.1"),
    "RFC 7239, broken": (LOCAL, "127.0.0.1", [], ["for=1.1.1.1, for"], "127.0.0.1"),
    "both headers": (LOCAL, "127.0.0.1", ["198.51.100.1"], ["for=203.0.113.9"], "198.51.100.1"),
}  # fmt: skip


@pytest.mark.parametrize(("proxies", "peer", "forwarded_for", "forwarded", "address"), CASES.values(), ids=CASES.keys())
def test_client(
    proxies: Proxies, peer: str | None, forwarded_for: list[str], forwarded: list[str], address: str | None
) -> None:
    """The rightmost address that is not a trusted proxy's."""
    found = proxies.client(peer, forwarded_for, forwarded)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize(
    ("peer", "is_remote"),
    [("10.0.0.1", True), ("192.0.2.1", False), ("127.0.0.1", False), ("::1", False), (None, False), ("x", False)],
)
def test_a_remote_proxy(peer: str | None, is_remote: bool) -> None:
    """One that is trusted, and neither loopback nor a Unix socket."""
    assert Proxies(["10.0.0.0/8", "127.0.0.0/8", "::1/128", "unix"]).is_remote_proxy(peer) == is_remote


@pytest.mark.parametrize(("peer", "address"), [("127.0.0.1", "127.0.0.1"), (None, None)])
def test_the_other_end(peer: str | None, address: str | None) -> None:
    """Before a request has arrived, a connection has the address of its other end, also when that is a proxy."""
    found = LOCAL.peer(peer)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize(("peer", "masked"), [("192.0.2.77", "192.0.2.0/24"), ("2001:db8:1:2::9", "2001:db8:1::/48")])
def test_masked(peer: str, masked: str) -> None:
    """A masked log shows the network only."""
    address = LOCAL.client(peer, [], [])
    assert address is not None
    assert address.masked() == masked


@pytest.mark.parametrize("entry", ["localhost", "10.0.0.1/8", "10.0.0.0/33", ""])
def test_an_entry_that_is_no_network(entry: str) -> None:
    """A typing error in the list of proxies is noticed at the start."""
    with pytest.raises(ValueError, match=r"appear|has host bits"):
        Proxies([entry])


@settings(deadline=None)
@given(st.lists(st.text(max_size=40), max_size=4), st.lists(st.text(max_size=60), max_size=4))
def test_any_header_of_a_stranger_changes_nothing(forwarded_for: list[str], forwarded: list[str]) -> None:
    """Only a trusted proxy can name another address."""
    assert str(LOCAL.client("192.0.2.1", forwarded_for, forwarded)) == "192.0.2.1"


@settings(deadline=None)
@given(st.text(max_size=60), st.ip_addresses())
def test_what_a_client_writes_in_front_changes_nothing(written: str, address: ipaddress.IPv4Address) -> None:
    """A proxy appends the address that it saw; what the client sent before it is never believed."""
    proxy = Proxies(["unix"])
    assert proxy.client(None, [f"{written}, {address}"], []) == proxy.client(None, [str(address)], [])
