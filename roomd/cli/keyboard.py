"""Lines from standard input inside an event loop: a terminal, a pipe, a file or nothing at all."""

import asyncio
import os
from collections.abc import AsyncIterator

CHUNK = 4096
LONGEST_LINE = 65_536
"""Bytes; a longer line is dropped, so that a pipe without line ends cannot fill the memory."""


async def typed_lines(descriptor: int) -> AsyncIterator[str]:
    """Give every line, without the white space around it, up to the end (Ctrl-D, or the pipe is closed).

    No more is read than is asked for: a pipe waits for whoever serves its lines. The descriptor stays blocking and is
    read only when there is something to read: making it non-blocking would do the same to every program on this
    terminal, and a thread could not be stopped.
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
    """Wait for something to read, and read it; nothing at the end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    except OSError:  # epoll takes no regular files and no /dev/null: they are always ready, and there is no stdin
        await asyncio.sleep(0)
    else:
        try:
            await ready.wait()
        finally:
            loop.remove_reader(descriptor)
    try:
        return os.read(descriptor, CHUNK)
    except OSError:  # the terminal is gone, or there never was a standard input
        return b""
