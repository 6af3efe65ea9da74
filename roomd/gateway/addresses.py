"""The address of a connection's other end, and the key by which rooms recognise a network address."""

import asyncio
import hashlib
import socket
from collections.abc import Callable

AddressKeys = Callable[[str], str]
"""Return the key of an address: equal for equal addresses, and not the address."""


def find_peer(transport: asyncio.Transport) -> str | None:
    """Return the address of the other end; None for a Unix socket.

    Raises `ConnectionResetError` when it has none any more: the system forgets it when the other end resets the
    connection, also before the connection is accepted.
    """
    if transport.get_extra_info("socket").family == socket.AF_UNIX:
        return None
    name = transport.get_extra_info("peername")
    if name is None:
        raise ConnectionResetError
    return str(name[0])


def address_keys(secret: bytes) -> AddressKeys:
    """Return the function that computes keys of addresses with `secret`, of at most 64 bytes.

    Rooms and the database have only the keys, so that a list of bans is no list of addresses.
    """

    def key(address: str) -> str:
        return hashlib.blake2b(address.encode(), key=secret, digest_size=16).hexdigest()

    return key
