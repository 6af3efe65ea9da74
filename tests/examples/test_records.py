"""The programs of docs/how-to that keep what roomd tells: attendance, by log and webhooks, and the data of people."""

import asyncio
import re
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from roomd.client import join
from roomd.testing import Daemon
from tests.support.processes import PATIENCE
from tests.support.programs import PAGES, code_of_room, program

# attendance.md


Row = tuple[str, int, str | None]
"""Who was there, whether they have left, and why."""
ROWS = "SELECT who, left_at IS NOT NULL, reason FROM attendance WHERE room = ? ORDER BY participant_id"


async def follow_until(daemon: Daemon, file: Path, code: str, *expected: Row) -> None:
    """Run the program until its table has these rows of a room; then it is killed."""
    module = program("attendance")
    with closing(sqlite3.connect(file)) as db:
        db.executescript(module.SCHEMA)
        following = asyncio.create_task(module.follow(daemon.url, lambda: daemon.token("service", admin=True), db))
        async with asyncio.timeout(PATIENCE):
            while db.execute(ROWS, (code,)).fetchall() != list(expected):
                await asyncio.sleep(0.01)
                assert not following.done(), following.exception()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_attendance(daemon: Daemon, tmp_path: Path) -> None:
    """The table has who was there, from when to when; a program that is started again goes on where it stopped."""
    code, file = await asyncio.to_thread(code_of_room, daemon), tmp_path / "attendance.db"
    async with join(daemon.url, code, token=daemon.token("alice")):
        await follow_until(daemon, file, code, ("alice", 0, None))
        async with join(daemon.url, code, "Jane"):
            pass
    await follow_until(daemon, file, code, ("alice", 1, "left"), ("Jane (guest)", 1, "left"))


def test_attendance_is_kept_once(tmp_path: Path) -> None:
    """What a crash repeats changes nothing, and rows and position are stored together."""
    module = program("attendance")
    db = sqlite3.connect(tmp_path / "attendance.db")
    db.executescript(module.SCHEMA)
    who = {"id": "01", "userId": "bob", "displayName": "Bob", "joinedAt": "10:00", "leftAt": None}
    joined = {"type": "participant-joined", "room": {"code": "abc-def-ghi"}, "participant": who}
    left = {**joined, "type": "participant-left", "participant": {**who, "leftAt": "10:05"}, "reason": "expired"}
    for _ in range(2):
        module.keep(db, [joined, left], "07")
    assert db.execute("SELECT * FROM attendance").fetchall() == [
        ("01", "abc-def-ghi", "bob", "10:00", "10:05", "expired")
    ]
    with pytest.raises(KeyError):
        module.keep(db, [{"type": "participant-joined"}], "08")
    assert db.execute("SELECT next FROM position").fetchall() == [("07",)]
    db.close()


async def test_attendance_where_events_are_missing(tmp_path: Path) -> None:
    """A program that was away for longer than events are kept takes the stays from the rooms, and reads on."""
    file = tmp_path / "attendance.db"
    async with Daemon(events={"keep": "1h"}) as daemon:
        code = await asyncio.to_thread(code_of_room, daemon)
        async with join(daemon.url, code, "Jane"), join(daemon.url, code, token=daemon.token("bob")):
            await follow_until(daemon, file, code, ("Jane (guest)", 0, None), ("bob", 0, None))
        async with join(daemon.url, code, "Eve"):
            with closing(sqlite3.connect(daemon.database)) as log:
                async with asyncio.timeout(PATIENCE):
                    while log.execute("SELECT count(*) FROM events").fetchone() != (0,):
                        daemon.clock.advance(3600)
                        await asyncio.sleep(0.01)
            missed = [("Jane (guest)", 1, "unknown"), ("bob", 1, "unknown")]
            await follow_until(daemon, file, code, *missed, ("Eve (guest)", 0, None))
        await follow_until(daemon, file, code, *missed, ("Eve (guest)", 1, "left"))


# webhooks.md: tests/journeys/test_webhooks.py runs the page


def test_webhooks_are_kept_once(tmp_path: Path) -> None:
    """What comes again changes nothing, and somebody who leaves has a row, although nothing told that they had come."""
    module = program("webhooks")
    db = sqlite3.connect(tmp_path / "attendance.db")
    db.executescript(module.SCHEMA)
    who = {"id": "01", "userId": "bob", "displayName": "Bob", "joinedAt": "10:00", "leftAt": "10:05"}
    left = {"id": "e2", "type": "participant-left", "room": {"code": "c"}, "participant": who, "reason": "expired"}
    joined = {**left, "id": "e1", "type": "participant-joined", "participant": {**who, "leftAt": None}, "reason": None}
    for event in (left, left, joined, {"id": "e3", "type": "room-ended"}):
        module.keep(db, event)
    assert db.execute("SELECT * FROM attendance").fetchall() == [("01", "c", "bob", "10:00", "10:05", "expired")]
    with pytest.raises(KeyError):
        module.keep(db, {"id": "e4", "type": "participant-joined"})
    assert db.execute("SELECT id FROM seen ORDER BY id").fetchall() == [("e1",), ("e2",), ("e3",)]
    db.close()


# data-protection.md


def test_forget_and_export_from_a_backend(daemon: Daemon) -> None:
    """The lines of the page forget a user, say why one is not forgotten, and export what is stored."""
    (block,) = re.findall(r"```python\n(.*?)```", (PAGES / "data-protection.md").read_text(), re.DOTALL)
    for there, here in {
        '"/run/roomd/admin.sock"': repr(str(daemon.admin_socket)),
        '"/var/lib/roomd/roomd.db"': repr(str(daemon.database)),
        '["roomd", ': f"[{sys.executable!r}, '-m', 'roomd', ",
    }.items():
        assert there in block
        block = block.replace(there, here)
    names: dict[str, Any] = {}
    exec(block, names)
    code = code_of_room(daemon, host="henry")  # who has no seat in a room of another test

    async def visit() -> None:
        async with join(daemon.url, code, token=daemon.token("eve")):
            pass

    asyncio.run(visit())
    assert [stay["userId"] for stay in names["export"]("eve")["stays"]] == ["eve"]
    assert names["forget"]("eve")["stays"] == 1
    assert names["export"]("eve")["stays"] == []
    with pytest.raises(RuntimeError, match=f"henry hosts .*{code}"):
        names["forget"]("henry")
