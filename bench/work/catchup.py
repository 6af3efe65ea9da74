"""(j): a reader of the event log that is 100,000 events behind catches up.

The events are written into a new database by SQL before the server starts. SQLite alone gives the same rows, the number
and the JSON of each, in the same parts to one thread of Python on the server's core: that is the ceiling. A reader
counts the events that it gets, in the bytes that arrive.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from statistics import mean
from typing import cast

import jwt
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.rig import SCHEMA, Figure, Rig

EVENTS = 100_000
PART = 1000
"""The events that are asked for at once."""
MARK = b'"type":"participant-joined"'
TIMES = 5
"""How often each reader is measured."""
PATIENCE = 60.0
"""Seconds in which a reader must have caught up."""
_PERSON = {
    "id": "01jq5w3x7k0000000000000000", "roomId": "01jp5w3x7k0000000000000000", "userId": "bob", "guestName": None,
    "isActive": True, "isHost": False, "joinedAt": "2026-03-03T10:36:00.000Z", "leftAt": None, "displayName": "Bob",
}  # fmt: skip
_ROOM: dict[str, object] = {"id": _PERSON["roomId"], "code": "abc-def-ghi", "externalId": None, "metadata": {}}


def prepare(file: Path, events: int) -> None:
    """Make a database with so many events of now, so that none is deleted for its age."""
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(SCHEMA.read_text(encoding="utf-8"))
        write_events(db, events, {"participant": _PERSON})
        db.commit()


def write_events(db: sqlite3.Connection, events: int, more: dict[str, object]) -> None:
    """Write so many events into an empty log, each somebody's joining, now; `more` is what else they have."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    ((log_id,),) = db.execute("SELECT lower(hex(id)) FROM event_log").fetchall()
    event = {"type": "participant-joined", "at": stamp, "room": _ROOM, **more}
    rest = json.dumps(event, separators=(",", ":"))[1:]
    rows = (
        (_ROOM["id"], stamp, event["type"], f'{{"id":"{number:024x}","position":"{log_id}{number:012x}",{rest}')
        for number in range(1, events + 1)
    )
    db.executemany("INSERT INTO events (room_id, at, type, body) VALUES (?, ?, ?, ?)", rows)


def rows_per_second(rig: Rig, events: int) -> float:
    """Read all events with SQLite alone, on the server's core; return how many it gives in a second."""
    sql = "SELECT position, CAST(body AS BLOB) FROM events WHERE position > ? ORDER BY position LIMIT ?"
    with rig.server.core(), closing(sqlite3.connect(rig.server.database)) as db:
        start, last, found = time.perf_counter(), 0, 0
        while rows := db.execute(sql, (last, PART)).fetchall():
            last, found = rows[-1][0], found + len(rows)
        taken = time.perf_counter() - start
    if found != events:
        raise RuntimeError(f"{found} of {events} events")
    return events / taken


async def measure(rig: Rig, events: int, times: int = TIMES) -> list[Figure]:
    """Measure each reader, and before and after it SQLite alone: what else runs on the machine changes both.

    The first time does not count: a daemon that has run for long has the memory that it needs.
    """
    figures = []
    for name, read in READERS.items():
        alone = rows_per_second(rig, events)
        for number in range(times + 1):
            start = rig.server.clock()
            async with asyncio.timeout(PATIENCE):
                await read(rig, events)
            usage = start.until(rig.server.clock())
            before, alone = alone, rows_per_second(rig, events)
            rate = events / usage.seconds
            if number:
                figures += [Figure(f"j-{name}", rate, usage), Figure(f"j-{name}-ratio", rate / mean((before, alone)))]
    return figures


def _token(rig: Rig) -> str:
    claims = {"sub": "bench", "exp": int(time.time()) + 3600, "roomd": {"admin": True}}
    return jwt.encode(claims, rig.secret, algorithm="HS256")


async def _watch(rig: Rig, events: int) -> None:
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    class Watcher(WSListener):
        """Counts events."""

        found = 0

        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.send(WSMsgType.TEXT, b'{"type":"watch","id":1}')

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if frame.msg_type == WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            self.found += frame.get_payload_as_bytes().count(MARK)
            if self.found >= events and not over.done():
                over.set_result(None)

    headers = {"Authorization": f"Bearer {_token(rig)}"}
    transport, _ = await ws_connect(
        Watcher, f"ws://{rig.server.host}/ws", extra_headers=headers, max_frame_size=1 << 24
    )
    await over
    transport.disconnect()


async def _poll(rig: Rig, events: int) -> None:
    await _by_http(rig, Poller(_head(rig), events))


async def _stream(rig: Rig, events: int) -> None:
    await _by_http(rig, Streamer(_head(rig), events))


def _head(rig: Rig) -> str:
    return f"HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {_token(rig)}\r\n"


async def _by_http(rig: Rig, reader: "_Reader") -> None:
    host, _, port = rig.server.host.rpartition(":")
    await asyncio.get_running_loop().create_connection(lambda: reader, host, int(port))
    try:
        await reader.over
    finally:
        reader.transport.close()


class _Reader(asyncio.BufferedProtocol):
    """Reads events by HTTP into one buffer, without parsing them: the server is to be the limit."""

    transport: asyncio.Transport

    def __init__(self, head: str, events: int) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._head = head
        self._left = events
        self._buffer = bytearray(1 << 20)
        self._end = 0  # of what was received in the buffer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._begin()

    def connection_lost(self, _: Exception | None) -> None:
        self._fail("the connection was lost")

    def get_buffer(self, _: int) -> memoryview:
        return memoryview(self._buffer)[self._end :]

    def buffer_updated(self, size: int) -> None:
        self._end += size
        self._take()

    def _fail(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_exception(RuntimeError(reason))

    def _begin(self) -> None:
        """Ask for events."""

    def _take(self) -> None:
        """Look at what is in the buffer."""

    def _count(self) -> None:
        """Count the events in the buffer."""
        self._left -= self._buffer.count(MARK, 0, self._end)
        if self._left <= 0 and not self.over.done():
            self.over.set_result(None)


class Poller(_Reader):
    """Asks for the next events when the ones before are there."""

    _after = ""
    _size = 0  # of the response; 0 before its header is there

    def _begin(self) -> None:
        self.transport.write(f"GET /api/v1/events?limit={PART}{self._after} {self._head}\r\n".encode())

    def _take(self) -> None:
        if not self._size and (body := self._buffer.find(b"\r\n\r\n", 0, self._end) + 4) > 3:
            head = self._buffer[:body].decode()
            self._size = body + int(head.partition("Content-Length: ")[2].partition("\r\n")[0])
        if self._end == self._size:
            self._after = f"&after={self._buffer[self._end - 26 : self._end - 2].decode()}"
            before = self._left
            if before > PART:  # these are not all: the server can go on while they are counted
                self._begin()
            self._count()
            if before == self._left:
                self._fail(f"no events: {self._buffer[:500].decode(errors='replace')}")
            elif before <= PART and not self.over.done():
                self._begin()
            self._end = self._size = 0


class Streamer(_Reader):
    """Reads a stream of Server-Sent Events."""

    def _begin(self) -> None:
        self.transport.write(f"GET /api/v1/events {self._head}Accept: text/event-stream\r\n\r\n".encode())

    def _take(self) -> None:
        self._count()
        rest = self._buffer[self._end - len(MARK) + 1 : self._end]  # in which a mark may have begun
        self._buffer[: len(rest)] = rest
        self._end = len(rest)


READERS: dict[str, Callable[[Rig, int], Awaitable[None]]] = {"watch": _watch, "poll": _poll, "stream": _stream}
