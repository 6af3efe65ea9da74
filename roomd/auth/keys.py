"""Where the keys that tokens are checked with come from: the configuration, a file, or the issuer's key set.

The secret that TURN credentials are made with comes from here too. What stands in the configuration and in files is
read once, at the start, and everything wrong with it stops the start with a `ConfigError`. A key set at a URL is
fetched when a token needs it: see jwks.py.
"""

import logging
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import HMACAlgorithm

from roomd.auth.jwks import FetchedKeys, from_public_key
from roomd.auth.tokens import Key, Policy
from roomd.config import SHORTEST_SECRET, SHORTEST_TURN_SECRET, Algorithm, AuthConfig, ConfigError, IceConfig
from roomd.ice import Ice

log = logging.getLogger("roomd.auth.keys")

LARGEST_FILE = 65_536
CREDENTIALS = Path("/run/credentials")
"""Where systemd keeps what `LoadCredential` loads, in a folder for each service that no other one can enter."""

_HOW_TO_MAKE_ONE = "`openssl rand -hex 32` makes one"


class KeySource(Protocol):
    """Gives the keys a token may be signed with."""

    async def keys_for(self, token: str) -> Sequence[Key]:
        """Return the keys to verify `token` with.

        Raises `Refused`: `INVALID_TOKEN` for what is no token at all, `UNAVAILABLE` while there are no keys.
        """

    async def close(self) -> None:
        """Stop whatever is still being fetched. Closing twice is fine."""


class FixedKeys:
    """Keys that were read at the start."""

    def __init__(self, *keys: Key) -> None:
        self._keys = keys

    async def keys_for(self, token: str) -> Sequence[Key]:  # noqa: ARG002 - the same keys for every token
        """Return the keys."""
        return self._keys

    async def close(self) -> None:
        """Do nothing: there is nothing to stop."""


def open_keys(auth: AuthConfig, database: Path) -> KeySource:
    """Open the configured source of keys; with none configured, the secret beside the database, made if missing.

    Raises `ConfigError` that names the key, the file and what to do.
    """
    if auth.jwks_url is not None:
        return FetchedKeys(auth.jwks_url)
    if auth.public_key_file is not None:
        return FixedKeys(_public_key(Path(auth.public_key_file), policy(auth)))
    secret = local_secret(auth, database)
    return FixedKeys(Key(_make_secret(local_secret_file(database)) if secret is None else secret, "HS256"))


def check_keys(auth: AuthConfig, database: Path) -> None:
    """Raise the `ConfigError` that `open_keys` would, as far as it can be known without making a missing secret."""
    if auth.public_key_file is not None:
        _public_key(Path(auth.public_key_file), policy(auth))
    else:
        local_secret(auth, database)


def local_secret(auth: AuthConfig, database: Path) -> bytes | None:
    """Return the secret that tokens can be minted with; None where there is none (yet). Creates nothing.

    Raises `ConfigError` for one that is there and must not be used.
    """
    if auth.jwks_url is not None or auth.public_key_file is not None:
        return None
    if auth.secret is not None:
        return _check_secret(os.fsencode(auth.secret), "auth.secret")
    if auth.secret_file is not None:
        return _read_secret(Path(auth.secret_file), "auth.secret_file")
    file = local_secret_file(database)
    if file == database:
        raise ConfigError(f"database.path: {database}: this name is for the secret beside it; choose another")
    return _read_secret(file, "auth") if file.exists() else None


def local_secret_file(database: Path) -> Path:
    """Return where the secret beside `database` is kept."""
    return database.with_suffix(".secret")


def open_ice(ice: IceConfig) -> Ice:
    """Read the secret of the TURN servers, where there is one.

    Raises `ConfigError` that names the key, the file and what to do.
    """
    secret = None
    if ice.turn_secret is not None:
        secret = _long_enough(os.fsencode(ice.turn_secret), "ice.turn_secret", SHORTEST_TURN_SECRET)
    elif ice.turn_secret_file is not None:
        content, source = _read_private(Path(ice.turn_secret_file), "ice.turn_secret_file")
        secret = _long_enough(content, source, SHORTEST_TURN_SECRET)
    return Ice(ice.stun, ice.turn, secret, ice.turn_ttl)


