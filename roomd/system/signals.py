"""Signals: stop in order on the first and at once on a later one, and reload on SIGHUP."""

import asyncio
import logging
import os
import signal
import threading
import time

log = logging.getLogger("roomd.system.signals")

STOP_TIMEOUT = 8.5
"""The most seconds from the first signal to the end of the process."""
SAME_STOP = 1.0
"""The seconds for which a further signal belongs to the first: `make` and a terminal signal a whole process group, and
then its leader signals each process once more."""


def stop_on_signal(stop: asyncio.Event) -> None:
    """Set `stop` on the first SIGTERM or SIGINT, and end the process on one more than `SAME_STOP` seconds later.

    These are handlers of Python, not of the event loop: they run between two instructions, even when the loop is busy.
    """
    loop = asyncio.get_running_loop()
    first: list[float] = []

    def handle(_number: int, _frame: object) -> None:
        now = time.monotonic()
        if not first:
            first.append(now)
            _exit_after(STOP_TIMEOUT)
            loop.call_soon_threadsafe(stop.set)
        elif now - first[0] > SAME_STOP:
            os._exit(1)  # at once: the next start holds all seats

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)


def _exit_after(seconds: float) -> None:
    """End the process after `seconds`, even if storage blocks. All that clients were told is stored already."""

    def end() -> None:
        log.warning("stopped without waiting for storage")
        logging.shutdown()
        os._exit(0)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def set_on_hangup(hung_up: asyncio.Event) -> None:
    """Set `hung_up` on each SIGHUP, also for one that came before: `__main__` has blocked the signal until now."""
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(hung_up.set))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def ignore_hangup() -> None:
    """Ignore SIGHUP: there is nothing to reload any more. Python resets a handler to the default when it ends."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
