"""(j): a reader of the event log that is 100,000 events behind catches up.

The events are written into a new database by SQL before the server starts. SQLite alone reads the same rows in the same
parts, in one thread of the load generator: that is the ceiling. A reader counts the events that it gets.
"""

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import jwt
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from bench.rig import SCHEMA, Figure, Rig

EVENTS = 100_000
PART = 1000
"""The events that are asked for at once."""
MARK = b'"type":"participant-joined"'
PATIENCE = 60.0
"""Seconds in which a reader must have caught up."""
_PERSON = {
    "id": "01jq5w3x7k0000000000000000", "roomId": "01jp5w3x7k0000000000000000", "userId": "bob", "guestName": None,
    "isActive": True, "isHost": False, "joinedAt": "2026-03-03T10:36:00.000Z", "leftAt": None, "displayName": "Bob",
}  # fmt: skip
_ROOM: dict[str, object] = {"id": _PERSON["roomId"], "code": "abc-def-ghi", "externalId": None, "metadata": {}}


def prepare(file: Path, events: int) -> None:
    """Make a database with so many events of now, so that none is deleted for its age."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    body = {"type": "participant-joined", "at": stamp, "room": _ROOM, "participant": _PERSON}
    row = (_ROOM["id"], stamp, body["type"], json.dumps(body, separators=(",", ":")))
    with closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.executescript(SCHEMA.read_text(encoding="utf-8"))
        db.execute("BEGIN")
        db.executemany("INSERT INTO events (room_id, at, type, body) VALUES (?, ?, ?, ?)", [row] * events)
        db.execute("COMMIT")


def rows_per_second(file: Path, events: int) -> float:
    """Read all events with SQLite alone; return how many it gives in a second."""
    columns = "position, id, room_id, type, CAST(body AS BLOB)"
    sql = f"SELECT {columns} FROM events WHERE position > ? ORDER BY position LIMIT ?"
    with closing(sqlite3.connect(file)) as db:
        start, last, found = time.perf_counter(), 0, 0
        while rows := db.execute(sql, (last, PART)).fetchall():
            last, found = rows[-1][0], found + len(rows)
        taken = time.perf_counter() - start
    if found != events:
        raise RuntimeError(f"{found} of {events} events")
    return events / taken


async def measure(rig: Rig, events: int) -> list[Figure]:
    """Measure each reader, and SQLite alone just before it: what else runs on the machine changes both."""
    figures = []
    for name, read in READERS.items():
        alone = rows_per_second(rig.server.database, events)
        start = rig.server.clock()
        async with asyncio.timeout(PATIENCE):
            await read(rig, events)
        usage = start.until(rig.server.clock())
        rate = events / usage.seconds
        figures += [Figure(f"j-{name}", rate, usage), Figure(f"j-{name}-ratio", rate / alone)]
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
    await _by_http(rig, events, _poll_all)


async def _stream(rig: Rig, events: int) -> None:
    await _by_http(rig, events, _stream_all)


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _by_http(rig: Rig, events: int, read: Callable[[Pair, str, int], Awaitable[None]]) -> None:
    parts = urlsplit(f"//{rig.server.host}")
    pair = await asyncio.open_connection(parts.hostname, parts.port, limit=1 << 20)
    try:
        await read(pair, f"Host: bench\r\nAuthorization: Bearer {_token(rig)}\r\n", events)
    finally:
        pair[1].close()


async def _poll_all(pair: Pair, headers: str, events: int) -> None:
    (reader, writer), found, after = pair, 0, ""
    while found < events:
        writer.write(f"GET /api/v1/events?limit={PART}{after} HTTP/1.1\r\n{headers}\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        body = await reader.readexactly(size)
        if not (count := body.count(MARK)):
            raise RuntimeError(f"no events: {body[:200].decode(errors='replace')}")
        found += count
        after = f"&after={body[-26:-2].decode()}"


async def _stream_all(pair: Pair, headers: str, events: int) -> None:
    (reader, writer), found, rest = pair, 0, b""
    writer.write(f"GET /api/v1/events HTTP/1.1\r\n{headers}Accept: text/event-stream\r\n\r\n".encode())
    while found < events:
        data = await reader.read(1 << 20)
        if not data:
            raise RuntimeError("the stream has ended")
        found += (rest + data).count(MARK)
        rest = data[1 - len(MARK) :]


READERS: dict[str, Callable[[Rig, int], Awaitable[None]]] = {"watch": _watch, "poll": _poll, "stream": _stream}
