"""Secrets in files: who may read them, how one is read, and how the one beside the database is made.

Everything wrong with a file raises a `ConfigError` that names the setting, the file and what to do.
"""

import os
import secrets
import stat
from pathlib import Path

import jwt
from jwt.algorithms import HMACAlgorithm

from roomd.config import SHORTEST_SECRET, AuthConfig, ConfigError

LARGEST_FILE = 65_536
CREDENTIALS = Path("/run/credentials")
"""Where systemd keeps what `LoadCredential` loads, in a folder for each service that no other one can enter."""

_HOW_TO_MAKE_ONE = "`openssl rand -hex 32` makes one"


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


def read_file(file: Path, setting: str) -> tuple[bytes, int]:
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


def read_private(file: Path, setting: str) -> tuple[bytes, str]:
    """Return the content of a file that only its owner may read, and how to name it when the content is wrong."""
    content, mode = read_file(file, setting)
    if is_open_to_others(file, mode):
        raise ConfigError(
            f"{setting}: {file}: others can read it (mode {stat.S_IMODE(mode):04o}); run `chmod 600 {file}`, and "
            "replace the secret if someone may have"
        )
    return content.strip(), f"{setting}: {file}"


def _read_secret(file: Path, setting: str) -> bytes:
    return _check_secret(*read_private(file, setting))


def check_length(secret: bytes, source: str, shortest: int) -> bytes:
    """Return the secret if it has `shortest` bytes or more."""
    if len(secret) < shortest:
        raise ConfigError(f"{source}: must be at least {shortest} bytes; {_HOW_TO_MAKE_ONE}")
    return secret


def _check_secret(secret: bytes, source: str) -> bytes:
    check_length(secret, source, SHORTEST_SECRET)
    try:
        return HMACAlgorithm(HMACAlgorithm.SHA256).prepare_key(secret)
    except jwt.InvalidKeyError:
        raise ConfigError(
            f"{source}: holds a key for other algorithms, not a secret; {_HOW_TO_MAKE_ONE}, "
            "and a public key belongs in auth.public_key_file"
        ) from None


def make_secret(file: Path) -> bytes:
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
