"""Unix sockets that are listened on and connected to by their path (unix(7))."""

import contextlib
import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

LONGEST_ADDRESS = 107
"""The bytes that the address of a Unix socket has at most (unix(7)). A longer path is reached through its folder."""


class UnixListener(NamedTuple):
    """A socket that listens at a path."""

    socket: socket.socket
    """The socket."""
    path: Path
    """The path of its file."""
    status: os.stat_result
    """The status of the file when it was created."""

    def remove(self) -> None:
        """Remove the file, unless another one is there now."""
        with contextlib.suppress(OSError):
            if os.path.samestat(self.path.lstat(), self.status):
                self.path.unlink()


def listen_on(path: Path, mode: int, backlog: int) -> UnixListener:
    """Listen at a path. The file gets the access rights `mode`. That of a dead process is replaced, and no other file.

    Raises `OSError`, whose `strerror` says what is wrong: `FileExistsError` where another process listens, and where
    the file is no socket.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _locked(path):
            _remove_dead(path)
            with _address(path) as address:
                listening.bind(address)
            path.chmod(mode)  # before anybody can connect
            listening.listen(backlog)
            return UnixListener(listening, path, path.lstat())
    except BaseException:
        listening.close()
        raise


def connect_to(path: Path, timeout: float) -> socket.socket:
    """Return a socket that is connected to the one that listens at a path. `timeout` is in seconds.

    Raises `OSError`.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.settimeout(timeout)
        with _address(path) as address:
            connected.connect(address)
    except BaseException:
        connected.close()
        raise
    return connected


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other daemons that start from taking the socket that this one is about to open for a dead one.

    The lock is a file beside the socket, which is removed in the end.
    """
    lock = path.with_name(f"{path.name}.lock")
    opened = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        _take(opened, lock)
        try:
            yield
        finally:
            lock.unlink()
    finally:
        os.close(opened)


def _take(opened: int, lock: Path) -> None:
    """Lock a file that is open. Raises `OSError` where another process has it, or has removed it."""
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(opened), lock.lstat()):
            return
    except (BlockingIOError, FileNotFoundError):
        pass
    raise OSError(errno.EAGAIN, "another process opens it at this moment; try again")


def _remove_dead(path: Path) -> None:
    """Remove a socket on which nobody listens. Raises `OSError` for any other file."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise FileExistsError(errno.EEXIST, "the file is no socket; remove it, or choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client, _address(path) as address:
        client.setblocking(False)  # a full backlog would block
        code = client.connect_ex(address)
    if code == errno.ECONNREFUSED:
        path.unlink(missing_ok=True)
    elif code in (0, errno.EAGAIN):
        raise FileExistsError(errno.EEXIST, "another process listens there; stop it, or choose another path")
    elif code != errno.ENOENT:
        raise OSError(code, f"{os.strerror(code)}; remove the file, or choose another path")


@contextlib.contextmanager
def _address(path: Path) -> Iterator[str]:
    """Return an address for a path: itself, or one by its folder where that is too long."""
    if len(os.fsencode(path)) <= LONGEST_ADDRESS:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
