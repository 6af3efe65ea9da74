"""Attacks by members: messages that cost the daemon, its database or slow readers much."""

import asyncio
import contextlib
import socket
import sqlite3
from pathlib import Path

from tests.support.attacks.attack import Attack
from tests.support.attacks.line import handshake, text

BIG = "\U0001f4a9" * 2_000
"""The largest message: 2,000 characters, 8 kB."""
SLOW = 125_000
"""Bytes a second that a member on 1 Mbit/s reads."""
STEP = 0.05
"""Seconds between two reads of that member."""
SPEED = 500
"""Requests a second that a member may send."""


class BigMessages(Attack):
    """10 guests of one address connect, join, send 127 messages of 8 kB, and do it again."""

    async def prepare(self) -> None:
        self.code = await self.room(maxParticipants=100)
        self.before = self.size()

    async def attack(self) -> str:
        self.sent = 0
        await self.again(10, self.fill)
        return f"{self.sent} sent, the database grew by {(self.size() - self.before) / 2**20:.1f} MiB"

    async def fill(self, number: int) -> None:
        line = await self.joined(self.address(0), self.code)
        for _ in range(126):
            line.send("send-message", text=BIG)
        await line.ask("send-message", text=BIG)
        self.sent += 127
        self.close(line)

    def size(self) -> int:
        """Return the bytes of the database and its journal."""
        path = Path(self.target.database)
        return sum(file.stat().st_size for file in path.parent.glob(path.name + "*"))


class SlowMember(Attack):
    """6 guests send 500 messages a second each in a room with a member on 1 Mbit/s, who must not be closed."""

    async def prepare(self) -> None:
        self.code = await self.room(maxParticipants=100)
        self.senders = [await self.joined(self.address(number), self.code) for number in range(6)]
        self.received = 0
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, ("127.0.0.1", self.target.port))
        first = handshake("10.8.0.1") + text("join-room", code=self.code, guestName="Slow")
        await loop.sock_sendall(self.socket, first)
        self.reading = asyncio.create_task(self.read())

    async def read(self) -> None:
        """Read slowly, until the daemon closes."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(self.socket, int(SLOW * STEP)):
                self.received += len(data)
                await asyncio.sleep(STEP)

    async def attack(self) -> str:
        await self.again(6, self.flood)
        told = sum(line.count for line in self.senders)
        if self.reading.done():
            self.faults.append(f"the slow member was closed after {self.received / 1e6:.1f} MB")
        self.reading.cancel()
        self.socket.close()
        return f"each sender was told {told // 6} frames, the slow member read {self.received / 1e6:.1f} MB"

    async def flood(self, number: int) -> None:
        line = self.senders[number]
        if not line.is_open:
            self.senders[number] = await self.joined(self.address(number), self.code)
        for _ in range(int(SPEED * STEP)):
            line.send("send-message", text="x" * 200)
        await asyncio.sleep(STEP)


class BigRoom(Attack):
    """In a room of 900 one guest sends 500 requests a second, messages and states, and another joins again as often."""

    async def prepare(self) -> None:
        loop = asyncio.get_running_loop()
        self.code = await self.room(maxParticipants=1_000)
        self.ends = loop.time() + 60
        await self.each(self.target.count(900), lambda number: self.joined(self.address(number), self.code))
        self.greedy = [await self.joined(self.address(number), self.code) for number in (1_000, 1_001)]

    async def attack(self) -> str:
        await self.again(2, self.flood)
        told = sum(line.count for line in self.lines)
        if any(not line.is_open for line in self.lines.difference(self.greedy)):
            self.faults.append("somebody who only read was closed")
        return f"{len(self.lines)} members, {told} frames told, {self.greedy[1].count} to who joins again"

    async def flood(self, number: int) -> None:
        if not self.greedy[number].is_open:
            self.close(self.greedy[number])
            self.greedy[number] = await self.joined(self.address(1_000 + number), self.code)
        line = self.greedy[number]
        for count in range(int(SPEED * STEP)):
            if number:
                line.send("join-room", code=self.code, guestName="Guest")
            elif count % 2:
                line.send("send-message", text="x" * 200)
            else:
                line.send("update-participant", state={"muted": bool(count % 4)})
        await asyncio.sleep(STEP)


class OwnMessages(Attack):
    """A guest has sent 200,000 messages to themselves; then 30 members ask `list-messages` as fast as they can."""

    async def prepare(self) -> None:
        self.code = await self.room(maxParticipants=100)
        writer = await self.open(self.address(0))
        seat = (await writer.ask("join-room", code=self.code, guestName="Guest"))["participant"]
        await asyncio.to_thread(self.fill, seat["id"], seat["roomId"])
        self.readers = [await self.joined(self.address(number), self.code) for number in range(1, 31)]
        self.replies = 0

    def fill(self, participant: str, room: str) -> None:
        """Write the messages into the database, with ids that are below those of today."""
        count = self.target.count(200_000, most=200_000)
        with contextlib.closing(sqlite3.connect(self.target.database, timeout=60)) as database:
            for start in range(0, count, 1_000):
                rows = [
                    (room, f"{number:024x}", participant, "Guest", "x", "2026-01-01T00:00:00.000Z", participant)
                    for number in range(start, min(count, start + 1_000))
                ]
                database.executemany(
                    "INSERT INTO messages (room_id, id, participant_id, display_name, text, sent_at, to_id)"
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    rows,
                )
                database.commit()

    async def attack(self) -> str:
        await self.again(30, self.page)
        return f"{self.replies} pages were read"

    async def page(self, number: int) -> None:
        line = self.readers[number]
        if not line.is_open:
            line = self.readers[number] = await self.joined(self.address(number + 1), self.code)
        await line.ask("list-messages", code=self.code, limit=200)
        self.replies += 1
