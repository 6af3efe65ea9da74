"""Secrets in files: read them, and create the secret beside the database.

Every error of a file raises a `ConfigError` that names the setting, the file and what to do.
"""

import hmac
import os
import secrets
from pathlib import Path

import jwt
from jwt.algorithms import HMACAlgorithm

from roomd.config import (
    SHORTEST_SECRET,
    AuthConfig,
    ConfigError,
    FileMissing,
    local_secret_file,
    read_file,
    trusted_owners,
)

_HOW_TO_MAKE_ONE = "`openssl rand -hex 32` makes one"


def local_secret(auth: AuthConfig, database: Path) -> bytes | None:
    """Return the secret that signs tokens; None if there is none, or none yet. Creates nothing.

    Raises `ConfigError` for a secret that cannot be used.
    """
    if auth.has_issuer:
        return None
    if auth.secret is not None:
        return _check_secret(os.fsencode(auth.secret), "auth.secret")
    if auth.secret_file is not None:
        return _read_secret(Path(auth.secret_file), "auth.secret_file", database)
    file = local_secret_file(database)
    if file == database:
        raise ConfigError(f"database.path: {database}: the secret has this name; choose another name for the database")
    try:
        return _read_secret(file, "auth", database)
    except FileMissing:
        return None


def exchange_secret(auth: AuthConfig, secret: bytes) -> bytes:
    """Return the secret that signs the tokens that are given for tickets. `secret` is the local one.

    Where tokens come from an issuer with public keys, it is another one, derived from it. So a token that roomd signed
    when it was its own issuer is not accepted.
    """
    if not auth.has_issuer:
        return secret
    return hmac.digest(secret, b"tokens that are given for tickets", "sha256")


def read_private(file: Path, setting: str, database: Path | None = None) -> tuple[bytes, str]:
    """Return the content of a file that only its owner can read, and the text that names the file in errors.

    The owner is one of `trusted_owners`. White space around the content is removed. Raises
    `ConfigError` when the file fails `check_file`, and when it cannot be read.
    """
    content = read_file(file, setting, is_secret=True, owners=trusted_owners(database))
    return content.strip(), f"{setting}: {file}"


def _read_secret(file: Path, setting: str, database: Path | None = None) -> bytes:
    return _check_secret(*read_private(file, setting, database))


def check_length(secret: bytes, source: str, shortest: int) -> bytes:
    """Return the secret.

    Raises `ConfigError`, beginning with `source`, when it has fewer than `shortest` bytes.
    """
    if len(secret) < shortest:
        raise ConfigError(f"{source}: must be at least {shortest} bytes; {_HOW_TO_MAKE_ONE}")
    return secret


def _check_secret(secret: bytes, source: str) -> bytes:
    check_length(secret, source, SHORTEST_SECRET)
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError:
        raise ConfigError(
            f"{source}: contains a key for other algorithms, not a secret; {_HOW_TO_MAKE_ONE}, "
            "and a public key belongs in auth.public_key_file"
        ) from None


def make_secret(file: Path) -> bytes:
    """Create a random secret in `file` and return it. If another process creates it at the same time, use that one.

    The content is written before the file gets its name, so a crash leaves the whole secret or none. Raises
    `ConfigError` when the file cannot be created.
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
            f"auth: {file}: cannot create the secret: {exc.strerror}; make its folder writable or set auth.secret_file"
        ) from None
    return _read_secret(file, "auth")


def _write(file: Path, content: bytes) -> None:
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync_folder(folder: Path) -> None:
    """Write the folder to disk, so that a new name in it survives a power cut."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
