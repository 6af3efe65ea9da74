"""Write files whole or not at all, and for the user whom they are for."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

SIDE_FILES = ("-wal", "-shm", "-journal")
"""The endings of the files that SQLite keeps beside a database."""


@contextlib.contextmanager
def unfinished(file: Path, owner: os.stat_result) -> Iterator[Path]:
    """Create an empty file, mode 600, that is to become `file`, and return its path. It is in a folder of its own.

    In the end the folder is removed with what is in it, and before it what an interrupted run left. Only this user can
    look into the folder, and the file has a random name: so where `file` is in a folder of somebody else, they cannot
    lead root to another file. If root calls, the file gets the user and the group of `owner`. Raises `OSError`.
    """
    folder = file.with_name(f"{file.name}.unfinished")
    remove_folder(folder)
    folder.mkdir(mode=0o700)
    try:
        path = folder / secrets.token_hex(8)
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            new = os.open(path.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=opened)
        finally:
            os.close(opened)
        if os.geteuid() == 0:
            os.fchown(new, owner.st_uid, owner.st_gid)
        os.fchmod(new, 0o600)  # whatever the umask took away
        os.close(new)
        yield path
    finally:
        remove_folder(folder)


def write_durably(path: Path, content: bytes) -> None:
    """Write the content of a file that exists, to the disk. Raises `OSError`."""
    with path.open("r+b") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def sync(path: Path) -> None:
    """Write a file, or the names in a folder, to the disk. Raises `OSError`."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def make_folder(folder: Path) -> None:
    """Create a folder that only its owner can use, if it is missing; for root, with the owner of the one it is in.

    Raises `OSError`.
    """
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if os.geteuid() == 0:
            status = folder.parent.stat()
            os.chown(folder, status.st_uid, status.st_gid, follow_symlinks=False)


def remove_folder(folder: Path) -> None:
    """Remove a folder with what is in it, or a link or a file of this name, if it is there. Raises `OSError`."""
    if folder.is_dir() and not folder.is_symlink():
        shutil.rmtree(folder)
    else:
        folder.unlink(missing_ok=True)
