"""The sill of the door: floods that the library would answer by itself, and handshakes it has not seen yet."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

from tests.conftest import Daemon
from tests.test_hostile_wire import UPGRADE, close_code, frame, next_frame, opened, tcp

MakeDaemon = Callable[..., Daemon]
PINGS = frame(b"", 9) * 10_000


async def test_pings_past_the_rate_limit(daemon: Daemon) -> None:
    """Pings count like requests: who keeps sending them is closed with 4429, and others are served meanwhile."""
    async with opened(daemon) as (reader, writer), daemon.client() as other:
        writer.write(PINGS * 5)
        await other.nothing_more()
        assert await close_code(reader) == 4429


async def test_a_flood_does_not_hold_up_the_end(make_daemon: MakeDaemon) -> None:
    """SIGTERM is obeyed within 10 s however busy clients keep the daemon."""
    daemon = make_daemon(ROOMD_LIMITS_REQUEST_RATE="1e9", ROOMD_LIMITS_REQUEST_BURST="1000000000")

    async def flood() -> None:
        with contextlib.suppress(ConnectionError):
            async with opened(daemon) as (reader, writer):
                reading = asyncio.ensure_future(_read_all(reader))
                try:
                    while not writer.transport.is_closing():
                        writer.write(PINGS)
                        await writer.drain()
                finally:
                    reading.cancel()
                    await asyncio.gather(reading, return_exceptions=True)

    floods = [asyncio.create_task(flood()) for _ in range(2)]
    async with daemon.client() as other:
        await other.nothing_more()
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(daemon.stop) == 0
    for task in floods:
        task.cancel()
    await asyncio.gather(*floods, return_exceptions=True)


async def _read_all(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


async def test_an_upgrade_said_twice(daemon: Daemon) -> None:
    """A handshake that says a header twice is refused as a bad request, not as a mistake of the server's."""
    async with tcp(daemon) as (reader, writer):
        writer.write(UPGRADE + b"Upgrade: websocket\r\n\r\n")
        assert (await reader.readline()).startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 426 "))
    assert "Traceback" not in daemon.log.read_text()


async def test_too_many_fragments_and_a_takeover(make_daemon: MakeDaemon) -> None:
    """A message cut into too many pieces costs its connection, whose seat another may take at once; nothing breaks."""
    daemon = make_daemon()
    room = await daemon.room()

    async def pieces() -> AsyncIterator[str]:
        for _ in range(6000):
            yield " "

    async with daemon.client("bob") as first, daemon.client("bob") as second:
        seat = (await first.join(room["code"]))["participant"]
        with contextlib.suppress(Exception):  # the connection may end while it sends
            await first.websocket.send(pieces())
        assert (await second.join(room["code"]))["participant"] == seat
        assert await first.closed() in (1009, 4409)
    await asyncio.to_thread(daemon.stop)
    assert "Traceback" not in daemon.log.read_text()


async def test_a_refused_origin_is_logged(make_daemon: MakeDaemon) -> None:
    """A page that may not connect leaves its line, like any refusal."""
    daemon = make_daemon(ROOMD_SERVER_ALLOWED_ORIGINS="https://meet.example")
    async with tcp(daemon) as (reader, writer):
        writer.write(UPGRADE + b"Origin: https://other.example\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
    await asyncio.to_thread(daemon.stop)
    refused = [line for line in map(json.loads, daemon.log.read_text().splitlines()) if line["event"] == "refused"]
    assert [line["code"] for line in refused] == ["origin"]


async def test_silence(make_daemon: MakeDaemon) -> None:
    """`server.ping_interval`: who is silent is pinged, dropped when silent for as long again, and kept for a pong."""
    daemon = make_daemon(ROOMD_SERVER_PING_INTERVAL="1")
    room = await daemon.room()
    async with daemon.client() as there, opened(daemon) as (reader, writer):
        join = {"type": "join-room", "code": room["code"], "guestName": "Jane"}
        writer.write(frame(json.dumps(join).encode()))
        assert [(await next_frame(reader))[0] for _ in range(2)] == [1, 1]
        await there.join(room["code"], guestName="Joe")
        assert (await next_frame(reader))[0] == 1
        assert (await next_frame(reader))[0] == 9, "a ping"
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while (await next_frame(reader))[0] == 9:
                pass
        (gone,) = (await there.receive())["updated"]
        assert gone["isActive"] is False
        await there.nothing_more()
