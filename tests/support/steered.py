"""The daemon with a clock that its test moves: `python tests/support/steered.py DESCRIPTOR`.

The clock is that of `roomd.testing`. Time goes on by itself, too. So a test gives a time limit of an hour, which no
machine is slow enough to reach, and then moves the clock past it. Each number of seconds that is read from the socket
DESCRIPTOR is answered when the clock was moved and what came due has been called. A line `set SECONDS` sets only the
wall clock, so many seconds ahead of the right time.
"""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from roomd.config import load
from roomd.daemon import serve
from roomd.testing.clock import Clock, Timer


class SteeredClock(Clock):
    """The machine's clocks, ahead of them as far as was asked for."""

    def __init__(self, control: socket.socket) -> None:
        super().__init__()
        self.control = control
        threading.Thread(target=self.listen, daemon=True).start()

    def call_later(self, delay: float, function: Callable[[], None]) -> Timer:
        self.use(asyncio.get_running_loop())
        return super().call_later(delay, function)

    def listen(self) -> None:
        """Move the clock as asked, one line at a time."""
        with self.control.makefile("rw", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("set "):
                    self.set(datetime.now(UTC) + timedelta(seconds=float(line.removeprefix("set "))))
                else:
                    self.advance(float(line))
                lines.write("moved\n")
                lines.flush()


if __name__ == "__main__":
    steered = SteeredClock(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(serve(partial(load, environ=os.environ), demo=None, clock=steered))
