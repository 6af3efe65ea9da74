"""Read lines from standard input in an event loop: from a terminal, a pipe, a file, or no input."""

import asyncio
import os
from collections.abc import AsyncIterator

CHUNK = 4096
"""The bytes that are read at once."""
LONGEST_LINE = 65_536
"""The bytes that a line may have. A longer line is dropped, so that a pipe without line ends cannot fill the memory."""


async def typed_lines(descriptor: int) -> AsyncIterator[str]:
    """Yield each line of a file descriptor, without the white space around it, until the input ends.

    The next bytes are read only after the last line was used, so a pipe waits for its reader. The descriptor stays
    blocking, and is read only when bytes are available. A non-blocking terminal would be non-blocking for all programs
    that use it, and a thread that reads cannot be stopped.
    """
    rest = b""
    while data := await _read(descriptor):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield _text(line)
        if len(rest) > LONGEST_LINE:
            rest = b""
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.decode(errors="replace").strip()


async def _read(descriptor: int) -> bytes:
    """Wait for bytes and read them; empty at the end of the input."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except OSError:  # epoll accepts no regular files, which are always ready, and no closed descriptor
        await asyncio.sleep(0)
    else:
        try:
            await ready.wait()
        finally:
            loop.remove_reader(descriptor)
    try:
        return os.read(descriptor, CHUNK)
    except OSError:  # the terminal was closed, or there is no standard input
        return b""
