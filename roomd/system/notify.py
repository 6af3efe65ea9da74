"""Tell systemd the state of the daemon, in our own code: sd_notify(3) and sd_watchdog_enabled(3)."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Mapping

log = logging.getLogger("roomd.system.notify")

STATUS_INTERVAL = 10.0
"""The seconds between two looks at the status line of `systemctl status`."""


class Notifier:
    """The connection to systemd that `environ` names. Without one, nothing is sent.

    No message waits: one that systemd cannot take now is lost, and the next one says the same.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        if self._address and self._address[0] not in "/@":
            log.warning("cannot notify systemd", {"socket": self._address})
            self._address = ""
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._status = ""
        self._interval = min(STATUS_INTERVAL, _watchdog_interval(environ))

    def send(self, *lines: str) -> None:
        """Send assignments, like `READY=1`, in one message."""
        if self._address:
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(lines).encode(), self._address.replace("@", "\0", 1))

    def ready(self) -> None:
        """Report that the daemon serves, after a start or a reload."""
        self.send("READY=1")

    def reloading(self) -> None:
        """Report that the configuration is read again. `ready` must follow, whatever comes of it."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """Report that the daemon stops. Nothing is sent after that: a reload may still end."""
        self.send("STOPPING=1")
        self._address = ""

    async def report(self, status: Callable[[], str], answers: Callable[[], Awaitable[None]]) -> None:
        """Send the status and notify the watchdog until this is cancelled.

        `answers` returns when the other threads have answered. While one of them does not, or this loop does not run,
        the watchdog gets nothing, and systemd ends the process.
        """
        while self._address:
            await answers()
            self._send_status(status())
            await asyncio.sleep(self._interval)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _send_status(self, status: str) -> None:
        changed = [] if status == self._status else [f"STATUS={status}"]
        self._status = status
        self.send("WATCHDOG=1", *changed)


def _watchdog_interval(environ: Mapping[str, str]) -> float:
    """Return the seconds between two messages to the watchdog, half of its time; infinity without one."""
    microseconds, receiver = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", str(os.getpid()))
    if receiver != str(os.getpid()) or not microseconds.isdecimal() or not int(microseconds):
        return float("inf")
    return int(microseconds) / 2_000_000
