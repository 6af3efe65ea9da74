"""Lines from standard input inside an event loop: a terminal, a pipe, a file or nothing at all."""

import asyncio
import os
from collections.abc import Callable

CHUNK = 4096
LONGEST_LINE = 65_536
"""Bytes; a longer line is dropped, so that a pipe without line ends cannot fill the memory."""


class Keyboard:
    """Calls `on_line` for every line and `on_end` once at the end (Ctrl-D, or the pipe is closed).

    The descriptor stays blocking and is read only when there is something to read: making it non-blocking would
    do the same to every program on this terminal, and a thread could not be stopped.
    """

    def __init__(self, descriptor: int, on_line: Callable[[str], None], on_end: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_line = on_line
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._rest = b""
        self._open = True
        try:
            self._loop.add_reader(descriptor, self._read)
        except OSError:  # epoll takes no regular files and no /dev/null: they are always ready, and there is no stdin
            self._loop.call_soon(self._read_all)

    def close(self) -> None:
        """Stop reading. Closing twice is fine."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._descriptor)

    def _read_all(self) -> None:
        while self._open:
            self._read()

    def _read(self) -> None:
        try:
            data = os.read(self._descriptor, CHUNK)
        except OSError:  # the terminal is gone, or there never was a standard input
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._on_line(line.decode(errors="replace").strip())
        if len(self._rest) > LONGEST_LINE:
            self._rest = b""
        if not data:
            self.close()
            self._on_end()
