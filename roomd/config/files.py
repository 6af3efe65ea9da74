"""Open the files that roomd is given, after the same check for all: what they are, whose they are, who may use them.

Every error is a `ConfigError` that names the setting, the file and what to do.
"""

import contextlib
import os
import stat
from collections.abc import Collection
from pathlib import Path
from typing import IO

from roomd.config.sections import ConfigError

LARGEST_FILE = 65_536
"""The bytes that are read of a file."""
CREDENTIALS = Path("/run/credentials")
"""The folder of the credentials that systemd loads by `LoadCredential`. No other service can read them."""
ROOT = 0
"""The user id of root, who can change every file anyway."""

_KINDS = {stat.S_IFIFO: "a pipe", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a link"}


class FileMissing(ConfigError):  # noqa: N818 - a state, not a mistake
    """The file does not exist."""


def trusted_owners(database: Path | None = None, user: int | None = None) -> frozenset[int]:
    """Return the user ids whose files are used: the user's, root's, and for root that of the owner of `database`.

    `user` is by default the effective user of this process. So root can make tokens for the daemon of another user.
    Other users do not trust that owner: the configuration, which names the database, may be somebody else's. The
    daemon itself refuses another user's database.
    """
    own = os.geteuid() if user is None else user
    owners = {own, ROOT}
    if own == ROOT and database is not None:
        with contextlib.suppress(OSError):
            owners.add(database.stat().st_uid)
    return frozenset(owners)


def check_file(
    file: Path, status: os.stat_result, source: str, *, is_secret: bool, owners: Collection[int] | None = None
) -> None:
    """Check that a file is a regular one, that it is a trusted user's, and what others may do with it.

    Others may read a file unless it `is_secret`, and write to none. `owners` are the user ids that are trusted, by
    default those of `trusted_owners`. `source` begins the errors, and names the file. Raises `ConfigError`.
    """
    check_kind(status, source)
    if status.st_uid not in (trusted_owners() if owners is None else owners):
        raise ConfigError(
            f"{source}: belongs to another user (uid {status.st_uid}), who can change it; run roomd as that user, or "
            f"run `chown {os.geteuid()} {file}` if you trust what is in it"
        )
    mode = f"(mode {stat.S_IMODE(status.st_mode):04o})"
    if is_secret and is_open_to_others(file, status.st_mode):
        raise ConfigError(
            f"{source}: others can read it {mode}; run `chmod 600 {file}`, and replace a secret that is in it, because "
            "somebody may have read it"
        )
    if status.st_mode & 0o022:
        raise ConfigError(f"{source}: others can write to it {mode}; check what is in it and run `chmod go-w {file}`")


def check_kind(status: os.stat_result, source: str) -> None:
    """Check that a file is a regular one. Raises `ConfigError`, which begins with `source`."""
    kind = stat.S_IFMT(status.st_mode)
    if kind != stat.S_IFREG:
        raise ConfigError(f"{source}: is {_KINDS.get(kind, 'a device')}, not a file; name a regular file")


def is_open_to_others(file: Path, mode: int) -> bool:
    """Return whether others than the owner can read a file with this mode, or write to it.

    systemd gives the user of a service access to its credentials by an access control list. The mode then has the mask
    of the list in the bits of the group: it is 0440, although no group can read the file (systemd issue 29435).
    """
    harmful = 0o037 if file.is_relative_to(CREDENTIALS) else 0o077
    return bool(mode & harmful)


def local_secret_file(database: Path) -> Path:
    """Return the file of the secret beside `database`."""
    return database.with_suffix(".secret")


def open_file(file: Path, source: str) -> IO[bytes]:
    """Open a file for reading, without waiting for the other end of a pipe. The caller closes it.

    Raises `ConfigError`, which begins with `source`, when it cannot be read; `FileMissing` when it does not exist.
    """
    try:
        return open(file, "rb", opener=_open_at_once)
    except OSError as exc:
        kind = FileMissing if isinstance(exc, FileNotFoundError | NotADirectoryError) else ConfigError
        remedy = "; run this as the user of the daemon" if isinstance(exc, PermissionError) else ""
        raise kind(f"{source}: cannot be read: {exc.strerror}{remedy}") from None


def read_file(file: Path, setting: str, *, is_secret: bool, owners: Collection[int] | None = None) -> bytes:
    """Return the content of a file, at most `LARGEST_FILE` bytes, after the check of `check_file`.

    Raises `ConfigError` that names `setting`; `FileMissing` when the file does not exist.
    """
    source = f"{setting}: {file}"
    with open_file(file, source) as opened:
        check_file(file, os.fstat(opened.fileno()), source, is_secret=is_secret, owners=owners)
        return opened.read(LARGEST_FILE)


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
