"""The key by which rooms recognise a network address."""

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
