"""Credentials for NATS: a file with the JWT of a user and the seed of the user's key, as `nsc` writes it.

The key is an nkey: Ed25519 in base32 with a kind and a checksum. A server names a nonce, which is signed with it.
"""

import base64
import binascii
import re
from collections.abc import Callable
from typing import NamedTuple

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_SECTION = r"-----BEGIN {0}-----\s+(\S+)\s+-+END {0}-"
_JWT, _SEED = (re.compile(_SECTION.format(name).encode()) for name in ("NATS USER JWT", "USER NKEY SEED"))
_START = (18 << 3 | 20 >> 2).to_bytes() + (20 << 6 & 0xFF).to_bytes()
"""The two bytes before the seed of a user's key: 18, for a seed, and 20, for a user, in five bits each."""


class WrongCredentials(ValueError):  # noqa: N818 - a state, not a mistake
    """The content is not that of a file of credentials."""


class _Claims(msgspec.Struct):
    exp: float = 0


class Credentials(NamedTuple):
    """Credentials in a file. `read` returns its content; it is read for each connection, so that it can be replaced."""

    read: Callable[[], bytes]

    def jwt(self) -> bytearray:
        """Return the JWT. Raises `WrongCredentials`, and what `read` raises."""
        return bytearray(_section(_JWT, self.read()))

    def sign(self, nonce: str) -> bytes:
        """Return the signature of a nonce, in base64. Raises `WrongCredentials`, and what `read` raises."""
        return base64.b64encode(_key(_section(_SEED, self.read())).sign(nonce.encode()))

    def expires_at(self) -> float:
        """Return when the JWT expires, in seconds since 1970; 0 for never. Raises as `jwt` does."""
        payload = bytes(self.jwt()).split(b".")[1:2]
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(b"".join(payload) + b"=="), type=_Claims).exp
        except ValueError:
            raise WrongCredentials("the JWT cannot be read") from None

    def check(self) -> None:
        """Check the content. Raises as `jwt` and `sign` do."""
        self.expires_at()
        self.sign("")


def _section(pattern: re.Pattern[bytes], content: bytes) -> bytes:
    found = pattern.search(content)
    if found is None:
        raise WrongCredentials("has not the two sections of a file of credentials, as `nsc generate creds` writes it")
    return found[1]


def _key(text: bytes) -> Ed25519PrivateKey:
    """Read a seed: its kind in two bytes, 32 bytes, and a CRC-16 in two bytes, the lower one first."""
    try:
        raw = base64.b32decode(text + b"=" * (-len(text) % 8))
    except binascii.Error:
        raw = b""
    checksum = binascii.crc_hqx(raw[:-2], 0).to_bytes(2, "little")
    if len(raw) != 36 or raw[:2] != _START or raw[-2:] != checksum:
        raise WrongCredentials("the seed is not that of a user's key")
    return Ed25519PrivateKey.from_private_bytes(raw[2:34])
