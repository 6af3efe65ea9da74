"""A room as a client knows it from the frames it received, and participants as the database has them."""

import json
import sqlite3
from datetime import datetime
from typing import Any

from tests.support.daemon import Daemon
from tests.support.databases import reading

Frame = dict[str, Any]


def seconds(stamp: str) -> float:
    """Convert a time, as the wire or the database writes it, to seconds since the epoch."""
    return datetime.fromisoformat(stamp).timestamp()


class View:
    """A room as one client knows it from the frames it received; every frame is checked."""

    def __init__(self, most: int) -> None:
        """`most` is how many participants the view may have."""
        self.most = most
        self.seats: dict[str, Frame] = {}
        self.seq = 0

    def take(self, frame: Frame) -> None:
        """Apply an event of the room, which must be the next one."""
        if frame["type"] == "room-state":
            self.seats = {person["id"]: person for person in frame["participants"]}
        else:
            assert frame["type"] == "participants-changed", frame
            assert frame["seq"] == self.seq + 1, "an event is missing or came twice"
            for person in frame["left"]:
                del self.seats[person["id"]]
            for person in frame["updated"]:
                assert person["id"] in self.seats
            assert self.seats.keys().isdisjoint(person["id"] for person in frame["joined"])
            self.seats |= {person["id"]: person for person in (*frame["updated"], *frame["joined"])}
        self.seq = frame["seq"]
        assert len(self.seats) <= self.most


def committed(daemon: Daemon) -> list[sqlite3.Row]:
    """Read every participant, also those who left, from the database."""
    with reading(daemon) as db:
        return db.execute("SELECT * FROM participants").fetchall()


def as_sent(row: sqlite3.Row) -> Frame:
    """Build a participant from a row of the database, as the wire would send it."""
    keys = ("id", "roomId", "userId", "guestName", "joinedAt", "leftAt", "displayName")
    columns = ("id", "room_id", "user_id", "guest_name", "joined_at", "left_at", "display_name")
    texts = {key: row[column] for key, column in zip(keys, columns, strict=True)}
    state = json.loads(row["state"])
    role = "host" if row["is_host"] else "cohost" if row["is_admin"] or row["is_cohost"] else "member"
    rights = {"isHost": bool(row["is_host"]), "role": role}
    return {**texts, "isActive": bool(row["is_active"]), **rights, "state": state}
