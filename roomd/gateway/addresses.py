"""The address of a connection's other end, and the key by which rooms recognise a network address."""

import asyncio
import hashlib
import socket
from collections.abc import Callable
from functools import lru_cache

from roomd.limits.addresses import Address

AddressKeys = Callable[[Address], str]
"""Return the key of an address: equal for equal addresses, and not the address."""


def find_peer(transport: asyncio.Transport) -> str | None:
    """Return the address of the other end; None for a Unix socket.

    Raises `ConnectionResetError` when it has none any more: the system forgets it when the other end resets the
    connection, also before the connection is accepted.
    """
    name = transport.get_extra_info("peername")
    if isinstance(name, tuple):
        return str(name[0])
    if transport.get_extra_info("socket").family != socket.AF_UNIX:
        raise ConnectionResetError
    return None


def address_keys(secret: bytes) -> AddressKeys:
    """Return the function that computes keys of addresses with `secret`, of at most 64 bytes.

    Rooms and the database have only the keys, so that a list of bans is no list of addresses.
    """

    @lru_cache(maxsize=1024)
    def key(address: Address) -> str:
        return hashlib.blake2b(str(address).encode(), key=secret, digest_size=16).hexdigest()

    return key
