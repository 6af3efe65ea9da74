"""Keep an attendance table from the event log: pip install roomd-client; python attendance.py WS-URL TOKEN-COMMAND"""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec

from roomd.client import Connection, Refused, connect, follow_log
from roomd.protocol.objects import Participant, Room
from roomd.protocol.replies import ParticipantsReply, RoomsReply
from roomd.protocol.requests import ListParticipants, ListRooms

SCHEMA = """
CREATE TABLE IF NOT EXISTS attendance (
    participant_id TEXT PRIMARY KEY, room TEXT, who TEXT, joined_at TEXT, left_at TEXT, reason TEXT
);
CREATE TABLE IF NOT EXISTS position (next TEXT);
"""
KEEP = """
INSERT INTO attendance VALUES (:id, :room, :who, :joinedAt, :leftAt, :reason)
ON CONFLICT DO UPDATE SET left_at = coalesce(excluded.left_at, left_at), reason = coalesce(excluded.reason, reason)
"""


def keep(db: sqlite3.Connection, events: list[dict[str, Any]], position: str) -> None:
    """Store what the events say together with the position: both or none, so nothing is missed and nothing doubled."""
    with db:
        for event in events:
            if event["type"] in ("participant-joined", "participant-left"):
                keep_stay(db, event["room"]["code"], event["participant"], event.get("reason"))
        db.execute("DELETE FROM position")
        db.execute("INSERT INTO position VALUES (?)", (position,))


def keep_stay(db: sqlite3.Connection, room: str, who: dict[str, Any], reason: str | None) -> None:
    """Store one stay, as far as it is known."""
    name = who["userId"] or f"{who['displayName']} (guest)"
    db.execute(KEEP, {**who, "who": name, "room": room, "reason": reason})


async def follow(url: str, sign: Callable[[], str], db: sqlite3.Connection) -> None:
    """Follow the log for ever. `sign` returns the token of an admin, a fresh one for each connection."""
    db.executescript(SCHEMA)
    while True:
        after = db.execute("SELECT next FROM position").fetchone()
        try:
            async for part in follow_log(url, sign, after and after[0]):
                keep(db, part.events, part.next)
        except Refused as refused:
            if refused.oldest is None:
                raise
            await catch_up(url, sign(), db)  # this program was away for too long: events are missing
            keep(db, [], refused.oldest)


async def catch_up(url: str, token: str, db: sqlite3.Connection) -> None:
    """Store every stay that roomd has in its rooms. Why somebody left is only in the log."""
    async with connect(url, token) as roomd:
        async for room in all_rooms(roomd):
            async for who in everybody(roomd, room.code):
                with db:
                    keep_stay(db, room.code, msgspec.to_builtins(who), "unknown" if who.left_at else None)


async def all_rooms(roomd: Connection) -> AsyncIterator[Room]:
    """Yield all rooms, page after page."""
    request: ListRooms | None = ListRooms()
    while request is not None:
        page = await roomd.request(request, RoomsReply)
        for room in page.rooms:
            yield room
        request = ListRooms(cursor=page.next_cursor) if page.next_cursor else None


async def everybody(roomd: Connection, code: str) -> AsyncIterator[Participant]:
    """Yield everybody who is or was in a room, page after page."""
    request: ListParticipants | None = ListParticipants(code=code, history=True)
    while request is not None:
        page = await roomd.request(request, ParticipantsReply)
        for who in page.participants:
            yield who
        cursor = page.next_cursor
        request = ListParticipants(code=code, history=True, cursor=cursor) if cursor else None


if __name__ == "__main__":
    token = lambda: subprocess.check_output(sys.argv[2], shell=True, text=True).strip()  # noqa: E731
    asyncio.run(follow(sys.argv[1], token, sqlite3.connect("attendance.db")))