def policy(auth: AuthConfig) -> Policy:
    """Say what the configuration asks of a token."""
    symmetric = auth.jwks_url is None and auth.public_key_file is None
    fitting = ("HS256",) if symmetric else tuple(name for name in get_args(Algorithm) if name != "HS256")
    return Policy(auth.algorithms or fitting, auth.issuer, auth.audience, auth.leeway)


def _read(file: Path, setting: str) -> tuple[bytes, int]:
    """Return a file's content and mode, both of the same open file."""
    try:
        with file.open("rb") as opened:
            return opened.read(LARGEST_FILE), os.fstat(opened.fileno()).st_mode
    except OSError as exc:
        raise ConfigError(f"{setting}: {file}: cannot be read: {exc.strerror}") from None


def is_open_to_others(file: Path, mode: int) -> bool:
    """Whether more than a file's owner can read it.

    systemd lets the user of a service read its credentials by an entry in their access control list, and the mode has
    the list's mask where the group's bits are: 0440, though no group can read them (systemd issue 29435).
    """
    harmful = 0o037 if file.is_relative_to(CREDENTIALS) else 0o077
    return bool(mode & harmful)


def _read_private(file: Path, setting: str) -> tuple[bytes, str]:
    """Return the content of a file that only its owner may read, and how to name it when the content is wrong."""
    content, mode = _read(file, setting)
    if is_open_to_others(file, mode):
        raise ConfigError(
            f"{setting}: {file}: others can read it (mode {stat.S_IMODE(mode):04o}); run `chmod 600 {file}`, and "
            "replace the secret if someone may have"
        )
    return content.strip(), f"{setting}: {file}"


def _read_secret(file: Path, setting: str) -> bytes:
    return _check_secret(*_read_private(file, setting))


def _long_enough(secret: bytes, source: str, shortest: int) -> bytes:
    if len(secret) < shortest:
        raise ConfigError(f"{source}: must be at least {shortest} bytes; {_HOW_TO_MAKE_ONE}")
    return secret


def _check_secret(secret: bytes, source: str) -> bytes:
    _long_enough(secret, source, SHORTEST_SECRET)
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError:
        raise ConfigError(
            f"{source}: holds a key for other algorithms, not a secret; {_HOW_TO_MAKE_ONE}, "
            "and a public key belongs in auth.public_key_file"
        ) from None


def _make_secret(file: Path) -> bytes:
    """Make the secret beside the database; if another process makes it at the same time, theirs counts.

    It is complete before it has its name: a crash leaves either the whole secret or none.
    """
    unfinished = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write(unfinished, secrets.token_hex(32).encode())
            os.link(unfinished, file)
        except FileExistsError:
            pass
        finally:
            unfinished.unlink(missing_ok=True)
        _sync_folder(file.parent)
    except OSError as exc:
        raise ConfigError(
            f"auth: {file}: the secret cannot be made: {exc.strerror}; make its folder writable or set auth.secret_file"
        ) from None
    return _read_secret(file, "auth")


def _write(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name in `folder` survive a power cut."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _public_key(file: Path, policy: Policy) -> Key:
    source = f"auth.public_key_file: {file}"
    content, _ = _read(file, "auth.public_key_file")
    if b"PRIVATE KEY-----" in content:
        raise ConfigError(f"{source}: is a private key; give its public half: `openssl pkey -in {file} -pubout`")
    if b"-----BEGIN CERTIFICATE-----" in content:
        raise ConfigError(f"{source}: is a certificate; give its key: `openssl x509 -in {file} -noout -pubkey`")
    try:
        key = from_public_key(load_pem_public_key(content))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise ConfigError(f"{source}: must be an RSA, EC P-256 or Ed25519 public key in PEM ({exc})") from None
    if key.algorithm not in policy.algorithms:
        raise ConfigError(
            f"auth.algorithms: {', '.join(policy.algorithms)} does not go with {file}; allowed: {key.algorithm}"
        )
    return key
