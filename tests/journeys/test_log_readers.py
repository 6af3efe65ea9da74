"""The three ways to read the event log give the same record, whoever is killed meanwhile."""

import asyncio
import contextlib
import json
import random
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from websockets.exceptions import WebSocketException

from tests.support.attendance import Attendance
from tests.support.daemon import Daemon, faults
from tests.support.processes import PATIENCE

ADMIN = {"admin": True}
VISITS = 90


class Record:
    """What one reader has processed, and the position to go on from."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.next: str | None = None
        self._grown = asyncio.Event()

    def take(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        self.next = event["position"]
        self._grown.set()

    async def has(self, count: int) -> None:
        """Wait until so many events were processed."""
        while len(self.events) < count:
            self._grown.clear()
            await self._grown.wait()


def token(daemon: Daemon) -> str:
    return daemon.token("root", ttl=1e6, roomd=ADMIN)


@contextlib.asynccontextmanager
async def output(*command: str, environ: dict[str, str]) -> AsyncIterator[asyncio.StreamReader]:
    """Run a program that reads the log, and kill it in the end."""
    process = await asyncio.create_subprocess_exec(
        *command, env=environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, limit=1 << 20
    )
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        while await process.stdout.read(65_536):
            pass
        await process.wait()


async def by_long_poll(daemon: Daemon, record: Record) -> None:
    """Read with the command of the shell."""
    after = ["--after", record.next] if record.next else []
    command = [sys.executable, "-m", "roomd", "events", "--follow", "--json", *after]
    async with output(*command, environ=daemon.environ) as lines:
        while (line := await lines.readline()).endswith(b"\n"):
            record.take(json.loads(line))


async def by_stream(daemon: Daemon, record: Record) -> None:
    """Read Server-Sent Events with curl, as a browser does: an event counts when its empty line has come."""
    headers = [f"Authorization: Bearer {token(daemon)}", "Accept: text/event-stream"]
    headers += [f"Last-Event-ID: {record.next}"] if record.next else []
    url = f"http://127.0.0.1:{daemon.port}/api/v1/events"
    arguments = [part for header in headers for part in ("-H", header)]
    async with output("curl", "-sN", url, *arguments, environ=daemon.environ) as lines:
        fields: dict[str, str] = {}
        while (line := (await lines.readline()).decode()).endswith("\n"):
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                fields[name] = value
            elif "data" in fields:
                event = json.loads(fields["data"])
                assert (event["position"], event["type"]) == (fields["id"], fields["event"])
                record.take(event)
                fields = {}


async def by_watch(daemon: Daemon, record: Record) -> None:
    """Read on a WebSocket."""
    async with daemon.client(token=token(daemon)) as client:
        try:
            reply = await client.ask("watch", **({"after": record.next} if record.next else {}))
            assert reply["type"] == "watching", reply
            while True:
                for event in json.loads(await client.websocket.recv())["events"]:
                    record.take(event)
        finally:
            client.websocket.transport.abort()


READERS = {"long poll": by_long_poll, "stream": by_stream, "watch": by_watch}


async def keep_reading(daemon: Daemon, read: Callable[..., Any], record: Record, is_over: asyncio.Event) -> None:
    """Read until the end, with readers that are killed after a random time."""
    lives = random.Random(13)
    while not is_over.is_set():
        with contextlib.suppress(TimeoutError, OSError, WebSocketException):
            async with asyncio.timeout(lives.uniform(0.5, 2.0)):
                await read(daemon, record)


async def come_and_go(daemon: Daemon, codes: list[str]) -> None:
    """Have users join, and leave, end their connection, or be cut off by the daemon's end."""

    async def visit(number: int) -> None:
        with contextlib.suppress(OSError, WebSocketException):  # the daemon is gone
            async with daemon.client(f"user{number}") as client:
                await client.join(codes[number % len(codes)])
                if number % 3:
                    await client.send("leave-room")
                    await client.events()

    async def crash() -> None:
        await asyncio.sleep(0)  # the visits begin
        await asyncio.to_thread(daemon.kill)
        await asyncio.to_thread(daemon.start)

    for start in range(0, VISITS, 15):
        visits = [visit(number) for number in range(start, start + 15)]
        await asyncio.gather(*visits, *([crash()] if start % 30 == 15 else []))


async def test_three_readers_and_the_table(make_daemon: Callable[..., Daemon], untraced: None) -> None:
    """Each has every event once, in order, though daemon and readers are killed; replayed, it is the table."""
    daemon = make_daemon()
    codes = [(await daemon.room())["code"] for _ in range(5)]
    records = {name: Record() for name in READERS}
    is_over = asyncio.Event()
    reading = [
        asyncio.create_task(keep_reading(daemon, read, records[name], is_over)) for name, read in READERS.items()
    ]
    try:
        await come_and_go(daemon, codes)
        with contextlib.closing(sqlite3.connect(daemon.database)) as db:
            db.execute("BEGIN")
            logged = [raw.hex() for (raw,) in db.execute("SELECT id FROM events ORDER BY position")]
            people = db.execute("SELECT id, joined_at, left_at, is_active FROM participants").fetchall()
        async with asyncio.timeout(PATIENCE):
            for record in records.values():
                await record.has(len(logged))
    finally:
        is_over.set()
        await asyncio.gather(*reading)
    assert len(people) >= VISITS / 2, "most of them got in"
    for name, record in records.items():
        assert [event["id"] for event in record.events[: len(logged)]] == logged, name
        attendance = Attendance()
        attendance.read(record.events[: len(logged)])
        found = {key: (one["joinedAt"], one["leftAt"], one["isActive"]) for key, one in attendance.stays.items()}
        assert found == {key: (joined, left, bool(active)) for key, joined, left, active in people}, name
    assert faults(daemon) == []


async def test_a_restart_with_many_readers(make_daemon: Callable[..., Daemon]) -> None:
    """Polls are answered and streams end at once when the daemon stops, so it stops as soon as without them."""
    daemon = make_daemon()
    head = f"Host: x\r\nAuthorization: Bearer {token(daemon)}\r\n"
    pairs = []
    for number in range(100):
        reader, writer = await asyncio.open_connection("127.0.0.1", daemon.port)
        accept = "Accept: text/event-stream\r\n" if number % 2 else ""
        writer.write(f"GET /api/v1/events?after=latest&wait=25 HTTP/1.1\r\n{head}{accept}\r\n".encode())
        pairs.append((reader, writer))
    async with asyncio.timeout(PATIENCE):
        for reader, _ in pairs[1::2]:
            await reader.readuntil(b"retry: ")
        began = asyncio.get_running_loop().time()
        assert await asyncio.to_thread(daemon.stop) == 0
        taken = asyncio.get_running_loop().time() - began
        ends = [await reader.read() for reader, _ in pairs]
    assert taken < 2, "less than what requests that do not end are given"
    for number, end in enumerate(ends):
        assert end.endswith(b"0\r\n\r\n") if number % 2 else end.startswith((b"HTTP/1.1 200", b"HTTP/1.1 503"))
    for _, writer in pairs:
        writer.close()
    assert faults(daemon) == []
