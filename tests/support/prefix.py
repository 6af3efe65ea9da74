"""A proxy that serves a daemon below a path, as nginx does by `location /meet/ { proxy_pass http://…:8765/; }`."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def below(prefix: bytes, port: int) -> AsyncIterator[int]:
    """Serve the daemon on `port` below `prefix`, which begins and ends with a slash; elsewhere is nothing (404).

    Yields the port of the proxy. Each connection carries one request.
    """
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await carry(reader, writer)
        finally:
            connections.discard(task)
            writer.close()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, target, rest = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)
        if not target.startswith(prefix):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        rest = rest.replace(b"Connection: keep-alive\r\n", b"Connection: close\r\n")
        far_writer.write(b" ".join((method, target.replace(prefix, b"/", 1), rest)))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
