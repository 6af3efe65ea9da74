"""Keep an attendance table from roomd's event log: pip install websockets; python attendance.py WS-URL TOKEN-COMMAND"""

import asyncio
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

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
    async for websocket in connect(url):  # connects again after each loss, later and later
        after = db.execute("SELECT next FROM position").fetchone()
        try:
            await websocket.send(json.dumps({"type": "authenticate", "token": sign()}))
            await websocket.send(json.dumps({"type": "watch", "id": 1, "after": after and after[0]}))
            async for text in websocket:
                frame = json.loads(text)
                if frame["type"] == "events":
                    keep(db, frame["events"], frame["next"])
                elif frame["type"] == "error" and frame["code"] == "position_expired":
                    print("events are missing: this program was away for too long", file=sys.stderr)
                    keep(db, [], frame["oldest"])
                    break
                elif frame["type"] == "error":
                    print(frame["message"], file=sys.stderr)  # such as: Token has expired
                    break
        except ConnectionClosed:
            pass
        await asyncio.sleep(1)


if __name__ == "__main__":
    token = lambda: subprocess.check_output(sys.argv[2], shell=True, text=True).strip()  # noqa: E731
    asyncio.run(follow(sys.argv[1], token, sqlite3.connect("attendance.db")))
