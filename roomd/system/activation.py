"""Socket activation: the listening sockets that systemd opened for this process, as in sd_listen_fds(3).

systemd keeps them open while the daemon restarts. Who connects meanwhile waits, and is not refused.
"""

import contextlib
import os
import socket
from collections.abc import Iterable, MutableMapping

FIRST_DESCRIPTOR = 3
"""SD_LISTEN_FDS_START: the descriptors begin behind the standard streams."""
FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
"""The families of sockets that roomd serves."""
READ_BYTES = 65_536
"""The bytes of a request that are read before it is refused: what is left unread would reset the connection."""
REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 25\r\n"
    b"Retry-After: 5\r\nConnection: close\r\n\r\nThe server cannot start.\n"
)
"""The answer to a client that has connected while the daemon cannot start."""


def inherited_sockets(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Return the sockets that were passed to this process, and remove the variables that say so.

    Raises `ValueError` when one of them is no listening socket for streams of a family that roomd serves.
    """
    receiver, count, _ = (environ.pop(f"LISTEN_{name}", "") for name in ("PID", "FDS", "FDNAMES"))
    if receiver != str(os.getpid()):  # not set, or meant for a parent
        return []
    if not count.isdecimal():
        raise ValueError(f"LISTEN_FDS is {count!r}, and must be a number")
    return [_listening(number) for number in range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count))]


def refuse_waiting(sockets: Iterable[socket.socket]) -> None:
    """Answer every client that waits in the sockets that the daemon cannot start, so that it does not wait longer.

    A socket that was closed is left out.
    """
    for listening in sockets:
        if listening.fileno() < 0:
            continue
        listening.setblocking(False)
        with contextlib.suppress(OSError):  # BlockingIOError when nobody waits any more
            while True:
                client, _ = listening.accept()
                with client, contextlib.suppress(OSError):
                    client.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        client.recv(READ_BYTES)
                    client.send(REFUSAL)
                    client.shutdown(socket.SHUT_WR)


def _listening(number: int) -> socket.socket:
    try:
        os.set_inheritable(number, False)
        passed = socket.socket(fileno=number)
        is_stream = passed.type == socket.SOCK_STREAM and passed.family in FAMILIES
        is_fit = is_stream and passed.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as exc:
        raise ValueError(f"descriptor {number} of LISTEN_FDS cannot be used: {exc.strerror}") from None
    if not is_fit:
        raise ValueError(
            f"descriptor {number} of LISTEN_FDS is no listening socket of TCP or for streams of Unix; in the "
            "socket unit use ListenStream= and Accept=no"
        )
    passed.setblocking(False)
    return passed
