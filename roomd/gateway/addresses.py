"""The network address of a client, and the key by which rooms recognise it."""

import asyncio
import hashlib
from collections.abc import Callable

AddressKeys = Callable[[str], str]
"""Return the key of an address: equal for equal addresses, and not the address."""


def address_keys(secret: bytes) -> AddressKeys:
    """Return the function that computes keys of addresses with `secret`, of at most 64 bytes.

    Rooms and the database have only the keys, so that a list of bans is no list of addresses.
    """

    def key(address: str) -> str:
        return hashlib.blake2b(address.encode(), key=secret, digest_size=16).hexdigest()

    return key


def client_address(transport: asyncio.BaseTransport) -> str | None:
    """Return the address of the other end of a connection; None for a Unix socket."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) else None
