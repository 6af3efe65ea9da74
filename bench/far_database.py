"""`python -m bench.far_database SOCKET DATABASE SECONDS`: has each answer of a database come later.

A commit takes a millisecond or more where it is real: on the disk of the primary, and on a standby in another building.
On this machine the tests' PostgreSQL syncs nothing. So this listens at the Unix socket SOCKET, passes everything on to
that of PostgreSQL, DATABASE, and holds each answer back for SECONDS.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import uvloop

from bench.processes import START_TIMEOUT, StartFailed


class _Near(asyncio.Protocol):
    """The connection of a client, whose requests wait until the one to the database is there."""

    def __init__(self, database: str, seconds: float) -> None:
        self._database = database
        self._seconds = seconds
        self._far: asyncio.WriteTransport | None = None
        self._waiting: list[bytes] = []
        self._opening: asyncio.Task[None] | None = None
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # that of uvloop derives from nothing
        self._opening = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._far, _ = await loop.create_unix_connection(lambda: _Far(self), self._database)
        self._far.writelines(self._waiting)

    def data_received(self, data: bytes) -> None:
        if self._far is not None:
            self._far.write(data)
        else:
            self._waiting.append(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it ends the other one in any case
        if self._far is not None:
            self._far.close()

    def answer(self, data: bytes) -> None:
        """Send the client an answer, later."""
        asyncio.get_running_loop().call_later(self._seconds, self._write, data)

    def _write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(data)

    def end(self) -> None:
        """End the connection behind the last answer."""
        asyncio.get_running_loop().call_later(self._seconds, self._transport.close)


class _Far(asyncio.Protocol):
    """The connection to the database."""

    def __init__(self, near: _Near) -> None:
        self._near = near

    def data_received(self, data: bytes) -> None:
        self._near.answer(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - it ends the other one in any case
        self._near.end()


@contextmanager
def running(socket: Path, database: Path, seconds: float) -> Iterator[None]:
    """Have answers of the database at a socket come later at another one. Raises `StartFailed`."""
    command = [sys.executable, "-m", "bench.far_database", str(socket), str(database), str(seconds)]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + START_TIMEOUT
        while not socket.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise StartFailed("the far database did not start")
            time.sleep(0.01)
        yield
    finally:
        process.terminate()
        process.wait()


async def _serve(socket: str, database: str, seconds: float) -> None:
    server = await asyncio.get_running_loop().create_unix_server(lambda: _Near(database, seconds), socket)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1], sys.argv[2], float(sys.argv[3])))
