"""Credentials of NATS as `nsc` makes them: an operator, an account, and its users."""

import base64
import binascii
import json
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

OPERATOR, ACCOUNT, USER, SEED = (kind << 3 for kind in (14, 0, 20, 18))
"""The first byte of a key, by its kind."""


class Nkey:
    """A key."""

    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._key = Ed25519PrivateKey.generate()
        self.name = _encoded(bytes([kind]) + self._key.public_key().public_bytes_raw())

    @property
    def seed(self) -> str:
        """The private key, as it is written."""
        return _encoded(bytes([SEED | self._kind >> 5, self._kind << 3 & 0xFF]) + self._key.private_bytes_raw())

    def jwt(self, subject: str, ttl: float | None, **nats: Any) -> str:
        """Sign a JWT about a key; `ttl` are the seconds for which it is valid."""
        now = int(time.time())
        claims = {"jti": subject, "iat": now, "iss": self.name, "sub": subject, "nats": {"version": 2, **nats}}
        if ttl is not None:
            claims["exp"] = int(now + ttl)
        text = f"{_part({'typ': 'JWT', 'alg': 'ed25519-nkey'})}.{_part(claims)}"
        return f"{text}.{base64.urlsafe_b64encode(self._key.sign(text.encode())).decode().rstrip('=')}"


class Accounts:
    """An operator and an account. `options` has a server use them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        operator, self._account = Nkey(OPERATOR), Nkey(ACCOUNT)
        unlimited = {"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1}
        account = operator.jwt(self._account.name, None, type="account", limits=unlimited)
        own = operator.jwt(operator.name, None, type="operator")
        file = folder / "nats.conf"
        preload = f'resolver_preload: {{ {self._account.name}: "{account}" }}'
        file.write_text(f'operator: "{own}"\nresolver: MEMORY\n{preload}\n')
        self.options = ("-c", str(file))

    def credentials(self, name: str, ttl: float | None = None) -> Path:
        """Write the credentials of a new user; return the file."""
        user = Nkey(USER)
        limits = {"subs": -1, "data": -1, "payload": -1}
        jwt = self._account.jwt(user.name, ttl, type="user", **limits)
        file = self._folder / f"{name}.creds"
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\nKeep it secret.\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )
        file.chmod(0o600)
        return file


def _encoded(raw: bytes) -> str:
    return base64.b32encode(raw + binascii.crc_hqx(raw, 0).to_bytes(2, "little")).decode().rstrip("=")


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
