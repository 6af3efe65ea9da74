"""Unix sockets that are listened on and connected to by their path (unix(7))."""

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path


def listen_on(path: Path, mode: int, backlog: int = 128) -> socket.socket:
    """Return a socket that listens at a path, with the mode of its file. A file of a dead process is replaced.

    Raises `OSError`: `FileExistsError` where another process listens, or where the file is no socket.
    """
    _remove_dead(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as address:
            before = os.umask(0o777 & ~mode)
            try:
                listening.bind(address)
            finally:
                os.umask(before)
        listening.listen(backlog)
    except BaseException:
        listening.close()
        raise
    return listening


def connect_to(path: Path, timeout: float | None) -> socket.socket:
    """Return a socket that is connected to the one that listens at a path. `timeout` is in seconds.

    Raises `OSError`.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout)
        with _short(path) as address:
            connected.connect(address)
    except BaseException:
        connected.close()
        raise
    return connected


def _remove_dead(path: Path) -> None:
    """Remove the socket file that a process left which does not listen any more."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise FileExistsError(17, "a file that is no socket is there", str(path))
        connect_to(path, 1.0).close()
    except ConnectionRefusedError:
        path.unlink()
    except FileNotFoundError:
        pass
    else:
        raise FileExistsError(17, "another process listens there", str(path))


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Return an address for a path of any length; that of a socket has 107 bytes at most."""
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
