"""Load the keys that verify tokens: from the configuration, from a file, or from the issuer's key set.

Keys in the configuration and in files are read once, at the start. An error in them raises `ConfigError`, and roomd
does not start. A key set at a URL is fetched when a token needs it (see `jwks.py`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, get_args

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from roomd.auth.jwks import FetchedKeys, from_public_key
from roomd.auth.secret_files import local_secret, local_secret_file, make_secret
from roomd.auth.tokens import Key, Policy
from roomd.config import Algorithm, AuthConfig, ConfigError, read_file, trusted_owners


class KeySource(Protocol):
    """A source of the keys that verify tokens."""

    async def keys_for(self, token: str) -> Sequence[Key]:
        """Return the keys to verify `token` with.

        Raises `Refused`: `INVALID_TOKEN` for a text that is no token, `UNAVAILABLE` while there are no keys.
        """

    async def close(self) -> None:
        """Cancel a running fetch. Closing twice is fine."""


class FixedKeys:
    """Keys that were read at the start. It is a `KeySource`."""

    def __init__(self, *keys: Key) -> None:
        self._keys = keys

    async def keys_for(self, token: str) -> Sequence[Key]:  # noqa: ARG002 - the same keys for every token
        """Return all keys."""
        return self._keys

    async def close(self) -> None:
        """Do nothing: there is nothing to stop."""


def open_keys(auth: AuthConfig, database: Path) -> KeySource:
    """Open the configured source of keys. The default is the secret beside the database, which is created if missing.

    Raises `ConfigError` that names the setting, the file and what to do.
    """
    if auth.jwks_url is not None:
        return FetchedKeys(auth.jwks_url)
    if auth.public_key_file is not None:
        return FixedKeys(_public_key(Path(auth.public_key_file), policy(auth), database))
    secret = local_secret(auth, database)
    return FixedKeys(Key(make_secret(local_secret_file(database)) if secret is None else secret, "HS256"))


def check_keys(auth: AuthConfig, database: Path) -> None:
    """Run the checks of `open_keys` that need no new secret.

    Raises `ConfigError` that names the setting, the file and what to do.
    """
    if auth.public_key_file is not None:
        _public_key(Path(auth.public_key_file), policy(auth), database)
    else:
        local_secret(auth, database)


def policy(auth: AuthConfig) -> Policy:
    """Return the conditions that the configuration sets for tokens."""
    symmetric = auth.jwks_url is None and auth.public_key_file is None
    allowed = ("HS256",) if symmetric else tuple(name for name in get_args(Algorithm) if name != "HS256")
    return Policy(auth.algorithms or allowed, auth.issuer, auth.audience, auth.leeway)


def _public_key(file: Path, policy: Policy, database: Path) -> Key:
    source = f"auth.public_key_file: {file}"
    content = read_file(file, "auth.public_key_file", is_secret=False, owners=trusted_owners(database))
    if b"PRIVATE KEY-----" in content:
        raise ConfigError(f"{source}: is a private key; export its public key with `openssl pkey -in {file} -pubout`")
    if b"-----BEGIN CERTIFICATE-----" in content:
        raise ConfigError(f"{source}: is a certificate; export its key with `openssl x509 -in {file} -noout -pubkey`")
    try:
        key = from_public_key(load_pem_public_key(content))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"{source}: must be an RSA, EC P-256 or Ed25519 public key in PEM ({exc})") from None
    if key.algorithm not in policy.algorithms:
        raise ConfigError(
            f"auth.algorithms: {', '.join(policy.algorithms)} does not go with {file}; allowed: {key.algorithm}"
        )
    return key
