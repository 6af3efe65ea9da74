"""Keep an attendance table from roomd's event log: pip install websockets; python attendance.py WS-URL TOKEN-COMMAND"""

import asyncio
import json
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

SCHEMA = """
CREATE TABLE IF NOT EXISTS attendance (
    participant_id TEXT PRIMARY KEY, room TEXT, who TEXT, joined_at TEXT, left_at TEXT, reason TEXT
);
CREATE TABLE IF NOT EXISTS position (next TEXT);
"""
KEEP = """
INSERT INTO attendance VALUES (:id, :room, :who, :joinedAt, :leftAt, :reason)
ON CONFLICT DO UPDATE SET left_at = excluded.left_at, reason = excluded.reason
"""


def keep(db: sqlite3.Connection, events: list[dict[str, Any]], position: str) -> None:
    """Store what the events say together with the position: both or none, so nothing is missed and nothing doubled."""
    with db:
        for event in events:
            if event["type"] in ("participant-joined", "participant-left"):
                who = event["participant"]
                who["who"] = who["userId"] or f"{who['displayName']} (guest)"
                db.execute(KEEP, {**who, "room": event["room"]["code"], "reason": event.get("reason")})
        db.execute("DELETE FROM position")
        db.execute("INSERT INTO position VALUES (?)", (position,))


async def follow(url: str, sign: Callable[[], str], db: sqlite3.Connection) -> None:
    """Follow the log for ever. `sign` returns the token of an admin, a fresh one for each connection."""
    db.executescript(SCHEMA)
    while True:
        try:
            async with connect(url) as websocket:
                await read(websocket, sign(), db)
        except (OSError, WebSocketException) as error:
            print("connection lost:", error, file=sys.stderr)
        await asyncio.sleep(random.uniform(1, 5))


async def read(websocket: ClientConnection, token: str, db: sqlite3.Connection) -> None:
    """Read the log from the stored position on, until the watch ends."""
    after = db.execute("SELECT next FROM position").fetchone()
    await websocket.send(json.dumps({"type": "authenticate", "token": token}))
    await websocket.send(json.dumps({"type": "watch", "id": 1, "after": after and after[0]}))
    async for text in websocket:
        frame = json.loads(text)
        if frame["type"] == "events":
            keep(db, frame["events"], frame["next"])
        elif frame["type"] == "error":
            print(frame["message"], file=sys.stderr)  # such as: Token has expired
            if frame["code"] == "position_expired":  # this program was away for too long
                keep(db, [], frame["oldest"])
            return


if __name__ == "__main__":
    token = lambda: subprocess.check_output(sys.argv[2], shell=True, text=True).strip()  # noqa: E731
    asyncio.run(follow(sys.argv[1], token, sqlite3.connect("attendance.db")))
