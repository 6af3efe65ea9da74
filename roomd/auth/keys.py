"""Load the keys that verify tokens: from the configuration, from a file, or from the issuer's key set.

Keys in the configuration and in files are read at the start and at each reload. An error in them raises `ConfigError`:
roomd does not start, or goes on with the keys that it has. A key set at a URL is fetched when a token needs it (see
`jwks.py`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, get_args

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from roomd.auth.jwks import FetchedKeys, from_public_key
from roomd.auth.secret_files import exchange_secret, local_secret, make_secret
from roomd.auth.tokens import Key, Policy, key_id
from roomd.config import Algorithm, AuthConfig, ConfigError, local_secret_file, read_file, trusted_owners

OWN_KEY_ID = "roomd-ticket"
"""The key id of the tokens that roomd gives for tickets where the others come from an issuer with public keys."""


class KeySource(Protocol):
    """A source of the keys that verify tokens."""

    def keys_at_hand(self, token: str) -> Sequence[Key] | None:
        """Return the keys to verify `token` with; None when they must be fetched first, by `keys_for`.

        Raises `Refused`: `INVALID_TOKEN` for a text that is no token.
        """

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

    def __eq__(self, other: object) -> bool:
        """Return whether the keys are the same."""
        return isinstance(other, FixedKeys) and self._keys == other._keys

    def keys_at_hand(self, token: str) -> Sequence[Key]:  # noqa: ARG002 - the same keys for every token
        """Return all keys."""
        return self._keys

    async def keys_for(self, token: str) -> Sequence[Key]:  # noqa: ARG002 - the same keys for every token
        """Return all keys."""
        return self._keys

    async def close(self) -> None:
        """Do nothing: there is nothing to stop."""


class WithOwnKey:
    """The issuer's keys, and roomd's own for the tokens that it gives for tickets. It is a `KeySource`."""

    def __init__(self, issuer: KeySource, own: Key) -> None:
        self.issuer = issuer
        """The source of the issuer's keys."""
        self._own = own

    def __eq__(self, other: object) -> bool:
        """Return whether the issuer's keys and roomd's own are the same."""
        return isinstance(other, WithOwnKey) and (self.issuer, self._own) == (other.issuer, other._own)

    def keys_at_hand(self, token: str) -> Sequence[Key] | None:
        """Return the key or the keys for the key id of the token; None when the issuer's must be fetched first."""
        return (self._own,) if key_id(token) == self._own.key_id else self.issuer.keys_at_hand(token)

    async def keys_for(self, token: str) -> Sequence[Key]:
        """Return the key or the keys for the key id of the token.

        Raises `Refused` as the issuer's source does.
        """
        return (self._own,) if key_id(token) == self._own.key_id else await self.issuer.keys_for(token)

    async def close(self) -> None:
        """Close the issuer's source."""
        await self.issuer.close()


def find_own_key(auth: AuthConfig, database: Path) -> Key | None:
    """Return the key with which roomd signs the tokens that it gives for tickets; None if it has no secret yet.

    Raises `ConfigError`.
    """
    secret = local_secret(AuthConfig(secret_file=auth.ticket_secret_file) if auth.has_issuer else auth, database)
    return None if secret is None else _own_key(auth, secret)


def make_own_key(auth: AuthConfig, database: Path) -> Key:
    """Return that key, and create its secret beside the database if there is none.

    Raises `ConfigError`.
    """
    return find_own_key(auth, database) or _own_key(auth, make_secret(local_secret_file(database)))


def _own_key(auth: AuthConfig, secret: bytes) -> Key:
    material = exchange_secret(auth, secret)
    return Key(material, "HS256", OWN_KEY_ID, is_own=True) if auth.has_issuer else Key(material, "HS256")


def open_keys(auth: AuthConfig, database: Path, own: Key | None = None, before: KeySource | None = None) -> KeySource:
    """Open the configured source of keys. The default is the secret beside the database, which is created if missing.

    `own` is roomd's own key. Without it, tokens that were given for tickets are accepted only where roomd is the
    issuer. `before` is the source that is used now: the keys that it has fetched from the same URL are used further.
    Raises `ConfigError` that names the setting, the file and what to do.
    """
    if not auth.has_issuer:
        return FixedKeys(own or make_own_key(auth, database))
    issuer: KeySource
    if auth.jwks_url is not None:
        known = fetched_keys(before)
        issuer = known if known is not None and known.url == auth.jwks_url else FetchedKeys(auth.jwks_url)
    else:
        issuer = FixedKeys(_public_key(Path(str(auth.public_key_file)), policy(auth), database))
    return WithOwnKey(issuer, own) if own is not None else issuer


def fetched_keys(source: KeySource | None) -> FetchedKeys | None:
    """Return the part of a source that fetches the issuer's keys; None without one."""
    part = source.issuer if isinstance(source, WithOwnKey) else source
    return part if isinstance(part, FetchedKeys) else None


def check_keys(auth: AuthConfig, database: Path) -> None:
    """Run the checks of `open_keys` and `make_own_key` that need no new secret.

    Raises `ConfigError` that names the setting, the file and what to do.
    """
    if auth.public_key_file is not None:
        _public_key(Path(auth.public_key_file), policy(auth), database)
    find_own_key(auth, database)


def policy(auth: AuthConfig) -> Policy:
    """Return the conditions that the configuration sets for tokens."""
    allowed = tuple(name for name in get_args(Algorithm) if name != "HS256") if auth.has_issuer else ("HS256",)
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
